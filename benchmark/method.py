"""The method contract: all that the author of a federated method writes, and needs to know.

A method is a class in a file of its own in `methods/`; the file's name is the method's name. It says which adapters a
client holds, which leaves travel, how a client trains in a round, what the server makes of what it receives, and how
a client predicts. Every hook has a default, and the defaults together are FedAvg of one LoRA adapter.

Client hooks (`loss`, `after`, `deployed`, `predict`) see one client in one lane: leaves have the shapes their `Leaf`
gives. The server hook sees all clients of one lane, stacked on dimension 0. No hook sees learning rates, seeds, devices
or dtypes: the engine maps the hooks over lanes, so that lanes cannot leak into each other.

Hooks are mapped with `torch.vmap`: write pure functions of tensors, without `.item()`, in-place changes of arguments
or branches on values.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal, NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmark.leaf import Leaf, Leaves, part

__all__ = ["Batch", "Leaf", "Leaves", "Method", "Mix", "Output", "Phase", "mean_over_clients", "part", "similarity"]

Mix = Mapping[str, float | Tensor]
"""The weight of each adapter's output, by the adapter's name: a number, or one for each image, shape (n,).
An adapter that is not named takes no part."""


class Output(NamedTuple):
    """What the model makes of a batch of n images.

    Attributes:
        logits: Shape (n, classes).
        features: What the head sees (for a vision transformer, the final class token), shape (n, dim).
        adapters: Where a trace was asked for: by adapter, the unweighted output `alpha/rank * B A x` at every adapted
            projection in order, each of shape (n, tokens, out). Empty otherwise.
    """

    logits: Tensor
    features: Tensor
    adapters: Mapping[str, Sequence[Tensor]]


class Batch(Protocol):
    """Images of one client, and what a hook may compute on them."""

    def __call__(self, params: Leaves, mix: Mix | None = None, *, trace: bool = False) -> Output:
        """Run the frozen backbone with adapters and head; without `mix`, with the mix of the current phase."""
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
        trains: Which leaves this pass changes.
        mix: How the adapters' outputs are weighted; the method's own `mix` where none is given.
        epochs: Passes over the client's images; the configured local epochs where none are given.
        copies: Adapters that start this phase as a copy of another: `{"personal": "global"}`.
    """

    trains: Callable[[Leaf], bool] = lambda leaf: True
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
        adapters: The LoRA adapters each client holds. Adapters of one name start equal on all clients; adapters of
            different names are drawn independently.
        head: `shared` or `personal` where the published method defines it; otherwise the configuration decides.
    """

    title: ClassVar[str]
    paper: ClassVar[str]
    control: ClassVar[bool] = False
    pooled: ClassVar[bool] = False
    adapters: ClassVar[tuple[str, ...]] = ("global",)
    head: ClassVar[Literal["shared", "personal"] | None] = None

    def shared(self, leaf: Leaf) -> bool:
        """Whether a LoRA leaf travels to the server and back; all others stay with their client."""
        return leaf.part == "global"

    def mix(self) -> Mix:
        """How the adapters' outputs are weighted, where neither phase nor hook says otherwise: a plain sum."""
        return dict.fromkeys(self.adapters, 1.0)

    def phases(self, round: int) -> Sequence[Phase]:
        """A client's training in one round (counted from 0), as one or more passes over its images."""
        return [Phase()]

    def closing(self) -> Sequence[Phase]:
        """Passes that each client trains once, after the last round's averaging. Nothing is sent afterwards."""
        return []

    def memory(self, params: Leaves) -> Leaves:
        """What a client remembers before the first round."""
        return {}

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

    def after(self, params: Leaves, start: Leaves, memory: Leaves) -> Leaves:
        """What a client remembers of a round, before its leaves are averaged."""
        return memory

    def server(self, sent: Leaves, start: Leaves, weights: Tensor) -> Leaves:
        """What all clients receive.

        Args:
            sent: The shared leaves of all K clients, each of shape (K, ...).
            start: The same leaves as the round began.
            weights: Each client's share of all training images, shape (K,); they sum to one.

        Returns:
            The same leaves without the client dimension: every client receives the same.
        """
        return mean_over_clients(sent, weights)

    def deployed(self, params: Leaves, memory: Leaves) -> Leaves:
        """The leaves that a client predicts with."""
        return params

    def predict(self, batch: Batch, support: Batch, params: Leaves) -> Tensor:
        """Logits of a batch's images.

        Args:
            batch: The images to predict, without targets.
            support: A few of the client's own training images, the same for every batch.
            params: The client's deployed leaves.

        Returns:
            Shape (n, classes).
        """
        return batch(params).logits


def mean_over_clients(sent: Leaves, weights: Tensor) -> dict[str, Tensor]:
    """The weighted mean over clients of every leaf (K, ...) -> (...), weights (K,) summing to one."""
    return {name: torch.tensordot(weights.to(leaf.dtype), leaf, dims=1) for name, leaf in sent.items()}


def similarity(batch: Batch, support: Batch, params: Leaves, mix: Mix) -> Tensor:
    """Mean cosine similarity of each image's features to those of the support images, shape (n,)."""
    images, own = batch(params, mix).features, support(params, mix).features
    return F.cosine_similarity(images[:, None], own[None], dim=-1).mean(1)
