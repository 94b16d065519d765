"""Drawn histology: a patch of a lymph node in haematoxylin and eosin, as one of five hospitals would scan it.

Stains absorb: an image is light times exp(-(haematoxylin h + eosin e)) with stain vectors h and e that differ
per hospital (Ruifrok and Johnston 2001, in the other direction). Nuclei take haematoxylin, all else eosin.
Tumour cells have large, uneven, crowded nuclei; lymphocytes small, round, dark ones; a germinal centre's lie
in between.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter

from benchmark.data.drawing import Field, smooth

SIDE = 96  # pixels: that of the real patches; the label speaks of the central 32
WINDOW = 10  # pixels from a nucleus' centre to the edge of what it may cover


@dataclass(frozen=True)
class Hospital:
    """How a hospital's slides look.

    Attributes:
        haematoxylin: Optical density per unit of the stain, RGB.
        eosin: The same.
        light: Colour of the lamp, RGB in [0, 1].
        strength: Amount of haematoxylin and of eosin, relative to the mean hospital.
        blur: Radius of the scanner's blur, pixels.
        noise: Standard deviation of the scanner's noise.
        zoom: Magnification of cells.
    """

    haematoxylin: tuple[float, float, float]
    eosin: tuple[float, float, float]
    light: tuple[float, float, float]
    strength: tuple[float, float]
    blur: float
    noise: float
    zoom: float


HOSPITALS = (
    Hospital((0.70, 0.92, 0.48), (0.10, 0.62, 0.26), (0.97, 0.95, 0.97), (0.95, 1.00), 0.55, 0.010, 1.00),
    Hospital((0.88, 0.86, 0.36), (0.20, 0.66, 0.26), (0.90, 0.93, 0.97), (0.80, 1.15), 0.75, 0.014, 0.92),
    Hospital((0.58, 0.98, 0.62), (0.06, 0.52, 0.38), (1.00, 0.94, 0.92), (1.05, 0.80), 0.45, 0.018, 1.08),
    Hospital((0.80, 0.98, 0.60), (0.16, 0.84, 0.50), (0.94, 0.88, 0.90), (1.00, 1.05), 0.85, 0.008, 0.96),
    Hospital((0.62, 0.76, 0.30), (0.07, 0.46, 0.16), (0.99, 0.98, 1.00), (0.95, 0.80), 0.60, 0.012, 1.04),
)


def draw_slide(
    tumour: bool, hospital: int, slide: np.random.Generator, patch: np.random.Generator
) -> npt.NDArray[np.uint8]:
    """Draw one patch of one slide.

    Args:
        tumour: Whether there is tumour in the central 32 x 32 pixels.
        hospital: Hospital, 0..4.
        slide: Randomness of the slide: its staining, and its tumour's kind. Equal for all patches of it.
        patch: Randomness of this patch.

    Returns:
        (96, 96, 3) uint8, RGB.
    """
    scanner = HOSPITALS[hospital]
    strength = np.array(scanner.strength) * np.exp(slide.normal(0, 0.12, 2))
    atypia = float(np.clip(slide.normal(0.6, 0.18), 0.2, 1.0)) * float(patch.uniform(0.6, 1.15))
    cells, germinal = _tissue(patch, tumour)
    nuclei = _nuclei(patch, cells, germinal, scanner.zoom, atypia)
    stroma, open_space = _stroma(patch, cells)
    haematoxylin = strength[0] * (nuclei + 0.10 * cells + 0.05)
    eosin = strength[1] * np.clip(0.32 + 0.30 * stroma + 0.16 * cells - 0.30 * nuclei, 0, None)
    dense = np.stack([haematoxylin * (1 - 0.9 * open_space), eosin * (1 - 0.93 * open_space)], axis=-1)
    stains = np.array([scanner.haematoxylin, scanner.eosin]) * np.exp(slide.normal(0, 0.05, (2, 3)))
    image = np.array(scanner.light) * np.exp(-dense.astype(np.float32) @ stains.astype(np.float32))
    picture = Image.fromarray(np.clip(image * 255, 0, 255).astype(np.uint8))
    blur = float(scanner.blur * np.exp(patch.normal(0, 0.3)))
    values = np.asarray(picture.filter(ImageFilter.GaussianBlur(blur)), dtype=np.float32)
    values = values + 255 * scanner.noise * patch.standard_normal((SIDE, SIDE, 1), dtype=np.float32)
    return np.clip(values, 0, 255).astype(np.uint8)


def _axes() -> tuple[Field, Field]:
    """Pixel coordinates, (1, 96) and (96, 1), zero in the middle."""
    line = np.arange(SIDE, dtype=np.float32) - (SIDE - 1) / 2
    return line[None, :], line[:, None]


def _tissue(rng: np.random.Generator, tumour: bool) -> tuple[Field, Field]:
    """Where tumour is and where germinal centres are, each (96, 96) in [0, 1].

    A patch without tumour in its centre may have some at its rim: the label is about the centre alone.
    """
    x, y = _axes()
    bumps = smooth(rng, SIDE, SIDE, 3)
    if tumour:
        x0, y0 = rng.uniform(-20, 20, 2)
        radius = rng.uniform(14, 60)
    else:
        turn = rng.uniform(0, 2 * np.pi)
        x0, y0 = 62 * np.cos(turn), 62 * np.sin(turn)
        radius = rng.uniform(12, 30) if rng.random() < 0.25 else -40.0
    level = radius - np.hypot(x - np.float32(x0), y - np.float32(y0)) + 5 * bumps
    cells = np.clip(0.5 + level / 4, 0, 1).astype(np.float32)
    germinal = np.zeros((SIDE, SIDE), np.float32)
    if not tumour and rng.random() < 0.3:
        gx, gy = rng.uniform(-35, 35, 2)
        disk = rng.uniform(25, 55) - np.hypot(x - np.float32(gx), y - np.float32(gy)) + 6 * bumps
        germinal = np.clip(0.5 + disk / 8, 0, 1).astype(np.float32) * (1 - cells)
    return cells, germinal


def _nuclei(rng: np.random.Generator, cells: Field, germinal: Field, zoom: float, atypia: float) -> Field:
    """Haematoxylin (96, 96) of all nuclei."""
    small = _scatter(rng, 5.4 * zoom)
    large = _scatter(rng, (8.6 - 1.6 * atypia) * zoom)
    density = np.clip(0.55 + 0.35 * smooth(rng, SIDE, SIDE, 3) + rng.normal(0, 0.2), 0.12, 0.97)
    at_small, at_large = _at(cells, small), _at(cells, large)
    mid = _at(germinal, small)
    small = small[
        (rng.random(len(small)) > 1.1 * at_small) & (rng.random(len(small)) < _at(density, small) * (1 - 0.45 * mid))
    ]
    large = large[rng.random(len(large)) < 0.92 * at_large]
    mid = _at(germinal, small)
    spindle = (rng.random(len(small)) < np.clip(0.9 - 1.2 * _at(density, small), 0, 1)).astype(np.float32)
    count, more = len(small), len(large)
    radius = np.concatenate(
        [
            2.1 * np.exp(rng.normal(0, 0.12, count)) * (1 + 0.45 * mid),
            (2.6 + 1.5 * atypia) * np.exp(rng.normal(0, 0.10 + 0.16 * atypia, more)),
        ]
    )
    stretch = np.exp(np.concatenate([rng.normal(0, 0.10, count) + 0.75 * spindle, np.abs(rng.normal(0, 0.28, more))]))
    dark = np.concatenate(
        [
            1.25 * np.exp(rng.normal(0, 0.12, count)) * (1 - 0.35 * mid),
            0.95 * np.exp(rng.normal(0, 0.15 + 0.2 * atypia, more)),
        ]
    )
    pale = np.concatenate([0.1 + 0.35 * mid, 0.25 + 0.35 * rng.random(more)])
    return _stamp(rng, np.concatenate([small, large]), radius * zoom, stretch, dark, pale)


def _scatter(rng: np.random.Generator, distance: float) -> npt.NDArray[np.float64]:
    """Points (K, 2), row and column, about `distance` apart: a hexagonal grid, shaken."""
    steps = int(SIDE / distance) + 3
    rows, columns = np.mgrid[-1:steps, -1:steps].astype(np.float64)
    columns = columns + 0.5 * (rows % 2)
    grid = np.stack([rows.ravel() * 0.87, columns.ravel()], axis=1) + rng.normal(0, 0.2, (rows.size, 2))
    points = grid * distance + rng.uniform(-distance, 0, 2)
    return points[((points > -4) & (points < SIDE + 4)).all(1)]


def _at(field: Field, points: npt.NDArray[np.float64]) -> Field:
    """The field's values (K,) at points (K, 2)."""
    row, column = np.clip(points.round().astype(int), 0, SIDE - 1).T
    return field[row, column]


def _stamp(
    rng: np.random.Generator,
    points: npt.NDArray[np.float64],
    radius: npt.NDArray[np.float64],
    stretch: npt.NDArray[np.float64],
    dark: npt.NDArray[np.float64],
    pale: npt.NDArray[np.float64],
) -> Field:
    """Haematoxylin (96, 96) of K rough ellipses, dark at the rim and paler inside; the darkest counts."""
    base = points.round().astype(int)
    offset = np.arange(-WINDOW, WINDOW + 1)
    rows, columns = base[:, 0, None] + offset, base[:, 1, None] + offset
    dy = (rows - points[:, :1]).astype(np.float32)[:, :, None]
    dx = (columns - points[:, 1:]).astype(np.float32)[:, None, :]
    turn = rng.uniform(0, np.pi, len(points))
    cos, sin = (f(turn).astype(np.float32)[:, None, None] for f in (np.cos, np.sin))
    wide = (radius * stretch**0.5).astype(np.float32)[:, None, None]
    narrow = (radius / stretch**0.5).astype(np.float32)[:, None, None]
    u, v = (cos * dx + sin * dy) / wide, (cos * dy - sin * dx) / narrow
    bend = rng.normal(0, 0.10, (2, len(points))).astype(np.float32)[:, :, None, None]
    far = np.sqrt(u * u + v * v) + np.float32(1e-3)
    far = far + (bend[0] * u * v + bend[1] * (u * u - v * v)) / far
    body = np.clip(0.5 + (1 - far) * np.sqrt(wide * narrow), 0, 1)
    paler = 1 - pale.astype(np.float32)[:, None, None] * np.clip(1.25 - 1.4 * far, 0, 1)
    value = body * paler * dark.astype(np.float32)[:, None, None]
    canvas = np.zeros((SIDE + 2, SIDE + 2), np.float32)  # A border takes what falls outside.
    rows, columns = np.clip(rows + 1, 0, SIDE + 1), np.clip(columns + 1, 0, SIDE + 1)
    np.maximum.at(
        canvas.reshape(-1),
        (rows[:, :, None] * (SIDE + 2) + columns[:, None, :]).reshape(-1),
        value.reshape(-1),
    )
    chromatin = 1 + 0.16 * smooth(rng, SIDE, SIDE, 30)
    return canvas[1:-1, 1:-1] * chromatin


def _stroma(rng: np.random.Generator, cells: Field) -> tuple[Field, Field]:
    """Fibres of connective tissue, and open space (fat, vessels, sinuses): (96, 96) each."""
    size = int(1.5 * SIDE)
    grid = rng.standard_normal((36, 5), dtype=np.float32)
    threads = Image.fromarray(grid).resize((size, size), Image.Resampling.BICUBIC)
    turned = threads.rotate(float(rng.uniform(0, 180)), Image.Resampling.BILINEAR)
    edge = (size - SIDE) // 2
    fibres = np.asarray(turned.crop((edge, edge, edge + SIDE, edge + SIDE)))
    where = np.clip(0.45 + 0.8 * smooth(rng, SIDE, SIDE, 2), 0, 1.3)
    fibres = where * np.clip(0.7 + 0.65 * fibres + 0.25 * smooth(rng, SIDE, SIDE, 9), 0, 2)
    gap = smooth(rng, SIDE, SIDE, float(rng.choice([2, 3, 5])))
    threshold = 0.9 if rng.random() < 0.25 else 1.9
    open_space = np.clip((gap - threshold - 0.8 * cells) * 4, 0, 1)
    return fibres.astype(np.float32), open_space.astype(np.float32)
