"""Drawn histology: a patch of a lymph node in haematoxylin and eosin, as one of five hospitals would scan it.

Stains absorb: an image is light times exp(-(haematoxylin h + eosin e)) with stain vectors h and e that differ
per hospital (Ruifrok and Johnston 2001, in the other direction). Nuclei take haematoxylin, all else eosin.
Tumour cells have large, uneven, crowded nuclei; lymphocytes small, round, dark ones; a germinal centre's lie
in between.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmark.data.drawing import between, blurred, pixels, sampled, smooth
from benchmark.exact import Draws, Field, circle, exp

SIDE = 96  # units of length: pixels of the real patches; the label speaks of the central 32
WINDOW = 10  # units from a nucleus' centre to the edge of what it may cover


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
    tumour: bool, hospital: int, slide: Draws, patch: Draws, side: int, styles: float = 1.0
) -> npt.NDArray[np.uint8]:
    """Draw one patch of one slide.

    Args:
        tumour: Whether there is tumour in the central third of the patch.
        hospital: Hospital, 0..4.
        slide: Randomness of the slide: its staining, and its tumour's kind. Equal for all patches of it.
        patch: Randomness of this patch.
        side: Height and width in pixels.
        styles: How far apart the hospitals' slides lie: 1 as far as `HOSPITALS` says, 0 not at all.

    Returns:
        (side, side, 3) uint8, RGB.
    """
    scanner = between(HOSPITALS, hospital, styles)
    strength = np.array(scanner.strength) * exp(slide.normal(0, 0.12, 2))
    atypia = min(max(slide.normal(0.6, 0.18), 0.2), 1.0) * patch.uniform(0.6, 1.15)
    cells, germinal = _tissue(patch, tumour, side)
    nuclei = _nuclei(patch, cells, germinal, scanner.zoom, atypia)
    stroma, open_space = _stroma(patch, cells)
    haematoxylin = strength[0] * (nuclei + 0.10 * cells + 0.05) * (1 - 0.9 * open_space)
    eosin = strength[1] * np.clip(0.32 + 0.30 * stroma + 0.16 * cells - 0.30 * nuclei, 0, None)
    eosin = eosin * (1 - 0.93 * open_space)
    stains = np.array([scanner.haematoxylin, scanner.eosin]) * exp(slide.normal(0, 0.05, 2, 3))
    image = np.array(scanner.light) * exp(-(haematoxylin[..., None] * stains[0] + eosin[..., None] * stains[1]))
    image = blurred(image, float(scanner.blur * side / SIDE * exp(patch.normal(0, 0.3))))
    return pixels(image + patch.normal(0, scanner.noise, side, side, 1))


def _tissue(draws: Draws, tumour: bool, side: int) -> tuple[Field, Field]:
    """Where tumour is and where germinal centres are, each (side, side) in [0, 1].

    A patch without tumour in its centre may have some at its rim: the label is about the centre alone.
    """
    line = (np.arange(side) + 0.5) * (SIDE / side) - SIDE / 2
    bumps = smooth(draws, side, side, 3)

    def disk(x0: float, y0: float, radius: float) -> Field:
        x, y = line[None, :] - x0, line[:, None] - y0
        return radius - np.sqrt(x * x + y * y)

    if tumour:
        x0, y0 = draws.uniform(-20, 20, 2).tolist()
        radius = draws.uniform(14, 60)
    else:
        cos, sin = circle(draws.random())
        x0, y0 = 62 * float(cos), 62 * float(sin)
        radius = draws.uniform(12, 30) if draws.happens(0.25) else -40.0
    cells = np.clip(0.5 + (disk(x0, y0, radius) + 5 * bumps) / 4, 0, 1)
    germinal = np.zeros((side, side))
    if not tumour and draws.happens(0.3):
        x0, y0 = draws.uniform(-35, 35, 2).tolist()
        centre = disk(x0, y0, draws.uniform(25, 55)) + 6 * bumps
        germinal = np.clip(0.5 + centre / 8, 0, 1) * (1 - cells)
    return cells, germinal


def _nuclei(draws: Draws, cells: Field, germinal: Field, zoom: float, atypia: float) -> Field:
    """Haematoxylin (side, side) of all nuclei."""
    side = len(cells)
    small = _scatter(draws, 5.4 * zoom)
    large = _scatter(draws, (8.6 - 1.6 * atypia) * zoom)
    density = np.clip(0.55 + 0.35 * smooth(draws, side, side, 3) + draws.normal(0, 0.2), 0.12, 0.97)
    crowded = _at(density, small) * (1 - 0.45 * _at(germinal, small))
    chance = draws.random(2, len(small))
    small = small[(chance[0] > 1.1 * _at(cells, small)) & (chance[1] < crowded)]
    large = large[draws.random(len(large)) < 0.92 * _at(cells, large)]
    mid = _at(germinal, small)
    spindle = draws.random(len(small)) < np.clip(0.9 - 1.2 * _at(density, small), 0, 1)
    count, more = len(small), len(large)
    radius = np.concatenate(
        [
            2.1 * exp(draws.normal(0, 0.12, count)) * (1 + 0.45 * mid),
            (2.6 + 1.5 * atypia) * exp(draws.normal(0, 0.10 + 0.16 * atypia, more)),
        ]
    )
    longer = np.concatenate([draws.normal(0, 0.10, count) + 0.75 * spindle, np.abs(draws.normal(0, 0.28, more))])
    dark = np.concatenate(
        [
            1.25 * exp(draws.normal(0, 0.12, count)) * (1 - 0.35 * mid),
            0.95 * exp(draws.normal(0, 0.15 + 0.2 * atypia, more)),
        ]
    )
    pale = np.concatenate([0.1 + 0.35 * mid, 0.25 + 0.35 * draws.random(more)])
    canvas = _stamp(draws, np.concatenate([small, large]), radius * zoom, exp(0.5 * longer), dark, pale, side)
    return canvas * (1 + 0.16 * smooth(draws, side, side, 30))


def _scatter(draws: Draws, distance: float) -> Field:
    """Points (K, 2), row and column, about `distance` apart: a hexagonal grid, shaken."""
    steps = int(SIDE / distance) + 3
    rows, columns = np.mgrid[-1:steps, -1:steps].astype(np.float64)
    columns = columns + 0.5 * (rows % 2)
    grid = np.stack([rows.ravel() * 0.87, columns.ravel()], axis=1) + draws.normal(0, 0.2, rows.size, 2)
    points = grid * distance + draws.uniform(-distance, 0, 2)
    return points[((points > -4) & (points < SIDE + 4)).all(1)]


def _at(field: Field, points: Field) -> Field:
    """The field's values (K,) at points (K, 2)."""
    row, column = np.clip(np.floor(points * (len(field) / SIDE)).astype(np.int64), 0, len(field) - 1).T
    return field[row, column]


def _stamp(draws: Draws, points: Field, radius: Field, stretch: Field, dark: Field, pale: Field, side: int) -> Field:
    """Haematoxylin (side, side) of K rough ellipses, dark at the rim and paler inside; the darkest counts.

    Args:
        draws: Their shapes.
        points: Their centres, (K, 2).
        radius: Their mean radii, (K,).
        stretch: Their long axes divided by the mean radius, (K,).
        dark: Their density at the rim, (K,).
        pale: The share of it that their centres lack, (K,).
        side: Pixels.
    """
    unit = side / SIDE
    centres = points * unit - 0.5
    reach = int(WINDOW * unit + 1)
    places = np.rint(centres)[:, :, None] + np.arange(-reach, reach + 1)  # (K, 2, window)
    dy, dx = (places - centres[:, :, None]).transpose(1, 0, 2)
    dy, dx = dy[:, :, None], dx[:, None, :]
    cos, sin = (part[:, None, None] for part in circle(0.5 * draws.random(len(points))))
    wide, narrow = (part[:, None, None] * unit for part in (radius * stretch, radius / stretch))
    u, v = (cos * dx + sin * dy) / wide, (cos * dy - sin * dx) / narrow
    bend = draws.normal(0, 0.10, 2, len(points), 1, 1)
    far = np.sqrt(u * u + v * v) + 1e-3
    far = far + (bend[0] * u * v + bend[1] * (u * u - v * v)) / far
    body = np.clip(0.5 + (1 - far) * radius[:, None, None] * unit, 0, 1)
    value = body * (1 - pale[:, None, None] * np.clip(1.25 - 1.4 * far, 0, 1)) * dark[:, None, None]
    canvas = np.zeros((side + 2, side + 2))  # A border takes what falls outside.
    rows, columns = np.clip(places + 1, 0, side + 1).astype(np.int64).transpose(1, 0, 2)
    where = rows[:, :, None] * (side + 2) + columns[:, None, :]
    np.maximum.at(canvas.reshape(-1), where.reshape(-1), value.reshape(-1))
    return canvas[1:-1, 1:-1]


def _stroma(draws: Draws, cells: Field) -> tuple[Field, Field]:
    """Fibres of connective tissue, and open space (fat, vessels, sinuses): (side, side) each."""
    side = len(cells)
    threads = draws.normal(0, 1, 36, 5)
    cos, sin = circle(0.5 * draws.random())
    line = (np.arange(side) + 0.5) / side - 0.5
    down, right = cos * line[:, None] + sin * line[None, :], cos * line[None, :] - sin * line[:, None]
    # A patch sees two thirds of the threads' length and height, so that its corners have some too.
    fibres = sampled(threads, 17.5 + 24 * down, 2 + 3.3 * right)
    where = np.clip(0.45 + 0.8 * smooth(draws, side, side, 2), 0, 1.3)
    fibres = where * np.clip(0.7 + 0.65 * fibres + 0.25 * smooth(draws, side, side, 9), 0, 2)
    gap = smooth(draws, side, side, draws.choice(2, 3, 5))
    threshold = 0.9 if draws.happens(0.25) else 1.9
    return fibres, np.clip((gap - threshold - 0.8 * cells) * 4, 0, 1)
