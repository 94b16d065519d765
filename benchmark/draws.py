"""Random draws that depend on what they are for and on nothing else.

Every draw comes from a generator keyed by (seed, client, round, purpose), on the CPU. No draw depends on what was
drawn before it, on other clients or lanes, or on the device: an interrupted run and an uninterrupted one see the same
images in the same order. Of torch's generators only whole and uniform numbers are used, whose bits do not depend on the
CPU; those of its normal ones do.
"""

import hashlib
import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from benchmark.exact import gaussian
from benchmark.leaf import Leaf

_STEP, _MIX = (-0x61C8864680B583EB, (-0x40A7B892E31B1A47, -0x6B2FB644ECCEEE15))
"""SplitMix64's constants, as signed numbers of 64 bits."""


def generator(*key: int | str) -> torch.Generator:
    """A CPU generator for this key: the same for the same key on every machine."""
    number = int.from_bytes(hashlib.sha256(repr(key).encode()).digest()[:8], "big") >> 1
    return torch.Generator().manual_seed(number)


def hashed(number: Tensor, key: Tensor) -> Tensor:
    """A random number for every element of a key's sequence, however many are asked for, and on which device.

    SplitMix64's finaliser, whose integer products wrap round alike on every machine.

    Args:
        number: Which elements, int64.
        key: The sequence, int64, of a shape that broadcasts with them.

    Returns:
        Uniform numbers in [0, 1), float64, on the same device.
    """
    bits = number * _STEP + key
    for shift, factor in ((30, _MIX[0]), (27, _MIX[1])):
        bits = (bits ^ _shifted(bits, shift)) * factor
    return _shifted(bits ^ _shifted(bits, 31), 11).to(torch.float64) * 2.0**-53


def _shifted(bits: Tensor, count: int) -> Tensor:
    """A shift to the right that fills with zeros; torch's fills with the sign."""
    return (bits >> count) & ((1 << (64 - count)) - 1)


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
    if kind == "uniform":
        return (torch.rand(leaf.shape, generator=source, dtype=torch.float64) * (2 * size) - size).to(dtype)
    return (normal(leaf.shape, source) * size).to(dtype)


def normal(shape: Sequence[int], source: torch.Generator) -> Tensor:
    """Numbers of the normal distribution with the mean 0 and the variance 1, of this shape, float64, on the CPU."""
    count = math.prod(shape)
    # Eight radii and eight directions, as torch's own `normal_` takes them: its numbers, where their bits are the same.
    uniform = torch.rand(-(-count // 16), 2, 8, generator=source, dtype=torch.float64).numpy()
    found = torch.from_numpy(np.stack(gaussian(1 - uniform[:, 0], uniform[:, 1]), 1))
    return found.flatten()[:count].reshape(*shape)
