"""The source domain: shapes filled with textures, which the project's own backbone is pretrained on."""

import numpy as np
import numpy.typing as npt

from benchmark.data.drawing import axes, pixels, smooth
from benchmark.exact import Draws, Field, circle, wave

SHAPES = 5  # disk, square, triangle, ring, cross
TEXTURES = 4  # stripes, checker, dots, noise


def draw_source(count: int, size: int, seed: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Images of a source domain: five shapes, each filled with one of four textures, on a cluttered ground.

    Colour, place, scale, angle and contrast vary at random within a class and say nothing about it, so that what
    separates the twenty classes is outline and texture: features that serve elsewhere too.

    Returns images (count, size, size, 3) uint8, and labels (count,) int64 in 0..19, as equally frequent as can be.
    """
    labels = Draws(seed, "source", "labels").shuffled(count) % (SHAPES * TEXTURES)
    images = np.empty((count, size, size, 3), dtype=np.uint8)
    for number, label in enumerate(labels.tolist()):
        images[number] = _source_image(Draws(seed, "source", number), label, size)
    return images, labels


def _source_image(draws: Draws, label: int, size: int) -> npt.NDArray[np.uint8]:
    """One image (size, size, 3) of the source domain."""
    shape, texture = divmod(label, TEXTURES)
    x, y = axes(size, size)
    x0, y0 = draws.uniform(-0.25, 0.25, 2)
    level = _outline(shape, *_turned(draws, x - x0, y - y0), draws.uniform(0.45, 0.75))
    inside = np.clip(0.5 + level * size / 2, 0, 1)[..., None]
    pattern = _texture(draws, texture, *_turned(draws, x - x0, y - y0))[..., None]
    light, dark, ground, haze = draws.random(4, 3)
    dark = light + (dark - light) * max(1.0, 0.5 / float(np.abs(dark - light).max()))
    clutter = smooth(draws, size, size, draws.choice(2, 5, 12))[..., None]
    back = ground + 0.25 * clutter * (haze - 0.5)
    image = back + inside * (dark + pattern * (light - dark) - back)
    return pixels(image + draws.normal(0, 0.03, size, size, 1))


def _turned(draws: Draws, x: Field, y: Field) -> tuple[Field, Field]:
    """Axes (size, size) at a random angle."""
    cos, sin = circle(draws.random())
    return cos * x + sin * y, cos * y - sin * x


def _outline(shape: int, u: Field, v: Field, radius: float) -> Field:
    """Distance-like level (size, size) of a shape: positive inside."""
    wide, high, far = np.abs(u), np.abs(v), np.sqrt(u * u + v * v)
    if shape == 0:
        return radius - far
    if shape == 1:
        return 0.85 * radius - np.maximum(wide, high)
    if shape == 2:
        return 0.5 * radius - np.maximum(v, 0.866 * wide - 0.5 * v)
    if shape == 3:
        return 0.22 * radius - np.abs(far - 0.8 * radius)
    return radius - np.minimum(np.maximum(wide, 3.5 * high), np.maximum(high, 3.5 * wide))


def _texture(draws: Draws, texture: int, a: Field, b: Field) -> Field:
    """A pattern (size, size) in [0, 1] along the turned axes `a` and `b`."""
    period = draws.uniform(1.5, 2.75)
    first, second = (wave(period * axis + draws.random()) for axis in (a, b))
    if texture == 0:
        field = first
    elif texture == 1:
        field = first * second * 2
    elif texture == 2:
        field = first + second - 0.7
    else:
        field = smooth(draws, len(a), a.shape[1], draws.choice(6, 10, 16))
    return np.clip(0.5 + 2 * field, 0, 1)
