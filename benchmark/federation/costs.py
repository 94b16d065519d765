"""What a method costs: counted from shapes, so that no run has to be measured for it."""

import math
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

import torch

from benchmark.data.augmentation import to_float
from benchmark.federation.client import Lane
from benchmark.federation.engine import Engine
from benchmark.federation.exchange import Exchange, size
from benchmark.federation.model import Images, Model
from benchmark.leaf import Leaf, Leaves
from benchmark.method import Method, Mix, Output, Phase


def phases(method: Method, rounds: int) -> list[Phase]:
    """All passes of a run, the closing ones among them."""
    return [phase for round in range(rounds) for phase in method.phases(round)] + list(method.closing())


def trainable_parameters(model: Model, rounds: int) -> int:
    """Parameters that one client trains, in any pass of any round."""
    every = phases(model.method, rounds)
    leaves = [leaf for leaf in model.leaves.values() if leaf.trainable]
    return _size(leaf for leaf in leaves if any(phase.trains(leaf) for phase in every))


def image_passes(engine: Engine, rounds: int) -> int:
    """Passes that one client makes over its images, in all rounds and after the last."""
    return engine.epochs(phases(engine.model.method, rounds)) * engine.training.stack


_IN_STEP = 4
"""Tensors of every leaf's size that a step holds: the leaf, its gradient, and the optimiser's."""
_IN_ROUND = 2
"""Tensors of every leaf's size that a round holds of every client: before it, and after it."""


@dataclass(frozen=True)
class Traffic:
    """Bytes that one client sends and receives, in every round."""

    up: Sequence[int]
    down: Sequence[int]


def traffic(
    model: Model, head: Literal["shared", "personal"], clients: int, rounds: int, dtype: torch.dtype
) -> Traffic:
    """Bytes of the messages of all rounds.

    Nothing is computed for them: hooks are given tensors that have shapes and no values.

    Args:
        model: Whose leaves travel.
        head: The policy for the head, where the method does not define its own.
        clients: How many there are.
        rounds: How many there are.
        dtype: Of the leaves.

    Returns:
        What one client sends and receives.
    """
    method = model.method
    if method.pooled:
        return Traffic([0] * rounds, [0] * rounds)
    empty = partial(torch.empty, dtype=dtype, device="meta")
    params = {name: empty((clients, 1, *leaf.shape)) for name, leaf in model.leaves.items()}
    memory = torch.vmap(torch.vmap(lambda own: dict(method.memory(own))))(params)
    found: dict[tuple[str, ...], tuple[int, int]] = {}
    each = []
    for round in range(rounds):
        exchange = Exchange(model, head, round)
        leaves = tuple(exchange.leaves)
        if leaves not in found:
            sent = exchange.up(params, memory)
            weights = torch.empty(clients, dtype=torch.float64, device="meta")
            found[leaves] = size(sent, 2), size(exchange.served(sent, params, weights), 1)
        each.append(found[leaves])
    return Traffic([up for up, _ in each], [down for _, down in each])


def lane_memory(engine: Engine) -> int:
    """Bytes that one lane is expected to hold: those of a step on one batch, and every client's leaves."""
    side_by_side = min(engine.threads, len(engine.participants))
    leaves = _size(engine.model.leaves.values()) * engine.dtype.itemsize
    images = engine.training.batch_size * engine.training.stack
    step = step_memory(engine.model, images, engine.dtype, _traced(engine))
    return side_by_side * step + _IN_ROUND * len(engine.participants) * leaves


def step_memory(model: Model, images: int, dtype: torch.dtype, traced: int) -> int:
    """Bytes that one lane's step on so many images is expected to hold, its leaves of this dtype among them.

    The method's loss reads the outputs of so many adapters; see `traced`.
    """
    every = model.leaves.values()
    return model.network.step_bytes(images, every, traced) + _IN_STEP * _size(every) * dtype.itemsize


def traced(images: Images, params: Leaves) -> int:
    """Adapters whose outputs a method's loss reads: all of them where it asks for a trace, found out by computing it.

    Args:
        images: A few images with their targets.
        params: The leaves of one client in one lane.

    Returns:
        How many.
    """
    method, asked = images.model.method, _Asked(**vars(images))
    # What is wrong with a loss is told where it is trained, with client and round.
    with torch.no_grad(), suppress(Exception):
        method.loss(asked, params, params, method.memory(params))
    return len(method.adapters) if any(asked.traces) else 0


@dataclass(frozen=True)
class _Asked(Images):
    """Images that remember of every pass over them whether a trace was asked for."""

    traces: list[bool] = field(default_factory=list)

    def __call__(self, params: Leaves, mix: Mix | None = None, *, trace: bool = False) -> Output:
        self.traces.append(trace)
        return super().__call__(params, mix, trace=trace)


_FEW = 2
"""Images that a loss is computed of to see what it asks for: statistics over a batch need more than one."""


def _traced(engine: Engine) -> int:
    """The same, of an engine's method on the first images of its first participant."""
    samples, method = engine.participants[0].training, engine.model.method
    few, targets = to_float(samples.images[:_FEW].to(engine.device), engine.dtype), samples.targets
    mix, priors = method.phases(0)[0].mix, engine.model.task.priors(targets)
    begun = engine.fresh([Lane("1", 0)], round=0)
    return traced(
        Images(engine.model, few, targets[:_FEW], mix, priors), {name: own[0, 0] for name, own in begun.items()}
    )


def _size(leaves: Iterable[Leaf]) -> int:
    return sum(math.prod(leaf.shape) for leaf in leaves)
