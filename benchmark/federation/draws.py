"""Random draws that depend on what they are for and on nothing else.

Every draw comes from a generator keyed by (seed, client, round, purpose), on the CPU. No draw depends on what was
drawn before it, on other clients or lanes, or on the device: an interrupted run and an uninterrupted one see the same
images in the same order.
"""

import hashlib
import math

import torch
from torch import Tensor

from benchmark.leaf import Leaf


def generator(*key: int | str) -> torch.Generator:
    """A CPU generator for this key: the same for the same key on every machine."""
    number = int.from_bytes(hashlib.sha256(repr(key).encode()).digest()[:8], "big") >> 1
    return torch.Generator().manual_seed(number)


def initial(leaf: Leaf, seed: int, dtype: torch.dtype, round: int = 0) -> Tensor:
    """The common initialisation of a leaf, equal on all clients.

    LoRA as PEFT initialises it: A uniform in (-1/sqrt(in), 1/sqrt(in)), which is Kaiming's with a = sqrt(5), and B
    zero, so that adapters change nothing at first. Heads: weights normal with standard deviation 0.02, biases zero.
    Offsets: zero.

    Args:
        leaf: The leaf; the initial value of a scalar is its method's.
        seed: The run's seed.
        dtype: Of the result; the draw itself is made in float64, so that precisions agree.
        round: Finished rounds, where a method begins anew.

    Returns:
        A tensor of the leaf's shape, on the CPU.
    """
    if leaf.factor == "B" or leaf.role == "offset" or (leaf.role == "head" and len(leaf.shape) == 1):
        return torch.zeros(leaf.shape, dtype=dtype)
    source = generator(seed, "initialisation", leaf.name, *([round] if round else []))
    if leaf.factor == "A":
        bound = 1 / math.sqrt(leaf.shape[1])
        return torch.empty(leaf.shape, dtype=torch.float64).uniform_(-bound, bound, generator=source).to(dtype)
    return torch.empty(leaf.shape, dtype=torch.float64).normal_(0, 0.02, generator=source).to(dtype)
