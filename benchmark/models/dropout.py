"""Dropout whose draws follow from a key: the same on every device, in whatever order it is asked for.

A hash of the key, the place and the number of an element says whether it is dropped (SplitMix64's finaliser, whose
integer products wrap round alike on every machine).
"""

import torch
from torch import Tensor

_STEP, _MIX = (-0x61C8864680B583EB, (-0x40A7B892E31B1A47, -0x6B2FB644ECCEEE15))
"""SplitMix64's constants, as signed numbers of 64 bits."""


def dropped(x: Tensor, share: float, key: Tensor, place: int) -> Tensor:
    """A tensor of which a share of the elements is zero, the others enlarged so that the expected value stays.

    `key` is the training step's, a scalar int64; `place` tells layers apart.
    """
    number = torch.arange(x.numel(), device=x.device).view(x.shape)
    bits = number * _STEP + (key + (place << 40))
    for shift, factor in ((30, _MIX[0]), (27, _MIX[1])):
        bits = (bits ^ _shifted(bits, shift)) * factor
    uniform = _shifted(bits ^ _shifted(bits, 31), 11).to(torch.float64) * 2.0**-53
    return x * (uniform >= share).to(x.dtype) / (1 - share)


def _shifted(bits: Tensor, count: int) -> Tensor:
    """A shift to the right that fills with zeros; torch's fills with the sign."""
    return (bits >> count) & ((1 << (64 - count)) - 1)
