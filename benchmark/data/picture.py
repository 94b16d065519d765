"""Pictures brought to the size of the pack: an image, and what belongs to it, on the same grid of pixels."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from benchmark.data.dataset import DataError

Resize = Literal["crop", "squash"]
"""`crop` scales the short side and cuts the centre; `squash` scales both sides."""


def decode(path: Path, size: int, resize: Resize, channels: int = 3) -> npt.NDArray[np.uint8]:
    """Read a JPEG or PNG file of 3 channels (RGB) or 1 (grey), and bring it to (size, size, channels) uint8.

    Pillow's errors pass: OSError, ValueError or SyntaxError.
    """
    with Image.open(path) as picture:
        _shrink(picture, size)
        image = picture.convert("RGB" if channels == 3 else "L")
    return _fitted(image, image.size, size, resize, Image.Resampling.BICUBIC).reshape(size, size, channels)


def fit(picture: Image.Image, image: Path, size: int, resize: Resize) -> npt.NDArray[Any]:
    """Bring a picture (a mask, say) that belongs to an image to the very pixels of the packed image.

    No new values are made. Returns (size, size) for a picture of one channel, (size, size, channels) otherwise, in the
    picture's dtype. A DataError says that it has other proportions than the image of this file; which file it is of
    itself, the caller knows.
    """
    with Image.open(image) as opened:
        whole = opened.size
        _shrink(opened, size)
        like = opened.size
    # A pixel more or less is rounding.
    if abs(picture.width * whole[1] - picture.height * whole[0]) > max(whole):
        ours, theirs = (f"{width} x {height}" for width, height in (picture.size, whole))
        raise DataError(f"has {ours} pixels, and its image {image} {theirs}; bring both to the same proportions")
    return _fitted(picture, like, size, resize, Image.Resampling.NEAREST)


def _shrink(picture: Image.Image, size: int) -> None:
    """Let a JPEG be decoded at a half, a quarter or an eighth; twice the size leaves the filter enough to work on."""
    picture.draft("RGB", (2 * size, 2 * size))


def _fitted(
    picture: Image.Image, like: tuple[int, int], size: int, resize: Resize, filter: Image.Resampling
) -> npt.NDArray[Any]:
    """The part of a picture that is packed of an image of the size `like`."""
    if resize == "squash":
        return np.asarray(picture.resize((size, size), filter))
    ratio = size / min(like)
    width, height = (max(size, round(side * ratio)) for side in like)
    left, top = (width - size) // 2, (height - size) // 2
    whole = picture.resize((width, height), filter)
    return np.asarray(whole.crop((left, top, left + size, top + size)))
