"""FLamby's preprocessing, against the formula written out, on files of the real kinds."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmark.data.drawn_lesion import draw_lesion
from benchmark.data.flamby import preprocess
from benchmark.exact import Draws


def written_out(picture: Image.Image) -> Image.Image:
    """The short side to 224 pixels without any shortcut, then shades of gray of order six, value modulo 256."""
    ratio = 224 / min(picture.size)
    width, height = (int(side * ratio) for side in picture.size)
    pixels = np.array(picture.resize((width, height), Image.Resampling.BILINEAR)).astype(np.float32)
    light = np.power(np.mean(np.power(pixels, 6), (0, 1)), 1 / 6)
    gains = 1 / (light / np.sqrt(np.sum(light**2)) * np.sqrt(3))
    return Image.fromarray(((pixels * gains.astype(np.float32)).astype(np.int64) % 256).astype(np.uint8))


def saved(picture: Image.Image) -> np.ndarray:
    """What a JPEG file gives back of a picture."""
    stream = io.BytesIO()
    picture.save(stream, format="JPEG")
    return np.asarray(Image.open(stream)).astype(int)


def lesion(width: int, height: int, number: int) -> io.BytesIO:
    """A drawn lesion as a JPEG file of the original images' size."""
    drawn = draw_lesion(number % 8, number % 6, Draws(0, number), Draws(1, number), height)
    picture = Image.fromarray(drawn)
    left = max(0, (picture.width - width) // 2)
    stream = io.BytesIO()
    picture.crop((left, 0, left + width, height)).resize((width, height)).save(stream, format="JPEG", quality=95)
    return stream


@pytest.mark.parametrize(("width", "height"), [(1024, 1024), (600, 450), (1024, 768), (224, 224), (160, 120)])
def test_equal_to_the_formula_within_jpeg_rounding(width: int, height: int) -> None:
    """Nearer to FLamby's pixels than these are to what FLamby's own JPEG file gives back of them."""
    for number in range(2):
        stream = lesion(width, height, number)
        wanted, found = written_out(Image.open(stream)), preprocess(Image.open(stream))
        assert found.size == wanted.size
        rounding = np.abs(saved(wanted) - np.asarray(wanted)).mean()
        assert np.abs(np.asarray(found).astype(int) - np.asarray(wanted)).mean() < 0.5 * rounding


def test_equal_to_the_formula_to_one_level_where_no_draft_is_taken() -> None:
    rng = np.random.default_rng(0)
    colors = rng.uniform(40, 120, (1, 1, 3)) * rng.uniform(0.8, 1.2, (300, 451, 3))
    picture = Image.fromarray(colors.astype(np.uint8))
    out = np.asarray(preprocess(picture))
    assert out.shape == (224, int(451 * 224 / 300), 3)
    difference = np.abs(out.astype(int) - np.asarray(written_out(picture)))
    assert difference.max() <= 1
    assert difference.mean() < 1e-3


def test_all_channels_are_equally_bright_afterwards() -> None:
    rng = np.random.default_rng(0)
    colors = rng.uniform(40, 120, (1, 1, 3)) * rng.uniform(0.8, 1.2, (300, 451, 3))
    out = preprocess(Image.fromarray(colors.astype(np.uint8)))
    light = (np.asarray(out, dtype=float) ** 6).mean((0, 1)) ** (1 / 6)
    np.testing.assert_allclose(light / light.mean(), 1, atol=0.01)
    gray = Image.fromarray(np.full((224, 300, 3), 90, dtype=np.uint8))
    np.testing.assert_allclose(np.asarray(preprocess(gray)), 90, atol=1)


def test_bright_values_wrap_round_as_in_flambys_images() -> None:
    """A blue cast makes red's and green's gains exceed one: a bright red pixel comes out dark, value modulo 256."""
    pixels = np.full((224, 224, 3), (100, 100, 200), dtype=np.uint8)
    pixels[0, 0] = (250, 100, 200)
    means = (pixels.astype(np.float64) ** 6).mean((0, 1)) ** (1 / 6)
    gain = np.sqrt((means**2).sum() / 3) / means[0]
    assert 250 * gain > 256
    assert np.asarray(preprocess(Image.fromarray(pixels)))[0, 0, 0] == int(250 * gain) - 256


def test_real_image(shared: Path) -> None:
    """A real photograph of 200x150 pixels, scaled up as FLamby would."""
    import tarfile

    with tarfile.open(shared / "ham10000_images.tar") as archive:
        member = next(entry for entry in archive if entry.name.endswith(".jpg"))
        stream = io.BytesIO(archive.extractfile(member).read())  # type: ignore[union-attr]
    found, wanted = (np.asarray(f(Image.open(stream))).astype(int) for f in (preprocess, written_out))
    assert np.abs(found - wanted).mean() < 1e-2
