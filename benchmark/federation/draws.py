"""Random draws that depend on what they are for and on nothing else.

Every draw comes from a generator keyed by (seed, client, round, purpose), on the CPU. No draw depends on what was
drawn before it, on other clients or lanes, or on the device: an interrupted run and an uninterrupted one see the same
images in the same order.
"""

import hashlib

import torch
from torch import Tensor

from benchmark.leaf import Leaf


def generator(*key: int | str) -> torch.Generator:
    """A CPU generator for this key: the same for the same key on every machine."""
    number = int.from_bytes(hashlib.sha256(repr(key).encode()).digest()[:8], "big") >> 1
    return torch.Generator().manual_seed(number)


def initial(leaf: Leaf, seed: int, dtype: torch.dtype, round: int = 0, client: str = "") -> Tensor:
    """What a leaf begins with that was not pretrained.

    Args:
        leaf: The leaf; its initial value is not `pretrained`.
        seed: The run's seed.
        dtype: Of the result; the draw itself is made in float64, so that precisions agree.
        round: Finished rounds, where a method begins anew.
        client: Who draws it; nobody where all clients begin with the same.

    Returns:
        A tensor of the leaf's shape, on the CPU.
    """
    kind, size = leaf.initial.kind, leaf.initial.size
    if kind in ("zero", "constant"):
        return torch.full(leaf.shape, size, dtype=dtype)
    source = generator(seed, "initialisation", leaf.name, *([round] if round else []), *([client] if client else []))
    drawn = torch.empty(leaf.shape, dtype=torch.float64)
    if kind == "uniform":
        return drawn.uniform_(-size, size, generator=source).to(dtype)
    return drawn.normal_(0, size, generator=source).to(dtype)
