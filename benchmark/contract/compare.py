"""How far results are apart, and where most."""

from collections.abc import Sequence
from typing import NamedTuple

import torch

from benchmark.federation.client import ClientData
from benchmark.federation.engine import State
from benchmark.leaf import Leaves

ROUNDING = 1e-10
"""Float64, values of order one: what another order of sums does, with FedOPAL-R's amplification a hundredfold."""


class Difference(NamedTuple):
    """Where two results differ most.

    Attributes:
        name: The leaf, or the name in memory.
        client: Whose.
        size: The largest difference; infinite where one side is no number, or has no such leaf.
    """

    name: str
    client: str
    size: float

    def __str__(self) -> str:
        return f"{self.name!r} of client {self.client} (by {self.size:.1e})"


def apart(left: State, right: State, clients: Sequence[ClientData]) -> Difference:
    """Where leaves, memory and optimisers of the K clients, of shape (K, L, ...), differ most."""
    found = [_furthest(held, right.kinds[kind], clients) for kind, held in left.kinds.items()]
    return max(found, key=lambda difference: difference.size)


def _furthest(left: Leaves, right: Leaves, clients: Sequence[ClientData]) -> Difference:
    worst = Difference("", "", 0.0)
    for name in dict.fromkeys([*left, *right]):
        if name not in left or name not in right or left[name].shape != right[name].shape:
            return Difference(name, "any", float("inf"))
        if left[name].numel() == 0:
            continue
        distances = (
            (left[name] - right[name]).abs().double().reshape(len(clients), -1).amax(1).nan_to_num(nan=float("inf"))
        )
        k = int(torch.argmax(distances))
        if distances[k] > worst.size:
            worst = Difference(name, clients[k].name, float(distances[k]))
    return worst
