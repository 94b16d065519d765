"""Drawing: smooth random fields, and the source domain that the quickstart's own backbone is trained on.

Everything is drawn with numpy from explicit generators: equal keys, equal pictures, on every machine with the
same numpy and Pillow.
"""

import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from benchmark.sources import ROOT, closure, fingerprint

Field = npt.NDArray[np.float32]

SHAPES = 5  # disk, square, triangle, ring, cross
TEXTURES = 4  # stripes, checker, dots, noise


def generator(*key: object) -> np.random.Generator:
    """A random generator that depends on the key alone: `generator(seed, "toy_lesions", "TOY_0000001")`."""
    name = "\x1f".join(str(part) for part in key)
    return np.random.default_rng(int.from_bytes(hashlib.sha256(name.encode()).digest()[:16], "big"))


def code_of(module: str) -> str:
    """Eight digits that change with what a module computes: what other code has drawn is not taken for its own."""
    return fingerprint(ROOT / path for path in closure(module))[:8]


@contextmanager
def drawn_folder(folder: Path) -> Iterator[Path | None]:
    """A folder that is drawn once and as a whole: an interrupted drawing leaves nothing that looks finished.

    Args:
        folder: Where the finished drawing stands.

    Yields:
        Path | None: The folder to draw into, which then takes the name `folder`; None where that exists.
    """
    if folder.exists():
        yield None
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        yield unfinished
        unfinished.chmod(0o755)
        # Of two jobs that draw the same at the same time, the later finds its work done.
        if not folder.exists():
            unfinished.replace(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def smooth(rng: np.random.Generator, height: int, width: int, cells: float) -> Field:
    """A smooth random field of mean about zero and variance about one.

    Args:
        rng: Where its values come from.
        height: Pixels.
        width: Pixels.
        cells: How many bumps fit into the height: 2 is a slow drift, 30 is a grain.

    Returns:
        (height, width) float32.
    """
    rows = max(2, round(cells) + 1)
    columns = max(2, round(cells * width / height) + 1)
    grid = rng.standard_normal((rows, columns), dtype=np.float32)
    # The bicubic interpolation between grid points takes about a third of the spread away.
    field = np.asarray(Image.fromarray(grid).resize((width, height), Image.Resampling.BICUBIC))
    return np.multiply(field, 1.4, dtype=np.float32)


def draw_source(count: int, size: int, seed: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Images of a source domain: five shapes, each filled with one of four textures, on a cluttered ground.

    Colour, place, scale, angle and contrast vary at random within a class and say nothing about it, so that
    what separates the twenty classes is outline and texture: features that serve elsewhere too.

    Args:
        count: Number of images.
        size: Their side in pixels.
        seed: Seed of everything that is drawn.

    Returns:
        Images (count, size, size, 3) uint8, and labels (count,) int64 in 0..19, as equally frequent as can
        be.
    """
    labels = np.arange(count, dtype=np.int64) % (SHAPES * TEXTURES)
    generator(seed, "source", "labels").shuffle(labels)
    images = np.empty((count, size, size, 3), dtype=np.uint8)
    for number, label in enumerate(labels):
        images[number] = _source_image(generator(seed, "source", number), int(label), size)
    return images, labels


def _source_image(rng: np.random.Generator, label: int, size: int) -> npt.NDArray[np.uint8]:
    """One image (size, size, 3) of the source domain."""
    shape, texture = divmod(label, TEXTURES)
    line = np.linspace(-1, 1, size, dtype=np.float32)
    angle, x0, y0 = rng.uniform(0, 2 * np.pi), *rng.uniform(-0.25, 0.25, 2)
    x, y = line[None, :] - np.float32(x0), line[:, None] - np.float32(y0)
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    u, v = cos * x + sin * y, cos * y - sin * x
    level = _outline(shape, u, v, float(rng.uniform(0.45, 0.75)))
    inside = np.clip(0.5 + level * size / 2, 0, 1)[..., None]
    turn = rng.uniform(0, 2 * np.pi)
    a, b = (
        np.float32(np.cos(turn)) * x + np.float32(np.sin(turn)) * y,
        np.float32(np.cos(turn)) * y - np.float32(np.sin(turn)) * x,
    )
    pattern = _texture(rng, texture, a, b, size)[..., None]
    light, dark, ground, haze = rng.uniform(0, 1, (4, 3)).astype(np.float32)
    dark = light + (dark - light) * max(1.0, 0.5 / float(np.abs(dark - light).max()))
    clutter = smooth(rng, size, size, float(rng.choice([2, 5, 12])))[..., None]
    back = ground + np.float32(0.25) * clutter * (haze - np.float32(0.5))
    image = back + inside * (dark + pattern * (light - dark) - back)
    image += rng.normal(0, 0.03, (size, size, 1)).astype(np.float32)
    return np.clip(image * 255, 0, 255).astype(np.uint8)


def _outline(shape: int, u: Field, v: Field, radius: float) -> Field:
    """Distance-like level (size, size) of a shape: positive inside."""
    wide, high, far = np.abs(u), np.abs(v), np.hypot(u, v)
    if shape == 0:
        outside = far - radius
    elif shape == 1:
        outside = np.maximum(wide, high) - 0.85 * radius
    elif shape == 2:
        outside = np.maximum(v, 0.866 * wide - 0.5 * v) - 0.5 * radius
    elif shape == 3:
        outside = np.abs(far - 0.8 * radius) - 0.22 * radius
    else:
        bars = np.maximum(wide, 3.5 * high), np.maximum(high, 3.5 * wide)
        outside = np.minimum(*bars) - radius
    return np.negative(outside, dtype=np.float32)


def _texture(rng: np.random.Generator, texture: int, a: Field, b: Field, size: int) -> Field:
    """A pattern (size, size) in [0, 1] along the turned axes `a` and `b`."""
    waves = float(rng.uniform(3.0, 5.5)) * np.pi
    phase = rng.uniform(0, 2 * np.pi, 2).astype(np.float32)
    first, second = np.sin(waves * a + phase[0]), np.sin(waves * b + phase[1])
    if texture == 0:
        field = first
    elif texture == 1:
        field = first * second * 2
    elif texture == 2:
        field = first + second - 0.7
    else:
        field = smooth(rng, size, size, float(rng.choice([6, 10, 16])))
    return np.clip(0.5 + 2 * field, 0, 1).astype(np.float32)
