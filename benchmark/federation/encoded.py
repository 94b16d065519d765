"""What a network's frozen part makes of images: computed once, and kept in memory or in a file without a name."""

import math
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from benchmark.federation.client import Samples
from benchmark.federation.packed_images import PackedImages

CHUNK = 64
"""Images that are encoded at once."""
IN_MEMORY = 2 << 30
"""Most bytes that are held in memory of what is made of training images; and likewise of validation's."""
ON_DISK = 16 << 30
"""Likewise in a file, where a CPU trains: a GPU makes an image's tokens anew in the time in which a disk reads them."""


def encoded(
    every: Sequence[Samples],
    encode: Callable[[Tensor], Tensor],
    at_once: Callable[[Callable[[int], None], Sequence[int]], object],
) -> Sequence[Samples]:
    """Samples in which what is made of each image takes its place; as they are where it would take too much room.

    The file is one of the folder for temporary files (`TMPDIR`). It has no name, so that no job leaves one behind,
    however it ends; and it takes at most half of what is free there.

    Args:
        every: Each client's samples.
        encode: Makes (k, D, s, t) of images (k, size, size, channels), uint8; floating point.
        at_once: Calls a function for each client's number, given how many images each has.
    """
    bounds = [0, *np.cumsum([len(own) for own in every]).tolist()]
    one = encode(every[0].images[:1]).movedim(1, -1)
    whole = _room((bounds[-1], *one.shape[1:]), one)
    if whole is None:
        return every

    def fill(k: int) -> None:
        for first in range(0, len(every[k]), CHUNK):
            made = encode(every[k].images[first : first + CHUNK]).movedim(1, -1)
            whole[bounds[k] + first : bounds[k] + first + len(made)] = made

    at_once(fill, [len(own) for own in every])
    places = [torch.arange(first, end, device=whole.device) for first, end in pairwise(bounds)]
    return [
        replace(own, images=PackedImages(whole, there, encoded=True)) for own, there in zip(every, places, strict=True)
    ]


def _room(shape: tuple[int, ...], like: Tensor) -> Tensor | None:
    """An empty tensor of this shape, of the dtype and on the device of another one; None where there is no room."""
    size = math.prod(shape) * like.element_size()
    if size <= IN_MEMORY:
        return like.new_empty(shape)
    if like.device.type != "cpu" or size > min(ON_DISK, shutil.disk_usage(tempfile.gettempdir()).free // 2):
        return None
    with tempfile.TemporaryFile() as file:  # The map outlives it.
        try:  # Without its space, a disk that fills up would end the job by a signal, in the middle of a write.
            os.posix_fallocate(file.fileno(), 0, size)
        except OSError:
            return None
        return torch.from_numpy(np.memmap(file, like[:0].numpy().dtype, "w+", shape=shape))
