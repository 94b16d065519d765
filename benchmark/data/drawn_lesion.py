"""Drawn dermoscopy: a skin lesion of one of eight diagnoses, as one of six sites would photograph it.

Pigments absorb: an image is skin times exp(-density), summed over melanin, blood and the blue of deep
pigment. A lesion has its own look (its diagnosis', blended with another's for those that mimic), a photograph
its own view of it. Nothing here is meant for medicine; it is meant to be hard in the ways that the real
images are.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmark.data.drawing import axes, between, blurred, pixels, smooth
from benchmark.exact import Draws, Field, circle, exp, log, power, wave

# What a diagnosis looks like: amounts of what can be seen in it, and how its outline runs.
LOOK = (
    "radius",
    "ragged",
    "soft",
    "melanin",
    "blood",
    "veil",
    "white",
    "network",
    "dots",
    "patchy",
    "vessels",
    "rim",
)
LOOKS = np.array(
    [
        # radius ragged soft  mel  blood veil white net  dots patchy vessel rim
        [0.36, 0.34, 0.10, 1.45, 0.30, 0.55, 0.10, 0.35, 0.55, 0.85, 0.15, 0.10],  # MEL
        [0.27, 0.14, 0.14, 0.95, 0.15, 0.00, 0.00, 0.55, 0.20, 0.25, 0.00, -0.20],  # NV
        [0.29, 0.24, 0.16, 0.15, 0.55, 0.30, 0.20, 0.00, 0.35, 0.45, 0.90, 0.00],  # BCC
        [0.34, 0.30, 0.55, 0.25, 0.55, 0.00, 0.40, 0.25, 0.00, 0.60, 0.20, 0.00],  # AK
        [0.33, 0.22, 0.05, 0.85, 0.15, 0.05, 0.25, 0.05, 0.80, 0.35, 0.00, 0.10],  # BKL
        [0.25, 0.12, 0.26, 0.45, 0.25, 0.00, 0.45, 0.35, 0.00, 0.15, 0.00, 0.90],  # DF
        [0.22, 0.16, 0.06, 0.10, 1.45, 0.45, 0.00, 0.00, 0.00, 0.55, 0.10, -0.15],  # VASC
        [0.30, 0.28, 0.20, 0.20, 0.70, 0.00, 0.75, 0.00, 0.15, 0.55, 0.55, 0.45],  # SCC
    ]
)
ABSORPTION = np.array([[0.38, 0.78, 1.15], [0.24, 0.84, 0.66], [0.95, 0.62, 0.28]])
"""Of melanin, blood and blue, for red, green and blue light."""


@dataclass(frozen=True)
class Site:
    """How a site's photographs look.

    Attributes:
        skin: Mean skin colour, RGB in [0, 1].
        gains: White balance, per channel.
        gamma: Contrast of the camera.
        zoom: Magnification; larger shows lesions larger.
        blur: Radius of the optics' blur in pixels at 96 pixels of height.
        noise: Standard deviation of the sensor's noise.
        vignette: How much darker corners are.
        tube: Share of images with the black rim of the dermoscope.
        hairs: Mean number of hairs.
        bubbles: Share of images with bubbles of immersion gel.
        ruler: Share of images with a ruler's marks.
        mottle: How blotchy the skin is.
    """

    skin: tuple[float, float, float]
    gains: tuple[float, float, float]
    gamma: float
    zoom: float
    blur: float
    noise: float
    vignette: float
    tube: float
    hairs: float
    bubbles: float
    ruler: float
    mottle: float


SITES = (
    Site((0.80, 0.62, 0.54), (1.00, 0.92, 0.90), 1.10, 1.15, 0.5, 0.015, 0.30, 0.55, 3.0, 0.05, 0.05, 0.05),
    Site((0.93, 0.66, 0.62), (1.02, 0.98, 0.98), 1.00, 1.00, 1.0, 0.008, 0.00, 0.00, 2.5, 0.00, 0.00, 0.03),
    Site((0.80, 0.73, 0.77), (0.98, 0.98, 1.07), 0.95, 0.95, 0.6, 0.012, 0.35, 0.25, 3.0, 0.10, 0.05, 0.06),
    Site((0.88, 0.79, 0.71), (1.02, 1.01, 0.97), 1.35, 1.25, 0.3, 0.020, 0.10, 0.05, 6.0, 0.25, 0.10, 0.07),
    Site((0.76, 0.64, 0.66), (0.94, 0.94, 1.00), 0.85, 0.92, 0.8, 0.018, 0.20, 0.10, 4.0, 0.10, 0.65, 0.05),
    Site((0.88, 0.67, 0.53), (1.05, 0.97, 0.88), 1.20, 0.85, 0.4, 0.010, 0.05, 0.00, 2.0, 0.45, 0.00, 0.06),
)


def draw_lesion(
    label: int, site: int, lesion: Draws, view: Draws, side: int, styles: float = 1.0
) -> npt.NDArray[np.uint8]:
    """Draw one photograph of one lesion.

    Args:
        label: Diagnosis, 0..7.
        site: Site, 0..5.
        lesion: Randomness of the lesion itself: equal for all photographs of it.
        view: Randomness of this photograph.
        side: Height in pixels; the width is 4/3 of it.
        styles: How far apart the sites' photographs lie: 1 as far as `SITES` says, 0 not at all.

    Returns:
        (side, 4 * side // 3, 3) uint8, RGB.
    """
    height, width = side, 4 * side // 3
    camera = between(SITES, site, styles)
    look = dict(zip(LOOK, _look(lesion, label).tolist(), strict=True))
    u, v, level = _geometry(lesion, view, look, camera.zoom, height, width)
    inside = 1 / (1 + exp(-level / (0.25 * look["soft"] + 0.02)))
    image = _skin(view, camera, height, width) * _through(_pigment(lesion, look, u, v, level, inside))
    scale = 0.35 + 0.6 * smooth(lesion, height, width, 8) - 0.8 * look["rim"] * np.clip(level, -1, 0)
    scale = inside * look["white"] * np.clip(scale, 0, 1)
    if look["rim"] > 0.3:
        scale = scale + inside * look["white"] * np.clip(2.2 * level - 0.9, 0, 0.9)
    image = image + 0.75 * np.clip(scale, 0, 1)[..., None] * (np.array([0.97, 0.90, 0.84]) - image)
    return _photograph(view, camera, image)


def _look(draws: Draws, label: int) -> Field:
    """The look (12,) of one lesion: its diagnosis', drifting towards another's, with amounts that vary."""
    other, chance = LOOKS[draws.below(len(LOOKS))], draws.random()
    mimicry = 0.3 * chance * np.sqrt(chance)
    look = (1 - mimicry) * LOOKS[label] + mimicry * other
    return look * exp(draws.normal(0, 0.15, len(look)))


def _geometry(
    lesion: Draws, view: Draws, look: dict[str, float], zoom: float, height: int, width: int
) -> tuple[Field, Field, Field]:
    """Coordinates `u`, `v` that turn with the lesion, and its level: 0 on the outline; (H, W) each."""
    x, y = axes(height, width)
    x0, y0 = view.normal(0, 0.10, 2)
    cos, sin = circle(view.random()) / (zoom * exp(view.normal(0, 0.10)))
    u, v = cos * (x - x0) + sin * (y - y0), cos * (y - y0) - sin * (x - x0)
    stretch = exp(lesion.normal(0, 0.18))
    far = np.sqrt(u * u + v * v) + 1e-9
    # Cosine and sine of 2, 3, ... times the direction follow from those of the direction.
    once, turned = (u / far, v / far), (u / far, v / far)
    waves = np.zeros_like(far)
    for order in range(2, 9):
        turned = turned[0] * once[0] - turned[1] * once[1], turned[1] * once[0] + turned[0] * once[1]
        size, (along, across) = lesion.normal(0, 1) / power(order, 0.8), circle(lesion.random())
        waves = waves + size * (along * turned[0] - across * turned[1])
    rough = smooth(lesion, height, width, 9)
    radius = 1.35 * look["radius"] * exp(look["ragged"] * (0.55 * waves + 0.35 * rough))
    long, short = u * stretch, v / stretch
    return u, v, 1 - np.sqrt(long * long + short * short) / radius


def _pigment(
    draws: Draws, look: dict[str, float], u: Field, v: Field, level: Field, inside: Field
) -> tuple[Field, Field, Field]:
    """Density of melanin, blood and blue, (H, W) each."""
    height, width = level.shape
    slow, mid, fine, grain = (smooth(draws, height, width, cells) for cells in (3, 8, 16, 34))
    depth = np.clip(level, -0.2, 1)
    # Three plane waves at 60 degrees make the honeycomb of a pigment network; the field bends it.
    mesh = np.zeros_like(level)
    for sixths in range(3):
        cos, sin = circle(sixths / 6)
        mesh = mesh + wave(0.25 + 5.4 * (u * cos + v * sin) + 0.25 * mid)
    patches = np.clip(1 + look["patchy"] * (0.7 * slow + 0.5 * mid), 0.1, 2.5)
    melanin = look["melanin"] * patches * (1 - look["rim"] * (depth - 0.45)) * (0.75 + 0.3 * depth)
    melanin = melanin + look["network"] * np.clip(0.35 - 0.55 * mesh, 0, 1) * (0.5 + 0.3 * patches)
    melanin = melanin + 1.8 * look["dots"] * np.clip(grain - 1.5, 0, 0.8)
    blood = look["blood"] * np.clip(1 + look["patchy"] * (0.5 * mid - 0.4 * slow), 0.2, 2.2)
    thread = fine + 0.5 * mid
    blood = blood + 0.9 * look["vessels"] * exp(-thread * thread / 0.03)
    veil = look["veil"] * np.clip(0.3 + 1.1 * slow + 0.3 * mid, 0, 2) * np.clip(2 * depth, 0, 1)
    halo = 0.15 * look["blood"] * exp(-np.clip(-level, 0, 9) * 3)
    return np.clip(melanin * inside, 0, 3), np.clip(blood * inside + halo, 0, 3), np.clip(veil * inside, 0, 3)


def _through(densities: tuple[Field, Field, Field]) -> Field:
    """What is left of light (H, W, 3) that went through pigments of these densities."""
    absorbed = [density[..., None] * of for density, of in zip(densities, ABSORPTION, strict=True)]
    return exp(-(absorbed[0] + absorbed[1] + absorbed[2]))


def _skin(draws: Draws, camera: Site, height: int, width: int) -> Field:
    """Bare skin (H, W, 3) in [0, 1]."""
    tone = np.array(camera.skin) * exp(draws.normal(0, 0.05) + draws.normal(0, 0.025, 3))
    blotches = smooth(draws, height, width, 4) + 0.7 * smooth(draws, height, width, 14)
    grain = smooth(draws, height, width, 40)
    redness = np.array([0.3, 1.0, 0.9])
    return tone * exp(-camera.mottle * (blotches[..., None] * redness + 0.35 * grain[..., None]))


def _photograph(draws: Draws, camera: Site, image: Field) -> npt.NDArray[np.uint8]:
    """What the camera makes of (H, W, 3) in [0, 1]: hairs, marks, optics, light and noise; uint8."""
    height, width, _ = image.shape
    image = _hairy(draws, camera.hairs, np.clip(image, 0, 1))
    if draws.happens(camera.ruler):
        image = _ruled(draws, image)
    if draws.happens(camera.bubbles):
        image = _bubbled(draws, image)
    light = blurred(image, float(camera.blur * height / 96 * exp(draws.normal(0, 0.35))))
    x, y = axes(height, width)
    square = x * x + y * y
    slope = draws.normal(0, 0.05, 2)
    shade = 1 - camera.vignette * square / 2.8 * draws.uniform(0.5, 1.4) + slope[0] * x + slope[1] * y
    if draws.happens(camera.tube):
        shade = shade * np.clip((draws.uniform(1.15, 1.5) - np.sqrt(square)) * 12, 0.03, 1)
    gains = np.array(camera.gains) * exp(draws.normal(0, 0.03, 3))
    values = power(np.clip(light * shade[..., None], 1e-9, 1), camera.gamma * exp(draws.normal(0, 0.06))) * gains
    return pixels(values + draws.normal(0, camera.noise, height, width, 1))


def _hairy(draws: Draws, mean: float, image: Field) -> Field:
    """Dark curved lines across an image (H, W, 3); most images have few, some many."""
    height, width, _ = image.shape
    number = min(draws.poisson(mean * -float(log(1 - draws.random()))), 25)
    tone = draws.uniform(15, 70) / 255 * np.array([1.0, 0.8, 0.7])
    x0, y0, angle, length, opaque = draws.random(5, number, 1)
    steps = np.arange(2 * height) / 2 * (0.3 + 0.7 * length)
    cos, sin = circle(angle + draws.normal(0, 0.13, number, 1) * steps / height)
    columns, rows = x0 * width + steps * cos, y0 * height + steps * sin
    canvas = np.zeros((height + 2, width + 2))  # A border takes what falls outside.
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            row, column = np.rint(rows) + down, np.rint(columns) + right
            across, along = column - columns, row - rows
            cover = np.clip(0.5 + 0.5 * height / 96 - np.sqrt(across * across + along * along), 0, 1)
            where = np.clip(row + 1, 0, height + 1) * (width + 2) + np.clip(column + 1, 0, width + 1)
            np.maximum.at(canvas.reshape(-1), where.astype(np.int64), cover * (0.45 + 0.4 * opaque))
    return image + canvas[1:-1, 1:-1, None] * (tone - image)


def _ruled(draws: Draws, image: Field) -> Field:
    """A ruler's marks along the upper or lower edge of an image (H, W, 3)."""
    height, width, _ = image.shape
    step, upper = height / draws.uniform(9, 14), draws.happens(0.5)
    x, y = np.arange(width) + 0.5, np.arange(height) + 0.5
    mark = np.rint(x / step)
    length = height * np.where(mark % 5 == 0, 0.09, 0.05)
    depth = (y if upper else height - y)[:, None]
    cover = np.clip(0.5 + 0.5 * height / 96 - np.abs(x - mark * step), 0, 1) * np.clip(0.5 + length - depth, 0, 1)
    return image + 0.8 * cover[..., None] * (np.array([30, 30, 45]) / 255 - image)


def _bubbled(draws: Draws, image: Field) -> Field:
    """Bright rings of immersion gel's bubbles on an image (H, W, 3)."""
    height, width, _ = image.shape
    for radius, x0, y0 in draws.random(2 + draws.below(7), 3):
        x, y = np.arange(width)[None, :] - x0 * width, np.arange(height)[:, None] - y0 * height
        off = np.abs(np.sqrt(x * x + y * y) - height / 96 * (0.8 + 2.7 * radius))
        image = image + 0.6 * np.clip(0.5 + 0.5 * height / 96 - off, 0, 1)[..., None] * (1 - image)
    return image
