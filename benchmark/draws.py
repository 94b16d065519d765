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
