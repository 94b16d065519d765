"""FLAP-SAM's further changes of training images (arXiv 2407.21739; the code of its authors, commit f2cf1bec).

In this order: half of the images are turned, half get another curve of grey values, of half a rectangle is erased; and
every image undergoes some of ten more changes (`KINDS`), in a drawn order. Maps of labels move as their images do, by
the nearest pixel. All is arithmetic on levels of 8 bits, as Pillow does it, in exactly rounded operations: the same
numbers give the same bits on every device.
"""

from functools import cache

import numpy as np
import torch
from torch import Tensor

from benchmark import exact
from benchmark.draws import hashed
from benchmark.settings import AugmentationSettings

KINDS = ("shear x", "shear y", "scale", "shift x", "shift y", "levels", "contrast", "brightness", "sharpness", "none")
"""Of every image `AugmentationSettings.others` of these, each once at most."""
_LOW = (-0.3, -0.3, 0.8, -0.2, -0.2, 4.0, 0.7, 0.7, 0.1, 0.0)
_HIGH = (0.3, 0.3, 1.2, 0.2, 0.2, 8.99, 1.3, 1.3, 1.9, 0.0)
"""How strong each is at least and at most: slopes, a factor, shares of the side, bits kept, and factors of the
difference from the mean, from black and from the blurred image."""
CURVES = 256
"""Different curves of grey values."""
RATIO = (0.3, 3.3)
"""Width over height of what is erased."""
_SHEAR_X, _SHEAR_Y, _SCALE, _SHIFT_X, _SHIFT_Y, _LEVELS, _CONTRAST, _BRIGHTNESS, _SHARPNESS, _ = range(len(KINDS))
_TURN, _GAMMA, _SHARE, _RATIO, _TOP, _LEFT, _NOISE = range(7)
_ORDER = 7
_AMOUNT = _ORDER + len(KINDS)
NUMBERS = _AMOUNT + len(KINDS)
"""Random numbers of an image."""


def changed(levels: Tensor, settings: AugmentationSettings, draws: Tensor, labels: bool = False) -> Tensor:
    """Images that are changed further, or maps of labels that follow them.

    Args:
        levels: Images (n, H, W, channels) uint8; or maps of labels, of any dtype, of which 0 is background.
        settings: Which changes, and how large.
        draws: The images' random numbers for this, (n, `NUMBERS`) float64 in [0, 1), on the same device.
        labels: Whether these are maps: pixels move, or become background.

    Returns:
        The same shape and dtype.
    """
    _, height, width, _ = levels.shape
    # A number below one half says that the change is made, and twice that number how.
    made, how = draws < 0.5, 2 * draws
    if settings.turn:
        circle = _circle(settings.turn).to(levels.device, non_blocking=True)
        which = torch.where(made[:, _TURN], (how[:, _TURN] * len(circle)).long(), settings.turn)
        levels = resampled(levels, _turned(circle[which], height, width), smooth=False)
    if settings.gamma != (1.0, 1.0) and not labels:
        curves = _curves(*settings.gamma).to(levels.device, non_blocking=True)
        which = torch.where(made[:, _GAMMA], (how[:, _GAMMA] * CURVES).long(), CURVES)
        flat = levels.flatten(1).long()
        levels = curves[which].gather(1, flat).view(levels.shape)
    if settings.erase[1]:
        hole = _rectangle(settings.erase, draws, height, width) & made[:, _SHARE, None, None]
        filling = torch.zeros((), dtype=levels.dtype, device=levels.device)
        if not labels:
            key = (draws[:, _NOISE] * 2.0**53).long().view(-1, 1, 1)
            pixel = torch.arange(height * width, device=levels.device).view(height, width)
            filling = (hashed(pixel, key) * 256).to(torch.uint8).unsqueeze(-1)
        levels = torch.where(hole.unsqueeze(-1), filling, levels)
    order = draws[:, _ORDER:_AMOUNT].argsort(dim=1, stable=True)
    low, high = (draws.new_tensor(bound) for bound in (_LOW, _HIGH))
    amounts = low + (high - low) * draws[:, _AMOUNT:]
    for kind in order[:, : settings.others].unbind(1):
        amount = amounts.gather(1, kind[:, None]).squeeze(1)
        levels = resampled(levels, _moved(kind, amount, height, width), smooth=not labels)
        if not labels:
            levels = _lit(levels, kind.view(-1, 1, 1, 1), amount.view(-1, 1, 1, 1))
    return levels


def resampled(levels: Tensor, matrices: Tensor, smooth: bool) -> Tensor:
    """Images of which every pixel comes from another place; 0 where that lies outside.

    Args:
        levels: (n, H, W, channels), uint8 if `smooth`.
        matrices: a, b, c, d, e, f of each image, (n, 6) float64: what is at (x, y), counted from the upper left corner,
            comes from (a x + b y + c, d x + e y + f). Pixels have their middles at halves.
        smooth: Whether values are interpolated between the four nearest pixels and rounded down, or the nearest is
            taken.

    Returns:
        The same shape and dtype.
    """
    count, height, width, _ = levels.shape
    x, y = (torch.arange(side, device=levels.device, dtype=torch.float64) + 0.5 for side in (width, height))
    y = y.unsqueeze(1)
    a, b, c, d, e, f = matrices.view(count, 6, 1, 1).unbind(1)
    across, down = a * x + b * y + c, d * x + e * y + f  # (n, H, W)
    inside = (across >= 0) & (across < width) & (down >= 0) & (down < height)
    pixels = levels.flatten(0, 2)
    first = torch.arange(0, len(pixels), height * width, device=levels.device).view(-1, 1, 1)

    def at(column: Tensor, row: Tensor) -> Tensor:
        place = first + row.clamp(0, height - 1).long() * width + column.clamp(0, width - 1).long()
        return pixels.index_select(0, place.flatten()).view(levels.shape)

    if not smooth:
        found = at(across.floor(), down.floor())
    else:
        left, top = (across - 0.5).floor(), (down - 0.5).floor()
        to_right, to_low = ((own - 0.5 - corner).unsqueeze(-1) for own, corner in ((across, left), (down, top)))
        upper, lower = (_between(at(left, row), at(left + 1, row), to_right) for row in (top, top + 1))
        found = _between(upper, lower, to_low).to(levels.dtype)
    return found * inside.unsqueeze(-1)


def _between(first: Tensor, second: Tensor, share: Tensor) -> Tensor:
    """Values on the way from one to the other, float64; torch's `lerp` is fused on some CPUs, and rounds otherwise."""
    first = first.double()
    return first + (second - first) * share


@cache
def _circle(most: int) -> Tensor:
    """Cosine and sine of whole degrees from -most to most, (2 most + 1, 2) float64."""
    return torch.from_numpy(np.stack(exact.circle(np.arange(-most, most + 1) / 360), axis=1))


@cache
def _curves(low: float, high: float) -> Tensor:
    """What becomes of levels: 255 (level / 255) ** (1 / gamma), (`CURVES` + 1, 256) uint8; the last changes nothing."""
    gammas = low + (high - low) * (np.arange(CURVES) + 0.5) / CURVES
    shares = exact.power(np.maximum(np.arange(256), 1) / 255, 1 / gammas[:, None])
    shares[:, 0] = 0
    return torch.from_numpy(np.rint(255 * np.vstack([shares, np.arange(256) / 255])).astype(np.uint8))


def _rectangle(shares: tuple[float, float], draws: Tensor, height: int, width: int) -> Tensor:
    """Which pixels are erased, (n, H, W)."""
    low, high = shares
    area = (low + (high - low) * (2 * draws[:, _SHARE])) * (height * width)
    ratio = RATIO[0] + (RATIO[1] - RATIO[0]) * draws[:, _RATIO]
    inside = []
    for side, length, place in (
        (height, (area / ratio).sqrt(), draws[:, _TOP]),
        (width, (area * ratio).sqrt(), draws[:, _LEFT]),
    ):
        length = length.floor().clamp(max=side)
        first = (place * (side - length + 1)).floor()
        pixel = torch.arange(side, device=draws.device)
        inside.append((pixel >= first[:, None]) & (pixel < (first + length)[:, None]))
    return inside[0].unsqueeze(2) & inside[1].unsqueeze(1)


def _turned(circle: Tensor, height: int, width: int) -> Tensor:
    """Turns about the middle, (n, 6), by angles of these cosines and sines, (n, 2)."""
    cosine, sine = circle.unbind(1)
    x, y = width / 2, height / 2
    rows = (cosine, sine, x - cosine * x - sine * y, -sine, cosine, y + sine * x - cosine * y)
    return torch.stack(rows, dim=1)


def _moved(kind: Tensor, amount: Tensor, height: int, width: int) -> Tensor:
    """Where pixels come from, (n, 6): as they stand, but for the first five kinds."""
    zero = torch.zeros_like(amount)
    shear_x, shear_y, shift_x, shift_y = (
        torch.where(kind == own, amount, zero) for own in (_SHEAR_X, _SHEAR_Y, _SHIFT_X, _SHIFT_Y)
    )
    scale = torch.where(kind == _SCALE, amount, zero + 1)
    to_x, to_y = shift_x * width - shear_x * (height / 2), shift_y * height - shear_y * (width / 2)
    return torch.stack((scale, shear_x, to_x, shear_y, scale, to_y), dim=1)


def _lit(levels: Tensor, kind: Tensor, amount: Tensor) -> Tensor:
    """Fewer levels, or another contrast, brightness or sharpness, of images (n, H, W, channels) uint8.

    The last three lie on the line from a poorer image (of the mean alone, black, blurred) to the image itself.
    """
    kept = torch.where(kind == _LEVELS, amount, 8).long()
    levels = levels & (255 << (8 - kept)).to(torch.uint8)
    image, count = levels.int(), levels[0].numel()
    mean = (2 * image.sum((1, 2, 3), keepdim=True) + count) // (2 * count)
    poorer = torch.where(kind == _CONTRAST, mean, torch.zeros_like(mean))
    poorer = torch.where(kind == _SHARPNESS, _blurred(image), poorer)
    factor = torch.where((kind >= _CONTRAST) & (kind <= _SHARPNESS), amount, 1).float()
    return (poorer + factor * (image - poorer)).clamp(0, 255).to(torch.uint8)


def _blurred(image: Tensor) -> Tensor:
    """The mean of every pixel, five times, and its eight neighbours; the outermost pixels stay. (n, H, W, c) int."""
    _, height, width, _ = image.shape
    if min(height, width) < 3:
        return image
    inner = image[:, 1:-1, 1:-1]
    total = 4 * inner
    for down in range(3):
        for across in range(3):
            total = total + image[:, down : height - 2 + down, across : width - 2 + across]
    blurred = image.clone()
    blurred[:, 1:-1, 1:-1] = (2 * total + 13) // 26
    return blurred
