"""Drawing: smooth random fields, and what every drawn picture needs; equal to the bit on every CPU."""

import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from functools import cache, reduce
from operator import add
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import numpy.typing as npt

from benchmark.exact import Draws, Field, exp
from benchmark.sources import ROOT, closure, fingerprint

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Places = npt.NDArray[np.int64]
Style = TypeVar("Style", bound="DataclassInstance")


def code_of(module: str) -> str:
    """Eight digits that change with what a module computes: what other code has drawn is not taken for its own."""
    return fingerprint(ROOT / path for path in closure(module))[:8]


@contextmanager
def drawn_folder(folder: Path) -> Iterator[Path | None]:
    """A folder that is drawn once and as a whole: an interrupted drawing leaves nothing that looks finished.

    Yields the folder to draw into, which then takes the name `folder`; None where that exists.
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


def smooth(draws: Draws, height: int, width: int, cells: float) -> Field:
    """A smooth random field (height, width) float64, in pixels, of mean about zero and variance about one.

    `cells` bumps fit into the height: 2 is a slow drift, 30 is a grain.
    """
    rows = max(2, round(cells) + 1)
    columns = max(2, round(cells * width / height) + 1)
    grid = draws.normal(0, 1, rows, columns)
    narrow = _weighted([grid[k] for k in _taps(rows, height)[0]], _taps(rows, height)[1][:, :, None])
    field = _weighted([narrow[:, k] for k in _taps(columns, width)[0]], _taps(columns, width)[1][:, None, :])
    # Interpolation between the points of the grid takes about a third of the spread away.
    return 1.4 * field


def sampled(grid: Field, rows: Field, columns: Field) -> Field:
    """The values of a grid (R, C) between its points, by bicubic interpolation; beyond its edge the edge counts.

    Rows and columns say where, in steps of the grid; they have one shape, which is the result's.
    """
    row, row_weights = _neighbours(rows, len(grid))
    column, column_weights = _neighbours(columns, grid.shape[1])
    return _weighted([_weighted([grid[r, c] for c in column], column_weights) for r in row], row_weights)


def axes(height: int, width: int) -> tuple[Field, Field]:
    """Coordinates of pixels, (1, width) and (height, 1): the upper edge is at -1, the lower at 1, the centre at 0."""
    x, y = (np.arange(size, dtype=np.float64) - (size - 1) / 2 for size in (width, height))
    return x[None, :] / (height / 2), y[:, None] / (height / 2)


def blurred(image: Field, radius: float) -> Field:
    """An image (H, W, ...), blurred by a Gaussian of this standard deviation in pixels."""
    reach = max(1, min(int(3 * radius + 1), min(image.shape[:2]) - 1))
    steps = np.arange(-reach, reach + 1) / max(radius, 0.05)
    weights = exp(-0.5 * steps * steps)
    total = float(np.add.accumulate(weights)[-1])
    for axis in (0, 1):
        places = np.arange(image.shape[axis])
        shifted = [np.clip(places + step, 0, len(places) - 1) for step in range(-reach, reach + 1)]
        image = _weighted([np.take(image, where, axis) for where in shifted], weights / total)
    return image


def between(styles: Sequence[Style], one: int, share: float) -> Style:
    """One of several styles, dataclasses of numbers and of tuples of numbers, brought nearer to the mean of all.

    The share is how much of its distance to the mean is left: 1 leaves it as it is, 0 gives the mean.
    """

    def moved(values: list[float], own: float) -> float:
        centre = reduce(add, values) / len(values)
        return centre + share * (own - centre)

    found: dict[str, float | tuple[float, ...]] = {}
    for field in fields(styles[one]):
        values, own = [getattr(style, field.name) for style in styles], getattr(styles[one], field.name)
        if isinstance(own, tuple):
            found[field.name] = tuple(moved(list(column), own[k]) for k, column in enumerate(zip(*values, strict=True)))
        else:
            found[field.name] = moved(values, own)
    return replace(styles[one], **found)


def pixels(image: Field) -> npt.NDArray[np.uint8]:
    """Values in [0, 1] as bytes; what lies outside is cut off."""
    return np.clip(image * 255 + 0.5, 0, 255).astype(np.uint8)


@cache
def _taps(count: int, length: int) -> tuple[Places, Field]:
    """Which of `count` points lie around each of `length` pixels, (4, length), and their weights."""
    return _neighbours((np.arange(length, dtype=np.float64) + 0.5) * (count / length) - 0.5, count)


def _neighbours(places: Field, count: int) -> tuple[Places, Field]:
    """The four points around places, and their weights (Catmull and Rom 1974), (4, ...) each."""
    base = np.floor(places)
    t = places - base
    weights = (
        ((2.0 - t) * t - 1.0) * t * 0.5,
        ((3.0 * t - 5.0) * t * t + 2.0) * 0.5,
        ((4.0 - 3.0 * t) * t + 1.0) * t * 0.5,
        (t - 1.0) * t * t * 0.5,
    )
    near = [np.clip(base + step, 0, count - 1).astype(np.int64) for step in (-1, 0, 1, 2)]
    return np.stack(near), np.stack(weights)


def _weighted(values: list[Field], weights: Field) -> Field:
    """The sum of values, each times its weight, added one after another."""
    total = values[0] * weights[0]
    for value, weight in zip(values[1:], weights[1:], strict=True):
        total = total + value * weight
    return total
