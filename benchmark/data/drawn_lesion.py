"""Drawn dermoscopy: a skin lesion of one of eight diagnoses, as one of six sites would photograph it.

Pigments absorb: an image is skin times exp(-density), summed over melanin, blood and the blue of deep
pigment. A lesion has its own look (its diagnosis', blended with another's for those that mimic), a photograph
its own view of it. Nothing here is meant for medicine; it is meant to be hard in the ways that the real
images are.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

from benchmark.data.drawing import Field, smooth

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
    ],
    dtype=np.float32,
)
ABSORPTION = np.array([[0.38, 0.78, 1.15], [0.24, 0.84, 0.66], [0.95, 0.62, 0.28]], dtype=np.float32)


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
    label: int, site: int, lesion: np.random.Generator, view: np.random.Generator, side: int
) -> npt.NDArray[np.uint8]:
    """Draw one photograph of one lesion.

    Args:
        label: Diagnosis, 0..7.
        site: Site, 0..5.
        lesion: Randomness of the lesion itself: equal for all photographs of it.
        view: Randomness of this photograph.
        side: Height in pixels; the width is 4/3 of it.

    Returns:
        (side, 4 * side // 3, 3) uint8, RGB.
    """
    height, width = side, 4 * side // 3
    camera = SITES[site]
    look = dict(zip(LOOK, _look(lesion, label), strict=True))
    u, v, level = _geometry(lesion, view, look, camera.zoom, height, width)
    inside = 1 / (1 + np.exp(-np.clip(level / (0.25 * look["soft"] + 0.02), -30, 30)))
    image = _skin(view, camera, height, width) * np.exp(-_pigment(lesion, look, u, v, level, inside) @ ABSORPTION)
    scale = (
        inside
        * look["white"]
        * np.clip(0.35 + 0.6 * smooth(lesion, height, width, 8) - 0.8 * look["rim"] * level.clip(-1, 0), 0, 1)
    )
    if look["rim"] > 0.3:
        scale = scale + inside * look["white"] * np.clip(2.2 * level - 0.9, 0, 0.9)
    image += 0.75 * np.clip(scale, 0, 1)[..., None] * (np.array([0.97, 0.90, 0.84], np.float32) - image)
    return _photograph(view, camera, image)


def _look(rng: np.random.Generator, label: int) -> npt.NDArray[np.float32]:
    """The look (12,) of one lesion: its diagnosis', drifting towards another's, with amounts that vary."""
    other = LOOKS[rng.integers(len(LOOKS))]
    mimicry = 0.6 * rng.random() ** 1.5
    look = (1 - mimicry) * LOOKS[label] + mimicry * other
    return (look * np.exp(0.22 * rng.standard_normal(len(look)))).astype(np.float32)


def _geometry(
    lesion: np.random.Generator,
    view: np.random.Generator,
    look: dict[str, float],
    zoom: float,
    height: int,
    width: int,
) -> tuple[Field, Field, Field]:
    """Coordinates `u`, `v` that turn with the lesion, and its level: 0 on the outline; (H, W) each."""
    x = np.linspace(-width / height, width / height, width, dtype=np.float32)[None, :]
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    x0, y0 = view.normal(0, 0.10, 2)
    angle, zoom = view.uniform(0, 2 * np.pi), zoom * np.exp(view.normal(0, 0.10))
    cos, sin = np.float32(np.cos(angle) / zoom), np.float32(np.sin(angle) / zoom)
    u, v = cos * (x - x0) + sin * (y - y0), cos * (y - y0) - sin * (x - x0)
    stretch = np.float32(np.exp(lesion.normal(0, 0.18)))
    direction = np.arctan2(v, u)
    waves = np.zeros_like(direction)
    for order in range(2, 9):
        size, phase = lesion.normal(0, 1 / order**0.8), lesion.uniform(0, 2 * np.pi)
        waves += np.float32(size) * np.cos(order * direction + np.float32(phase))
    rough = smooth(lesion, height, width, 9)
    radius = 1.35 * look["radius"] * np.exp(look["ragged"] * (0.55 * waves + 0.35 * rough))
    return u, v, 1 - np.hypot(u * stretch, v / stretch) / radius


def _pigment(
    rng: np.random.Generator, look: dict[str, float], u: Field, v: Field, level: Field, inside: Field
) -> Field:
    """Density (H, W, 3) of melanin, blood and blue."""
    height, width = level.shape
    slow, mid, fine, grain = (smooth(rng, height, width, cells) for cells in (3, 8, 16, 34))
    depth = np.clip(level, -0.2, 1)
    # Three plane waves at 60 degrees make the honeycomb of a pigment network; the field bends it.
    mesh = sum(
        np.cos(34 * (u * np.float32(np.cos(t)) + v * np.float32(np.sin(t))) + 1.6 * mid)
        for t in (0.0, np.pi / 3, 2 * np.pi / 3)
    )
    patches = np.clip(1 + look["patchy"] * (0.7 * slow + 0.5 * mid), 0.1, 2.5)
    melanin = look["melanin"] * patches * (1 - look["rim"] * (depth - 0.45)) * (0.75 + 0.3 * depth)
    melanin = melanin + look["network"] * np.clip(0.35 - 0.55 * mesh, 0, 1) * (0.5 + 0.3 * patches)
    melanin = melanin + 1.8 * look["dots"] * np.clip(grain - 1.5, 0, 0.8)
    blood = look["blood"] * np.clip(1 + look["patchy"] * (0.5 * mid - 0.4 * slow), 0.2, 2.2)
    blood = blood + 0.9 * look["vessels"] * np.exp(-((fine + 0.5 * mid) ** 2) / 0.03)
    veil = look["veil"] * np.clip(0.3 + 1.1 * slow + 0.3 * mid, 0, 2) * np.clip(2 * depth, 0, 1)
    halo = 0.15 * look["blood"] * np.exp(-np.clip(-level, 0, 9) * 3)
    density = np.stack([melanin * inside, blood * inside + halo, veil * inside], axis=-1)
    return np.clip(density, 0, 3).astype(np.float32)


def _skin(rng: np.random.Generator, camera: Site, height: int, width: int) -> Field:
    """Bare skin (H, W, 3) in [0, 1]."""
    tone = np.array(camera.skin, np.float32) * np.exp(rng.normal(0, 0.05) + rng.normal(0, 0.025, 3)).astype(np.float32)
    blotches = smooth(rng, height, width, 4) + 0.7 * smooth(rng, height, width, 14)
    grain = smooth(rng, height, width, 40)
    redness = np.array([0.3, 1.0, 0.9], np.float32)
    return tone * np.exp(-camera.mottle * (blotches[..., None] * redness + 0.35 * grain[..., None]))


def _photograph(rng: np.random.Generator, camera: Site, image: Field) -> npt.NDArray[np.uint8]:
    """What the camera makes of (H, W, 3) in [0, 1]: hairs, marks, optics, light and noise; uint8."""
    height, width, _ = image.shape
    unit = height / 96
    picture = Image.fromarray(np.clip(image * 255, 0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(picture, "RGBA")
    _hairs(rng, draw, camera.hairs, height, width)
    if rng.random() < camera.ruler:
        _ruler(rng, draw, height, width)
    if rng.random() < camera.bubbles:
        for _ in range(rng.integers(2, 9)):
            r, cx, cy = unit * rng.uniform(0.8, 3.5), rng.uniform(0, width), rng.uniform(0, height)
            draw.ellipse((cx - r, cy - r, cx + r, cy + r), outline=(255, 255, 255, 150), width=1)
            draw.point((cx - r / 2, cy - r / 2), fill=(255, 255, 255, 230))
    blur = float(camera.blur * unit * np.exp(rng.normal(0, 0.35)))
    light = np.asarray(picture.filter(ImageFilter.GaussianBlur(blur)), dtype=np.float32) / 255
    x = np.linspace(-width / height, width / height, width, dtype=np.float32)[None, :]
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    far = x**2 + y**2
    slope = rng.normal(0, 0.05, 2).astype(np.float32)
    shade = 1 - camera.vignette * far / 2.8 * np.float32(rng.uniform(0.5, 1.4)) + slope[0] * x + slope[1] * y
    if rng.random() < camera.tube:
        shade = shade * np.clip((np.float32(rng.uniform(1.15, 1.5)) - np.sqrt(far)) * 12, 0.03, 1)
    gains = np.array(camera.gains, np.float32) * np.exp(rng.normal(0, 0.03, 3)).astype(np.float32)
    values = np.clip(light * shade[..., None], 0, 1) ** np.float32(camera.gamma * np.exp(rng.normal(0, 0.06))) * gains
    values = values + camera.noise * rng.standard_normal((height, width, 1), dtype=np.float32)
    return np.clip(values * 255, 0, 255).astype(np.uint8)


def _hairs(rng: np.random.Generator, draw: ImageDraw.ImageDraw, mean: float, height: int, width: int) -> None:
    """Dark curved lines; most images have few, some many."""
    number = rng.poisson(mean * rng.exponential(1))
    tone = rng.integers(15, 70)
    for _ in range(min(number, 25)):
        x0, y0, angle = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(0, 2 * np.pi)
        steps = np.linspace(0, rng.uniform(0.3, 1.0) * height, 12)
        turn = angle + rng.normal(0, 0.8) * steps / height
        points = np.stack([x0 + steps * np.cos(turn), y0 + steps * np.sin(turn)], axis=1)
        color = (int(tone), int(0.8 * tone), int(0.7 * tone), int(rng.integers(110, 220)))
        draw.line([tuple(point) for point in points.tolist()], fill=color, width=max(1, round(height / 110)))


def _ruler(rng: np.random.Generator, draw: ImageDraw.ImageDraw, height: int, width: int) -> None:
    """A ruler's marks along the upper or lower edge."""
    step, upper = height / rng.uniform(9, 14), rng.random() < 0.5
    for number in range(int(width / step) + 1):
        length = height * (0.09 if number % 5 == 0 else 0.05)
        x, edge, end = number * step, (0 if upper else height), (length if upper else height - length)
        draw.line((x, edge, x, end), fill=(30, 30, 45, 200), width=max(1, round(height / 96)))
