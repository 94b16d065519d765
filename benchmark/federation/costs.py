"""What a method costs: counted from shapes, so that no run has to be measured for it."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch

from benchmark.federation.engine import Engine
from benchmark.federation.exchange import Exchange, size
from benchmark.federation.model import Model
from benchmark.leaf import Leaf
from benchmark.method import Method, Phase


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


def _size(leaves: Iterable[Leaf]) -> int:
    return sum(math.prod(leaf.shape) for leaf in leaves)
