"""What is done with gradients: torch.optim's SGD, Adam and AdamW over all lanes at once, each lane at its own rate.

All leaves of all lanes take a step in a few fused operations, in place. Lane by lane that is what torch.optim does.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from benchmark.settings import OptimiserSettings

State = dict[str, list[Tensor]]
"""What an optimiser remembers, by kind; of each kind a tensor for every leaf."""


@dataclass(frozen=True)
class Optimiser(ABC):
    """How leaves follow their gradients.

    Attributes:
        settings: The optimiser's settings.
    """

    settings: OptimiserSettings

    @abstractmethod
    def state(self, leaves: Sequence[Tensor]) -> State:
        """What is remembered before the first step of leaves (L, ...): tensors whose first dimension are lanes."""

    @abstractmethod
    def step(self, leaves: list[Tensor], gradients: list[Tensor], state: State, rates: list[Tensor]) -> None:
        """Take a step, in place: leaves and state change.

        Leaves and gradients are of shape (L, ...); the lanes' rates, one tensor for each leaf, can be multiplied with
        it.
        """

    def decayed(self, leaves: list[Tensor], gradients: list[Tensor]) -> list[Tensor]:
        """Gradients to which weight decay has been added."""
        decay = self.settings.weight_decay
        return list(torch._foreach_add(gradients, leaves, alpha=decay)) if decay else gradients


class SGD(Optimiser):
    """Stochastic gradient descent with momentum: v <- momentum v + g, w <- w - rate v."""

    def state(self, leaves: Sequence[Tensor]) -> State:
        """The velocity v, where there is momentum."""
        return {"velocity": [torch.zeros_like(leaf) for leaf in leaves]} if self.settings.momentum else {}

    def step(self, leaves: list[Tensor], gradients: list[Tensor], state: State, rates: list[Tensor]) -> None:
        """See `Optimiser.step`."""
        gradients = self.decayed(leaves, gradients)
        if self.settings.momentum:
            velocity = state["velocity"]
            torch._foreach_mul_(velocity, self.settings.momentum)
            torch._foreach_add_(velocity, gradients)
            gradients = velocity
        torch._foreach_sub_(leaves, torch._foreach_mul(gradients, rates))


class Adam(Optimiser):
    """Adam (arXiv 1412.6980, algorithm 1), with AMSGrad where that is asked for (arXiv 1904.09237).

    m <- b1 m + (1 - b1) g, v <- b2 v + (1 - b2) g^2, w <- w - rate m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + eps); with
    AMSGrad the largest v so far takes the place of v.
    """

    decoupled: ClassVar[bool] = False
    """Whether weight decay stands beside the gradient."""

    def state(self, leaves: Sequence[Tensor]) -> State:
        """Means of gradients and of their squares, the number of steps (L,), and the largest mean square."""
        kinds = ["mean", "square", *(["largest"] if self.settings.amsgrad else [])]
        steps = [torch.zeros(len(leaf), dtype=torch.float64, device=leaf.device) for leaf in leaves]
        return {**{kind: [torch.zeros_like(leaf) for leaf in leaves] for kind in kinds}, "steps": steps}

    def step(self, leaves: list[Tensor], gradients: list[Tensor], state: State, rates: list[Tensor]) -> None:
        """See `Optimiser.step`."""
        first, second = self.settings.betas
        if not self.decoupled:
            gradients = self.decayed(leaves, gradients)
        elif self.settings.weight_decay:
            kept = torch._foreach_add(torch._foreach_mul(rates, -self.settings.weight_decay), 1.0)
            torch._foreach_mul_(leaves, kept)
        torch._foreach_lerp_(state["mean"], gradients, 1 - first)
        torch._foreach_mul_(state["square"], second)
        torch._foreach_addcmul_(state["square"], gradients, gradients, 1 - second)
        square = state["square"]
        if self.settings.amsgrad:
            torch._foreach_maximum_(state["largest"], square)
            square = state["largest"]
        torch._foreach_add_(state["steps"], 1.0)
        steps = torch.stack(state["steps"])  # (P, L)
        shapes = [rate.shape for rate in rates]
        of_mean, of_root = (
            [own.to(leaf.dtype).view(shape) for own, leaf, shape in zip(bias, leaves, shapes, strict=True)]
            for bias in (1 - first**steps, torch.sqrt(1 - second**steps))
        )
        roots = torch._foreach_div(torch._foreach_sqrt(square), of_root)
        torch._foreach_add_(roots, self.settings.eps)
        ways = torch._foreach_div(torch._foreach_mul(state["mean"], torch._foreach_div(rates, of_mean)), roots)
        torch._foreach_sub_(leaves, ways)


class AdamW(Adam):
    """Adam whose weight decay is decoupled from the gradient: w <- w - rate decay w first (arXiv 1711.05101)."""

    decoupled = True


OPTIMISERS: dict[str, type[Optimiser]] = {"sgd": SGD, "adam": Adam, "adamw": AdamW}


def of(settings: OptimiserSettings) -> Optimiser:
    """The optimiser of these settings."""
    return OPTIMISERS[settings.name](settings)


def by_leaf(state: State, leaves: Iterable[str]) -> dict[str, Tensor]:
    """What an optimiser remembers of leaves of these names, by `kind:leaf`."""
    return {f"{kind}:{name}": own for kind, each in state.items() for name, own in zip(leaves, each, strict=True)}


def factor(settings: OptimiserSettings, step: int, total: int) -> float:
    """What the learning rate is multiplied with at a step, counted from 0, of a client's `total` ones: from 0 to 1."""
    if step < settings.warmup:
        return (step + 1) / settings.warmup
    if settings.schedule == "constant":
        return 1.0
    done = (step - settings.warmup) / max(1, total - settings.warmup)
    if settings.schedule == "cosine":
        return (1 + math.cos(math.pi * done)) / 2
    return float((1 - done) ** settings.power)
