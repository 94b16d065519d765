"""Random changes of training images, as batched tensor operations on the images' device.

All random numbers come from generators on the CPU, as many per image whatever the settings, so that the same
generator gives the same images on every device, however they are batched, and switching one change off leaves the
others as they were. Changes that few ask for (`benchmark.data.changes`) have a generator of their own.
"""

import torch
from torch import Tensor

from benchmark.data.changes import NUMBERS, changed
from benchmark.settings import AugmentationSettings

PLAIN = 5
"""Random numbers of an image for mirroring, turning, brightness and contrast."""


def to_float(images: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Images as a network reads them.

    Args:
        images: (n, H, W, 3) uint8, or floating point in [0, 1].
        dtype: Floating-point type of the result.

    Returns:
        (n, 3, H, W) `dtype` in [0, 1], on the same device.
    """
    values = images.permute(0, 3, 1, 2).to(dtype)
    return values if images.is_floating_point() else values / 255


def draws(count: int, generator: torch.Generator, further: torch.Generator | None = None) -> Tensor:
    """The random numbers of so many images: (count, `PLAIN`) float64 in [0, 1), on the CPU, as the generators are.

    With a generator for further changes their `NUMBERS` follow, (count, `PLAIN` + `NUMBERS`).
    """
    sources = [(PLAIN, generator), *([(NUMBERS, further)] if further else [])]
    return torch.cat([torch.rand(count, own, generator=source, dtype=torch.float64) for own, source in sources], dim=1)


def augment(
    images: Tensor,
    settings: AugmentationSettings,
    draws: Tensor,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Mirrored, turned, brightened and contrasted images.

    Args:
        images: (n, H, W, 3) uint8; where nothing but these four is asked for, or floating point in [0, 1].
        settings: Which changes, and how large.
        draws: The images' random numbers, as `draws` gives them, on the same device.
        dtype: Floating-point type of the result.

    Returns:
        (n, 3, H, W) `dtype` in [0, 1], on the same device.

    Raises:
        ValueError: Images that are not square cannot be turned by a quarter.
    """
    values = to_float(moved(images, settings, draws), dtype)
    shift, scale = ((2 * draws[:, k] - 1).view(-1, 1, 1, 1).to(dtype) for k in (3, 4))
    mean = values.mean((1, 2, 3), keepdim=True)
    values = (values - mean) * (1 + settings.contrast * scale) + mean + settings.brightness * shift
    return values.clamp(0, 1)


def moved(images: Tensor, settings: AugmentationSettings, draws: Tensor, labels: bool = False) -> Tensor:
    """Mirrored, turned and further changed images, or maps of labels, in which no value is made.

    Args:
        images: (n, H, W, channels), of any dtype; uint8 where images are changed further.
        settings: Which changes.
        draws: The images' random numbers, as `draws` gives them, on the same device.
        labels: Whether these are maps, to which what changes values alone does nothing.

    Returns:
        The same shape and dtype.

    Raises:
        ValueError: Images that are not square cannot be turned by a quarter.
    """
    _, height, width, _ = images.shape
    if settings.rotate and height != width:
        raise ValueError(f"images of {height} x {width} cannot be turned by a quarter: set augmentation.rotate: false")
    mirrored, upside_down, turned = (draws[:, k].view(-1, 1, 1, 1) for k in range(3))
    if settings.half:
        upside_down, turned = torch.ones_like(upside_down), torch.where(mirrored < 0.5, turned, 0)
    if settings.flip:
        images = torch.where(mirrored < 0.5, images.flip(2), images)
        images = torch.where(upside_down < 0.5, images.flip(1), images)
    if settings.rotate:
        # A quarter turn is a transposition and a mirroring; half a turn is two mirrorings.
        images = torch.where((turned >= 0.25) & (turned < 0.5), images.flip(1).flip(2), images)
        images = torch.where(turned >= 0.5, images.transpose(1, 2).flip(1), images)
        images = torch.where(turned >= 0.75, images.flip(1).flip(2), images)
    return changed(images, settings, draws[:, PLAIN:], labels) if settings.further else images
