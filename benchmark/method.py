"""The method contract: all that the author of a federated method writes, and needs to know.

A method is a class in a file of its own in `methods/`; the file's name is the method's name. It says what a client
holds, what it trains in a round, what it sends, what the server makes of that, and how a client predicts. Every hook
has a default, and the defaults together are FedAvg of one LoRA adapter.

A round, of each client: `phases` say which leaves are trained, `loss` is minimised, `after` remembers; the client sends
its `shared` leaves and what `upload` adds; `server` makes one message of all clients' for all of them; `download` takes
it over.

Client hooks see one client in one lane: leaves have the shapes their `Leaf` gives. The server hook sees all clients of
one lane, stacked on dimension 0. No hook sees learning rates, seeds, devices or dtypes: the engine maps the hooks over
lanes, so that lanes cannot leak into each other.

Hooks are mapped with `torch.vmap`: write pure functions of tensors, without `.item()`, in-place changes of arguments
or branches on values.
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
    "belonging",
    "lora_name",
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
        prediction: What the task reads: logits (n, classes) of a classification.
        features: What the head sees (for a vision transformer, the final class token), shape (n, dim).
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
        trains: Which leaves this pass trains; everything but offsets where it is not said.
        mix: How the adapters' outputs are weighted; the method's own `mix` where none is given.
        epochs: Passes over the client's images; the configured local epochs where none are given.
        copies: Parts that start this phase as a copy of another: `{"personal": "global"}`.
    """

    trains: Callable[[Leaf], bool] = lambda leaf: leaf.role != "offset"
    mix: Mix | None = None
    epochs: int | None = None
    copies: Mapping[str, str] = field(default_factory=dict)


class Method:
    """FedAvg of one LoRA adapter, and the base of every method.

    Settings of a method are the fields of its class, made a frozen dataclass; the configuration's `method_settings`
    changes them.

    Attributes:
        title: The name in tables.
        paper: Where it is published: an arXiv number, or why there is none.
        control: A control is shown in tables but not ranked.
        pooled: All clients' images are trained on as if one client held them (controls only).
        adapters: The adapters each client holds: each is a set of leaves, a LoRA pair for every adapted projection and,
            where weights of the network itself are trained, those weights. Adapters of one name start equal on all
            clients; the pairs of different ones are drawn independently.
        heads: The task heads each client holds, likewise. The one named `head` follows the policy below; any other
            stays with its client, unless `shared` says that it travels.
        scalars: Numbers that each client trains, with their initial values. Each is a leaf of that name.
        offset: Whether each client holds, for every adapted projection, a dense leaf (out, in) that is added to the
            frozen weight with the adapters' scale: `W0 + alpha/rank * (offset + B A)`. It starts at zero; `download`
            changes it.
        head: `shared` or `personal` where the published method defines it; otherwise the configuration decides.
        trains: The roles of what is trained, where the published method defines them: `("lora", "head")`; otherwise
            the configuration decides.
        needs: Roles that must be among what is trained, for the method to mean anything.
    """

    title: ClassVar[str]
    paper: ClassVar[str]
    control: ClassVar[bool] = False
    pooled: ClassVar[bool] = False
    adapters: ClassVar[tuple[str, ...]] = ("global",)
    heads: ClassVar[tuple[str, ...]] = ("head",)
    scalars: ClassVar[Mapping[str, float]] = {}
    offset: ClassVar[bool] = False
    head: ClassVar[Literal["shared", "personal"] | None] = None
    trains: ClassVar[tuple[str, ...] | None] = None
    needs: ClassVar[tuple[str, ...]] = ()

    # What a client holds.

    def shared(self, leaf: Leaf) -> bool:
        """Whether a leaf travels to the server and back; all others stay with their client.

        The leaves of `head` are not asked about: their policy is a setting. A shared leaf that no pass of a round
        trains is equal on all clients already, and does not travel in that round.
        """
        return leaf.part == "global"

    def memory(self, params: Leaves) -> Leaves:
        """What a client remembers before the first round, beside its leaves."""
        return {}

    # What it trains.

    def mix(self, params: Leaves) -> Mix:
        """How the outputs of adapters and heads are weighted, where neither phase nor hook says otherwise.

        Args:
            params: The client's leaves, where the weights depend on them.

        Returns:
            By default a plain sum of the adapters, and the first head. With the weights m_a, a weight of the network
            itself is W0 + sum_a m_a (W_a - W0), W0 being the pretrained one.
        """
        return dict.fromkeys(self.adapters, 1.0)

    def phases(self, round: int) -> Sequence[Phase]:
        """A client's training in one round (counted from 0), as one or more passes over its images."""
        return [Phase()]

    def closing(self) -> Sequence[Phase]:
        """Passes that each client trains once, after the last round's averaging. Nothing is sent afterwards."""
        return []

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
        """What a client remembers of a round, before anything is sent.

        Args:
            params: The client's leaves after its training.
            start: As the round began.
            memory: What the client remembers so far.
            gradients: The mean gradient of `loss` over the round's steps, of every leaf that was trained.

        Returns:
            Its whole memory.
        """
        return memory

    # What travels.

    def upload(self, params: Leaves, memory: Leaves) -> Leaves:
        """What a client sends beside its shared leaves, under names that no leaf has."""
        return {}

    def server(self, sent: Leaves, start: Leaves, weights: Tensor) -> Leaves:
        """What all clients receive.

        Args:
            sent: What all K clients sent, each of shape (K, ...).
            start: The shared leaves as the round began, likewise.
            weights: Each client's share of all training images, shape (K,); they sum to one.

        Returns:
            The message without a client dimension: every client receives the same.
        """
        return mean_over_clients(sent, weights)

    def download(self, received: Leaves, params: Leaves, memory: Leaves, fresh: Leaves) -> tuple[Leaves, Leaves]:
        """What a client makes of the message.

        Args:
            received: What `server` returned.
            params: The client's leaves after its training.
            memory: What the client remembers.
            fresh: All leaves as they would be initialised in this round, the same on all clients.

        Returns:
            The leaves that change, and what the client remembers.
        """
        return {name: leaf for name, leaf in received.items() if name in params}, memory

    # What it predicts with.

    def deployed(self, params: Leaves, memory: Leaves) -> Leaves:
        """The leaves that a client predicts with."""
        return params

    def predict(self, batch: Batch, support: Batch, params: Leaves) -> Tensor:
        """The prediction of a batch's images.

        Args:
            batch: The images to predict, without targets.
            support: A few of the client's own training images, the same for every batch.
            params: The client's deployed leaves.

        Returns:
            What the task reads: logits (n, classes) of a classification.
        """
        return batch(params).prediction


def mean_over_clients(sent: Leaves, weights: Tensor) -> dict[str, Tensor]:
    """The weighted mean over clients of every leaf (K, ...) -> (...), weights (K,) summing to one."""
    return {name: torch.tensordot(weights.to(leaf.dtype), leaf, dims=1) for name, leaf in sent.items()}


def stacked(sent: Leaves, weights: Tensor, adapter: str = "global") -> dict[str, Pair]:
    """All clients' pairs of an adapter side by side, whose product is exactly the mean of the clients' products.

    Args:
        sent: A (K, rank, in) and B (K, out, rank) of every site.
        weights: Shape (K,), summing to one.
        adapter: Which adapter.

    Returns:
        By site, A (K rank, in) and B (out, K rank): `B A = sum_k weights_k B_k A_k`.
    """
    return {
        site: Pair(A.flatten(0, 1), (weights.to(B.dtype)[:, None, None] * B).transpose(0, 1).flatten(1))
        for site, (A, B) in pairs(sent, adapter).items()
    }


def truncated(pair: Pair, rank: int) -> Pair:
    """The best approximation of a product by one of a lower rank, by singular value decomposition.

    Of U S V^T, B is U S and A is V^T; signs are fixed by the largest entry of each column of B. Both factors are taken
    apart first (QR), so that no matrix of the size of the frozen weight is decomposed.

    Args:
        pair: A (m, in) and B (out, m).
        rank: At most m, in and out.

    Returns:
        A (rank, in) and B (out, rank); NaN where an entry is not finite.
    """
    finite = torch.isfinite(pair.A).all() & torch.isfinite(pair.B).all()
    A, B = (torch.where(finite, factor, torch.zeros_like(factor)) for factor in pair)
    (left, upper), (right, lower) = torch.linalg.qr(B), torch.linalg.qr(A.mT)
    U, S, Vt = torch.linalg.svd(upper @ lower.mT)
    found = Pair(Vt[:rank] @ right.mT, left @ U[:, :rank] * S[:rank])
    largest = found.B.gather(0, found.B.abs().argmax(0, keepdim=True))
    sign = torch.where(largest < 0, -1.0, 1.0).to(A.dtype)  # (1, rank)
    nothing = torch.full((), torch.nan, dtype=A.dtype, device=A.device)
    return Pair(torch.where(finite, found.A * sign.mT, nothing), torch.where(finite, found.B * sign, nothing))


def squared_distance(left: Leaves, right: Leaves) -> Tensor:
    """The sum of squared differences of all leaves that both sides name, a scalar."""
    return torch.stack([((left[name] - right[name]) ** 2).sum() for name in left if name in right]).sum()


def similarity(batch: Batch, support: Batch, params: Leaves, mix: Mix) -> Tensor:
    """Mean cosine similarity of each image's features to those of the support images, shape (n,)."""
    images, own = batch(params, mix).features, support(params, mix).features
    return F.cosine_similarity(images[:, None], own[None], dim=-1).mean(1)
