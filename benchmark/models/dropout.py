"""Dropout whose draws follow from a key: the same on every device, in whatever order it is asked for.

A hash of the key, the place and the number of an element says whether it is dropped.
"""

import torch
from torch import Tensor

from benchmark.draws import hashed


def dropped(x: Tensor, share: float, key: Tensor, place: int) -> Tensor:
    """A tensor of which a share of the elements is zero, the others enlarged so that the expected value stays.

    `key` is the training step's, a scalar int64; `place` tells layers apart.
    """
    uniform = hashed(torch.arange(x.numel(), device=x.device).view(x.shape), key + (place << 40))
    return x * (uniform >= share).to(x.dtype) / (1 - share)
