"""The method contract: what you write to add a federated method, and all that you need to know for it.

A method is one class in one file in `methods/`; the file's name is the method's name. Every hook of `Method` has a
default, and the defaults together are FedAvg of one LoRA adapter: write the hooks in which your method differs.

Read `Method` from top to bottom: its hooks stand in the order of a round, and an example runs one by hand.

Three rules make hooks short:

* **A client hook sees one client, at one learning rate and one seed.** Leaves have the shapes that their `Leaf` gives.
  `server` alone sees all K clients, stacked on dimension 0.
* **No hook sees rates, seeds, devices or dtypes.** The engine maps your hooks over all of them at once with
  `torch.vmap`, so runs cannot leak into each other.
* **Hooks are pure functions of tensors.** No `.item()`, no change of an argument in place, no `if` on a tensor's value:
  use `torch.where`. Derivatives are allowed anywhere: `torch.func.grad` inside `loss` takes second-order steps.

`python -m benchmark check methods/mine.py` says which rule a file breaks, in which line, and what to do.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal, NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmark.leaf import Leaf, Leaves, Pair, belonging, lora_name, named, offset_name, pairs, part

__all__ = [
    "Batch",
    "Leaf",
    "Leaves",
    "Method",
    "Mix",
    "Output",
    "Pair",
    "Phase",
    "aggregation_error",
    "belonging",
    "lora_name",
    "mean_of_products",
    "mean_over_clients",
    "named",
    "offset_name",
    "pairs",
    "part",
    "similarity",
    "squared_distance",
    "stacked",
    "truncated",
]

Mix = Mapping[str, float | Tensor]
"""The weight of each adapter's and each head's output, by name: a number, or one for each image, shape (n,).
An adapter that is not named takes no part. Where no head is named, the first one counts alone."""


class Output(NamedTuple):
    """What the network makes of a batch of n images.

    Attributes:
        prediction: What the task reads: logits (n, classes) of a classification, (n, classes, H, W) of a segmentation.
        features: What the network makes of each image as a whole (a vision transformer's final class token), (n, dim).
        adapters: Where a trace was asked for: by adapter, the unweighted output `alpha/rank * B A x` at every adapted
            projection in order, each of shape (n, tokens, out). Empty otherwise.
        buffers: The carried leaves that this pass changes, anew: the running means of normalisation, in training.
    """

    prediction: Tensor
    features: Tensor
    adapters: Mapping[str, Sequence[Tensor]]
    buffers: Leaves


class Batch(Protocol):
    """Images of one client, and what a hook may compute on them."""

    @property
    def drawn(self) -> Tensor:
        """Of images that are predicted: which of the support images were drawn for each, (n, 5) int64."""
        ...

    def __call__(self, params: Leaves, mix: Mix | None = None, *, trace: bool = False) -> Output:
        """Run the network with adapters and head; without `mix`, with the mix of the current phase."""
        ...

    def task_loss(self, output: Output) -> Tensor:
        """The task's loss against the batch's targets, a scalar."""
        ...

    def factors(self, params: Leaves, adapter: str, factor: Literal["A", "B"]) -> Sequence[Tensor]:
        """One factor of every pair of an adapter, in the order of the adapted projections."""
        ...


@dataclass(frozen=True)
class Phase:
    """One pass of local training.

    Attributes:
        trains: Which leaves this pass trains; all but offsets by default.
        mix: How the adapters' outputs are weighted; the method's own `mix` where none is given.
        epochs: Passes over the client's images; the configured local epochs where none are given.
        steps: The pass ends after so many steps; after all of its epochs where none are given.
        copies: Parts that begin this pass as a copy of another: `{"personal": "global"}` copies global into personal.
    """

    trains: Callable[[Leaf], bool] = lambda leaf: leaf.role != "offset"
    mix: Mix | None = None
    epochs: int | None = None
    steps: int | None = None
    copies: Mapping[str, str] = field(default_factory=dict)


class Method:
    """FedAvg of one LoRA adapter, and the base of every method.

    A run begins with the same leaves on all clients, drawn from the seed. Then, in every round:

    1. Each client trains. `phases` lists its passes over its images; each names the leaves that it trains. `loss` is
       what a step minimises, `mix` how the outputs of several adapters are weighted. Then `after` says what the client
       remembers until the next round.
    2. Each client sends its leaves that are `shared`, and what `upload` adds.
    3. `server` makes one message of what all clients sent; `measure` says how well.
    4. Each client takes the message over: `download`.

    After the last round each client may train once more, alone: `closing`. It predicts with the leaves that `deployed`
    names, by `predict`.

    Example:
        FedProx is FedAvg with another loss. Here it runs for three rounds by hand, on a model of one number, which each
        of two clients wants elsewhere. What the loops do, the engine does; what `method.` does, you write or inherit.

        >>> class Near(Method):
        ...     "Clients stay near what they received."
        ...     title, paper = "Near", "arXiv:1812.06127"
        ...     def loss(self, batch, params, start, memory):
        ...         return batch.task_loss(batch(params)) + 1 / 2 * squared_distance(params, start)
        >>> class Images:
        ...     "A batch of images whose loss is the squared distance of the one number from the client's own."
        ...     def __init__(self, own):
        ...         self.own = own
        ...     def __call__(self, params, mix=None, *, trace=False):
        ...         return Output(prediction=params["w"], features=params["w"], adapters={}, buffers={})
        ...     def task_loss(self, output):
        ...         return (output.prediction - self.own) ** 2
        >>> method, clients = Near(), [Images(1.0), Images(4.0)]
        >>> weights, held = torch.tensor([0.75, 0.25]), {"w": torch.tensor(0.0)}
        >>> for round in range(3):
        ...     sent = []
        ...     for batch in clients:
        ...         leaves = held
        ...         for step in range(2):  # One pass of two steps, at the rate 0.1.
        ...             gradient = torch.func.grad(lambda params: method.loss(batch, params, held, {}))(leaves)
        ...             leaves = {"w": leaves["w"] - 0.1 * gradient["w"]}
        ...         sent.append(leaves["w"])
        ...     message = method.server({"w": torch.stack(sent)}, held, weights)
        ...     held = {**held, **method.download(message, held, {}, held)[0]}
        ...     print(f"after round {round}: {held['w']:.3f}")
        after round 0: 0.595
        after round 1: 0.988
        after round 2: 1.247

        It goes towards the weighted mean of what the clients want, 1.75.

    Settings of a method are the fields of its class, made a frozen dataclass: `mu: float = 0.01`. The configuration
    changes them: `method_settings: {mine: {mu: 0.1}}`.

    Attributes:
        title: The name in tables.
        paper: Where it is published: an arXiv number, or why there is none.
        control: True for a bound that is shown in tables and not ranked.
        pooled: True where all clients' images are trained on as if one client held them (controls only).
        adapters: Names of the adapters that each client holds. An adapter is a set of leaves: a LoRA pair for every
            adapted projection and, where weights of the network itself are trained, those weights. At the start an
            adapter is equal on all clients, unless `drawn_by_clients` names it; the pairs of two adapters are drawn
            independently.
        drawn_by_clients: Names of the adapters and heads that every client draws for itself.
        heads: Names of the task heads that each client holds, likewise. Whether the one named `head` travels, `head`
            below says; any other stays with its client, unless `shared` says that it travels.
        scalars: Numbers that each client trains, with their initial values. Each is a leaf of that name.
        offset: True where each client holds, for every adapted projection, a matrix (out, in) that is added to the
            frozen weight with the adapters' scale: `W0 + alpha/rank * (offset + B A)`. It begins at zero, no pass
            trains it, and `download` changes it.
        head: `shared` or `personal` where the published method defines it; otherwise the configuration decides.
        averaging: The clients' weights on the server, `samples` or `uniform`, where the published method or its
            authors' code defines them; otherwise the configuration decides.
        trains: The roles of what is trained, where the published method defines them: `("lora", "head")`; otherwise
            the configuration decides.
        needs: Roles without which the method means nothing: a configuration that does not train them is refused.
    """

    title: ClassVar[str]
    paper: ClassVar[str]
    control: ClassVar[bool] = False
    pooled: ClassVar[bool] = False
    adapters: ClassVar[tuple[str, ...]] = ("global",)
    heads: ClassVar[tuple[str, ...]] = ("head",)
    scalars: ClassVar[Mapping[str, float]] = {}
    drawn_by_clients: ClassVar[tuple[str, ...]] = ()
    offset: ClassVar[bool] = False
    head: ClassVar[Literal["shared", "personal"] | None] = None
    averaging: ClassVar[Literal["samples", "uniform"] | None] = None
    trains: ClassVar[tuple[str, ...] | None] = None
    needs: ClassVar[tuple[str, ...]] = ()

    # Once, before the first round.

    def shared(self, leaf: Leaf) -> bool:
        """Whether a leaf is sent to the server and replaced by its answer; all others never leave their client.

        By default the adapter `global` is. You are not asked about `head`: the attribute `head` or the configuration
        says it. In a round in which no pass trains a shared leaf it is equal on all clients, and is not sent.
        """
        return leaf.part == "global"

    def memory(self, params: Leaves) -> Leaves:
        """What a client remembers beside its leaves, before the first round: tensors by names of your own."""
        return {}

    # A round. First each client trains.

    def phases(self, round: int) -> Sequence[Phase]:
        """What a client trains in a round, pass after pass; rounds are counted from 0."""
        return [Phase()]

    def mix(self, params: Leaves) -> Mix:
        """How the outputs of adapters and heads are weighted, wherever a `Phase` or a call of a batch names no mix.

        Args:
            params: The client's leaves, where the weights depend on them.

        Returns:
            By default a plain sum of the adapters, and the first head. With the weights m_a, a weight of the network
            itself is W0 + sum_a m_a (W_a - W0), W0 being the pretrained one.
        """
        return dict.fromkeys(self.adapters, 1.0)

    def loss(self, batch: Batch, params: Leaves, start: Leaves, memory: Leaves) -> Tensor:
        """The loss of one step.

        Args:
            batch: The step's images.
            params: The client's leaves, those of the current phase with gradients.
            start: The client's leaves as this round began.
            memory: What the client remembers.

        Returns:
            A scalar.
        """
        return batch.task_loss(batch(params))

    def after(self, params: Leaves, start: Leaves, memory: Leaves, gradients: Leaves) -> Leaves:
        """What a client remembers once it has trained and before it sends.

        Args:
            params: The client's leaves after its training.
            start: As the round began.
            memory: What the client remembers so far.
            gradients: The mean gradient of `loss` over the round's steps, of every leaf that was trained.

        Returns:
            Its whole memory.
        """
        return memory

    # Then it sends its shared leaves, and what it adds.

    def upload(self, params: Leaves, memory: Leaves) -> Leaves:
        """What a client sends in addition to its shared leaves. Give it names that no leaf has."""
        return {}

    # The server makes one message of all.

    def server(self, sent: Leaves, start: Leaves, weights: Tensor) -> Leaves:
        """The one message that every client receives, made of what all of them sent.

        Args:
            sent: What all K clients sent, each of shape (K, ...).
            start: The shared leaves as the round began, likewise.
            weights: Each client's weight, shape (K,), summing to one: its share of all training images, or 1/K where
                `averaging` is uniform.

        Returns:
            The message, without the clients' dimension 0.
        """
        return mean_over_clients(sent, weights)

    def measure(self, sent: Leaves, start: Leaves, weights: Tensor, received: Leaves) -> Leaves:
        """Numbers that tell how well `server` did, recorded in every round and used by nothing.

        Args:
            sent: As `server` was given it.
            start: Likewise.
            weights: Likewise.
            received: What `server` returned.

        Returns:
            Scalars by names of your own; by default there are none. `aggregation_error` is one.
        """
        return {}

    # Each client takes it over.

    def download(self, received: Leaves, params: Leaves, memory: Leaves, fresh: Leaves) -> tuple[Leaves, Leaves]:
        """What changes on a client when it receives the message.

        Args:
            received: What `server` returned.
            params: The client's leaves after its training.
            memory: What the client remembers.
            fresh: All leaves as they would be initialised in this round: the same on all clients, but for those of
                `drawn_by_clients`.

        Returns:
            The leaves that change, and what the client remembers.
        """
        return {name: leaf for name, leaf in received.items() if name in params}, memory

    # Once, after the last round.

    def closing(self) -> Sequence[Phase]:
        """Passes that each client trains after the last round, alone: nothing is sent any more."""
        return []

    # Whenever a client predicts.

    def deployed(self, params: Leaves, memory: Leaves) -> Leaves:
        """The leaves that a client predicts with, made of those it holds (a merged model, say)."""
        return params

    def predict(self, batch: Batch, support: Batch, params: Leaves) -> Tensor:
        """What a client predicts for a batch of images.

        Args:
            batch: The images to predict, without targets.
            support: Some of the client's own training images, the same for every batch; `batch.drawn` says which five
                of them were drawn for each image.
            params: The client's deployed leaves.

        Returns:
            What the task reads, of the shape of `batch(params).prediction`.
        """
        return batch(params).prediction


def mean_over_clients(sent: Leaves, weights: Tensor) -> dict[str, Tensor]:
    """The weighted mean over clients of every leaf (K, ...) -> (...), weights (K,) summing to one."""
    return {name: torch.tensordot(weights.to(leaf.dtype), leaf, dims=1) for name, leaf in sent.items()}


def mean_of_products(sent: Leaves, weights: Tensor, scaled: Literal["A", "B"] = "B") -> dict[str, Tensor]:
    """The weighted mean over clients, of adapters' products and of all other leaves.

    Args:
        sent: Leaves (K, ...), `global` among their adapters.
        weights: Shape (K,), summing to one.
        scaled: Which factor of a pair takes the singular values; see `truncated`.

    Returns:
        Leaves (...). Each pair's product is the best approximation of `sum_k weights_k B_k A_k` of the pair's rank.
    """
    ranks = {site: pair.B.shape[-1] for site, pair in pairs(sent, "global").items()}
    cut = {site: truncated(pair, ranks[site], scaled) for site, pair in stacked(sent, weights).items()}
    found = named(cut, "global")
    return {**mean_over_clients({name: leaf for name, leaf in sent.items() if name not in found}, weights), **found}


def aggregation_error(sent: Leaves, weights: Tensor, received: Leaves) -> Tensor:
    """How far the adapter that clients receive is from the mean of the products that they sent.

    Args:
        sent: Leaves (K, ...), `global` among their adapters.
        weights: Shape (K,), summing to one.
        received: The same leaves (...), as the server answers.

    Returns:
        `||sum_k weights_k B_k A_k - B A|| / ||sum_k weights_k B_k A_k||`, the Frobenius norm being taken over all pairs
        together; zero where all products are. A scalar, float64.
    """
    wanted = stacked({name: leaf.double() for name, leaf in sent.items()}, weights)
    found = pairs({name: leaf.double() for name, leaf in received.items()}, "global")
    missed = {
        site: Pair(torch.cat([A, found[site].A]), torch.cat([B, -found[site].B], 1)) for site, (A, B) in wanted.items()
    }
    error, whole = (torch.stack([_norm(pair) for pair in own.values()]).norm() for own in (missed, wanted))
    return torch.where(whole == 0, 0.0, error / whole)


def stacked(sent: Leaves, weights: Tensor, adapter: str = "global") -> dict[str, Pair]:
    """All clients' pairs of an adapter side by side, whose product is exactly the mean of the clients' products.

    Of every site's A (K, rank, in) and B (K, out, rank), with weights (K,) summing to one: A (K rank, in) and B (out, K
    rank), so that `B A = sum_k weights_k B_k A_k`.
    """
    return {
        site: Pair(A.flatten(0, 1), (weights.to(B.dtype)[:, None, None] * B).transpose(0, 1).flatten(1))
        for site, (A, B) in pairs(sent, adapter).items()
    }


def truncated(pair: Pair, rank: int, scaled: Literal["A", "B"] = "B") -> Pair:
    """The best approximation of a product by one of a lower rank, by singular value decomposition in float64.

    Both factors are taken apart first (QR), so that no matrix of the size of the frozen weight is decomposed.

    Args:
        pair: A (m, in) and B (out, m).
        rank: Of the approximation.
        scaled: Of U S V^T, the factor that takes S: with "B", B is U S and A is V^T; with "A", B is U and A is S V^T.
            The product is the same, but not how training goes on from there.

    Returns:
        A (rank, in) and B (out, rank), in the dtype of `pair`: NaN where an entry is not finite, and with zeros where
        the product has no more singular values than its shorter side. Signs are fixed by the largest entry of each
        column of B.
    """
    finite = torch.isfinite(pair.A).all() & torch.isfinite(pair.B).all()
    A, B = (torch.where(finite, factor, torch.zeros_like(factor)).double() for factor in pair)
    (left, upper), (right, lower) = torch.linalg.qr(B), torch.linalg.qr(A.mT)
    U, S, Vt = torch.linalg.svd(upper @ lower.mT, full_matrices=False)
    U, S, Vt = left @ U[:, :rank], S[:rank], Vt[:rank] @ right.mT
    largest = U.gather(0, U.abs().argmax(0, keepdim=True))
    sign = torch.where(largest < 0, -1.0, 1.0).to(S.dtype)[0]  # (rank,)
    of_a, of_b = (S, torch.ones_like(S)) if scaled == "A" else (torch.ones_like(S), S)
    found = Pair((sign * of_a)[:, None] * Vt, U * (sign * of_b))
    lacking = rank - len(S)
    whole = Pair(F.pad(found.A, (0, 0, 0, lacking)), F.pad(found.B, (0, lacking)))
    return Pair(*(torch.where(finite, own, torch.nan).to(pair.A.dtype) for own in whole))


def _norm(pair: Pair) -> Tensor:
    """The Frobenius norm of a pair's product, a scalar; of its factors' triangles alone, which have the same."""
    return (torch.linalg.qr(pair.B).R @ torch.linalg.qr(pair.A.mT).R.mT).norm()


def squared_distance(left: Leaves, right: Leaves) -> Tensor:
    """The sum of squared differences of all leaves that both sides name, a scalar; zero where there are none."""
    found = [((left[name] - right[name]) ** 2).sum() for name in left if name in right]
    return torch.stack(found).sum() if found else torch.zeros(())


def similarity(batch: Batch, support: Batch, params: Leaves, mix: Mix) -> Tensor:
    """Mean cosine similarity of each image's features to those of the support images drawn for it, shape (n,)."""
    images, own = batch(params, mix).features, support(params, mix).features
    return F.cosine_similarity(images[:, None], own[batch.drawn], dim=-1).mean(1)
