"""Pictures brought to the size of the pack."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmark.data.dataset import DataError
from benchmark.data.picture import decode, fit


def test_crop_and_squash(tmp_path: Path) -> None:
    image = np.zeros((20, 40, 3), dtype=np.uint8)
    image[:, :10], image[:, 30:] = (255, 0, 0), (0, 0, 255)
    image[:, 10:30] = (0, 255, 0)
    Image.fromarray(image).save(tmp_path / "wide.png")
    crop, squash = (decode(tmp_path / "wide.png", 20, mode) for mode in ("crop", "squash"))
    np.testing.assert_array_equal(crop, image[:, 10:30])
    np.testing.assert_array_equal(squash[10, [0, 10, 19]], [[255, 0, 0], [0, 255, 0], [0, 0, 255]])


def test_shrinking_is_antialiased_and_drafts_are_close(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)
    big = Image.fromarray(noise).resize((640, 480), Image.Resampling.BICUBIC)
    big.save(tmp_path / "big.png")
    big.save(tmp_path / "big.jpg", quality=95)
    exact = decode(tmp_path / "big.png", 24, "crop").astype(int)
    wanted = big.resize((32, 24), Image.Resampling.BICUBIC).crop((4, 0, 28, 24))
    np.testing.assert_array_equal(exact, np.asarray(wanted))
    assert np.abs(decode(tmp_path / "big.jpg", 24, "crop") - exact).mean() < 3


def test_grey_and_transparent_images_become_rgb(tmp_path: Path) -> None:
    for mode in ("L", "RGBA", "P"):
        Image.new(mode, (8, 8)).save(tmp_path / "odd.png")
        assert decode(tmp_path / "odd.png", 4, "squash").shape == (4, 4, 3)


def test_grey_images_have_one_channel(tmp_path: Path) -> None:
    pixels = np.arange(64, dtype=np.uint8).reshape(8, 8)
    Image.fromarray(pixels).save(tmp_path / "grey.png")
    np.testing.assert_array_equal(decode(tmp_path / "grey.png", 8, "crop", channels=1)[..., 0], pixels)


@pytest.mark.parametrize("resize", ["crop", "squash"])
@pytest.mark.parametrize("name", ["image.png", "image.jpg"])
def test_a_mask_lies_on_the_pixels_of_its_image(tmp_path: Path, name: str, resize: str) -> None:
    """An image that shows its own mask, black and white, is packed as its mask is, but for blurred edges."""
    truth = np.zeros((301, 457), dtype=np.uint8)
    truth[40:200, 250:400], truth[150:290, 60:180] = 1, 1
    Image.fromarray(255 * truth).convert("RGB").save(tmp_path / name)
    image = decode(tmp_path / name, 64, resize)[..., 0] > 127
    mask = fit(Image.fromarray(truth), tmp_path / name, 64, resize)
    assert mask.shape == (64, 64)
    assert set(np.unique(mask)) == {0, 1}
    edges = np.zeros((64, 64), dtype=bool)
    for axis in (0, 1):
        for step in (-1, 1):
            edges |= np.roll(mask, step, axis) != mask
    np.testing.assert_array_equal(image[~edges], mask[~edges] == 1)


def test_a_mask_of_other_proportions_is_refused(tmp_path: Path) -> None:
    Image.new("RGB", (40, 20)).save(tmp_path / "image.png")
    assert fit(Image.new("L", (80, 40)), tmp_path / "image.png", 16, "crop").shape == (16, 16)
    with pytest.raises(DataError, match=r"has 40 x 30 pixels, and its image .*image\.png 40 x 20; bring both"):
        fit(Image.new("L", (40, 30)), tmp_path / "image.png", 16, "crop")
