"""FLAP-SAM's further changes: Pillow and NumPy image by image, closed forms, and labels that follow their pixels."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps
from torch import Tensor

from benchmark.data.augmentation import PLAIN, augment, draws, moved
from benchmark.data.changes import KINDS, NUMBERS, changed
from benchmark.settings import AugmentationSettings
from benchmark.tasks.segmentation import Segmentation

SIDE = 40
PLAINLY = {"flip": False, "rotate": False, "brightness": 0, "contrast": 0}
PUBLISHED = AugmentationSettings(
    half=True, brightness=0, contrast=0, turn=15, gamma=(0.5, 3.5), erase=(0.02, 0.05), others=2
)


def settings(**given: object) -> AugmentationSettings:
    return AugmentationSettings(**PLAINLY, **given)


def numbers(count: int, seed: int = 0) -> Tensor:
    return torch.rand(count, NUMBERS, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def smooth(count: int) -> Tensor:
    """Images (count, SIDE, SIDE, 3) that change from pixel to pixel by some levels."""
    coarse = np.random.default_rng(0).integers(0, 256, (count, 3, 8, 8), dtype=np.uint8)
    large = [[np.asarray(Image.fromarray(c).resize((SIDE, SIDE), Image.Resampling.BICUBIC)) for c in i] for i in coarse]
    return torch.from_numpy(np.array(large)).movedim(1, -1)


def by_pillow(image: np.ndarray, kind: str, v: float, labels: bool) -> np.ndarray:
    """One channel (SIDE, SIDE), or a map, changed as the authors' program does it."""
    shown = Image.fromarray(image)
    matrices = {
        "shear x": (1, v, -v * SIDE / 2, 0, 1, 0),
        "shear y": (1, 0, 0, v, 1, -v * SIDE / 2),
        "scale": (v, 0, 0, 0, v, 0),
        "shift x": (1, 0, v * SIDE, 0, 1, 0),
        "shift y": (1, 0, 0, 0, 1, v * SIDE),
    }
    if kind in matrices:
        how = Image.Resampling.NEAREST if labels else Image.Resampling.BILINEAR
        shown = shown.transform(shown.size, Image.Transform.AFFINE, matrices[kind], resample=how)
    elif kind == "levels" and not labels:
        shown = ImageOps.posterize(shown, int(v))
    elif kind in ("contrast", "brightness", "sharpness") and not labels:
        shown = getattr(ImageEnhance, kind.capitalize())(shown).enhance(v)
    return np.asarray(shown)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_some_of_ten_changes_are_pillows_in_the_drawn_order(count: int) -> None:
    """Grey images, as the program changes slice by slice; the ranges are those of its constructor."""
    ranges = ((-0.3, 0.3), (-0.3, 0.3), (0.8, 1.2), (-0.2, 0.2), (-0.2, 0.2), (4, 8.99), (0.7, 1.3), (0.7, 1.3))
    ranges += ((0.1, 1.9), (0, 0))
    images = smooth(60)[..., :1].expand(-1, -1, -1, 3)
    maps = (images[..., :1] > 128).to(torch.uint8)
    drawn = numbers(60)
    found = changed(images, settings(others=count), drawn)
    labels = changed(maps, settings(others=count), drawn, labels=True)
    seen = set()
    for k, own in enumerate(drawn.numpy()):
        image, own_map = images[k, ..., 0].numpy(), maps[k, ..., 0].numpy()
        for kind in np.argsort(own[7:17])[:count]:
            low, high = ranges[kind]
            v = low + (high - low) * own[17 + kind]
            image, own_map = (by_pillow(own, KINDS[kind], v, own is own_map) for own in (image, own_map))
            seen.add(KINDS[kind])
        assert (found[k] == torch.from_numpy(image.copy())[..., None]).all(), k
        assert (labels[k, ..., 0] == torch.from_numpy(own_map.copy())).all(), k
    assert seen == set(KINDS)


def test_a_turn_by_none_and_by_quarters_is_exact() -> None:
    """Of half the images; numbers that are drawn for these among 2 x 180 + 1 degrees, clockwise."""
    images, drawn = smooth(4), numbers(4)
    for degrees, quarters in ((0, 0), (90, -1), (-90, 1), (180, 2)):
        drawn[:, 0] = (degrees + 180.5) / 361 / 2
        drawn[3, 0] = 0.5  # Not turned.
        found = changed(images, settings(turn=180), drawn)
        assert torch.equal(found[:3], torch.rot90(images[:3], quarters, (1, 2))), degrees
        assert torch.equal(found[3], images[3])


def test_turns_stay_within_their_degrees_and_their_pixels_are_the_nearest() -> None:
    """Where two marked pixels come to lie tells the angle; maps turn as images."""
    images = smooth(200)
    drawn = numbers(200)
    found = changed(images, settings(turn=15), drawn)
    assert torch.equal(found, changed(images, settings(turn=15), drawn, labels=True))
    still = (found == images).flatten(1).all(1)
    assert 0.4 < still.float().mean() < 0.62
    y, x = (np.indices((SIDE, SIDE)) + 0.5 - SIDE / 2).reshape(2, -1)
    for k in np.flatnonzero(~still.numpy())[:20]:
        angle = np.deg2rad(int(2 * drawn[k, 0] * 31) - 15)
        assert abs(angle) <= np.deg2rad(15)
        columns = np.floor(np.cos(angle) * x + np.sin(angle) * y + SIDE / 2).astype(int)
        rows = np.floor(-np.sin(angle) * x + np.cos(angle) * y + SIDE / 2).astype(int)
        inside = (np.minimum(rows, columns) >= 0) & (np.maximum(rows, columns) < SIDE)
        wanted = np.where(inside[:, None], images[k].numpy()[rows.clip(0, SIDE - 1), columns.clip(0, SIDE - 1)], 0)
        assert (found[k].numpy().reshape(-1, 3) != wanted).mean() < 0.002, "a place on a border may fall either way"


def test_gamma_is_the_power_and_one_is_the_identity() -> None:
    images, drawn = smooth(50), numbers(50)
    drawn[:, 1] = torch.linspace(0, 0.4999, 50)
    found = changed(images, settings(gamma=(0.5, 3.5)), drawn)
    for k, own in enumerate(drawn.numpy()):
        gamma = 0.5 + 3.0 * (int(2 * own[1] * 256) + 0.5) / 256
        wanted = 255 * (images[k].numpy() / 255) ** (1 / gamma)
        assert np.abs(found[k].numpy() - wanted).max() <= 0.5 + 1e-9
    assert torch.equal(changed(images, settings(gamma=(1.0, 1.0), turn=1), drawn * 0 + 0.9), images)
    almost = changed(images, settings(gamma=(1.0, 1.0 + 1e-12)), drawn)
    assert torch.equal(almost, images), "a gamma of one"
    assert torch.equal(changed(images, settings(gamma=(0.5, 3.5)), drawn, labels=True), images), "labels stay"


def test_a_rectangle_of_the_drawn_share_is_noise_and_its_labels_are_background() -> None:
    images, maps = torch.full((300, SIDE, SIDE, 3), 77, dtype=torch.uint8), torch.ones(300, SIDE, SIDE, 1).byte()
    drawn = numbers(300)
    own = settings(erase=(0.05, 0.1))
    found, labels = changed(images, own, drawn), changed(maps, own, drawn, labels=True)[..., 0]
    erased = (labels == 0).flatten(1).any(1)
    assert torch.equal(erased, drawn[:, 2] < 0.5)
    assert torch.equal((found != 77).any(-1) | (labels == 0), labels == 0), "nothing else has changed"
    for hole, own_draws in zip((labels[erased] == 0).numpy(), drawn[erased].numpy(), strict=True):
        rows, columns = np.flatnonzero(hole.any(1)), np.flatnonzero(hole.any(0))
        assert hole[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
        area, ratio = (0.05 + 0.1 * own_draws[2]) * SIDE**2, 0.3 + 3 * own_draws[3]
        assert (len(rows), len(columns)) == (int(np.sqrt(area / ratio)), int(np.sqrt(area * ratio)))
    noise = found[labels == 0].double()
    assert (noise == noise[:, :1]).all(), "the same in all channels"
    assert noise.mean().item() == pytest.approx(127.5, abs=3)
    assert noise.std().item() == pytest.approx(256 / np.sqrt(12), abs=3)


def test_half_of_the_images_are_mirrored_once_and_turned() -> None:
    """The four mirror images, each an eighth; half stay."""
    image = torch.arange(9, dtype=torch.uint8).view(1, 3, 3, 1).expand(4000, -1, -1, -1)
    drawn = draws(4000, torch.Generator().manual_seed(0))
    found = moved(image, AugmentationSettings(half=True), drawn)
    shares = [(found == torch.rot90(image.flip(2), k, (1, 2))).flatten(1).all(1).double().mean() for k in range(4)]
    assert np.array(shares) == pytest.approx(np.full(4, 1 / 8), abs=0.02)
    assert (found == image).flatten(1).all(1).double().mean().item() == pytest.approx(0.5, abs=0.03)


def test_a_marked_square_is_followed_by_its_labels_through_all_changes() -> None:
    """Bright where it is labelled: after all of it, bright is what is labelled, but on its rim and where noise lies."""
    generator, count = torch.Generator().manual_seed(3), 100
    images, targets = torch.zeros(count, SIDE, SIDE, 3, dtype=torch.uint8), torch.zeros(count, SIDE, SIDE).byte()
    corners = torch.randint(8, 20, (count, 2), generator=generator).tolist()
    for k, (row, column) in enumerate(corners):
        images[k, row : row + 12, column : column + 12], targets[k, row : row + 12, column : column + 12] = 200, 1
    drawn = draws(count, generator, torch.Generator().manual_seed(4))
    own = PUBLISHED.model_copy(update={"erase": (0.0, 0.0)})
    found, labels = Segmentation(("background", "mark")).augment(images, targets, own, drawn, torch.float32)
    bright = found[:, 0] > 0.2
    rim = torch.nn.functional.max_pool2d(labels[:, None].float(), 3, 1, 1) != -torch.nn.functional.max_pool2d(
        -labels[:, None].float(), 3, 1, 1
    )
    apart = (bright != (labels == 1)) & ~rim[:, 0]
    assert not apart.any()
    assert (labels != targets).flatten(1).any(1).float().mean() > 0.8, "most have moved"


def test_images_are_changed_alike_however_they_are_batched_and_the_plain_numbers_stay_the_same() -> None:
    """Further numbers are another generator's: who asks for them has the same mirrorings and turns."""
    images, seeds = smooth(64), (1, 2)
    drawn = draws(64, *(torch.Generator().manual_seed(s) for s in seeds))
    whole = augment(images, PUBLISHED, drawn)
    plain, further = (torch.Generator().manual_seed(s) for s in seeds)
    parts = [augment(batch, PUBLISHED, draws(len(batch), plain, further)) for batch in images.split(24)]
    assert torch.equal(torch.cat(parts), whole)
    assert torch.equal(drawn[:, :PLAIN], draws(64, torch.Generator().manual_seed(1)))
    alone = AugmentationSettings(half=True, brightness=0, contrast=0)
    assert torch.equal(augment(images, alone, drawn), augment(images, alone, drawn[:, :PLAIN]))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"gamma": (2.0, 1.0)}, r"`gamma` is \[2.0, 1.0\]; allowed are two numbers from 0.1 to 10.0 in order"),
        ({"erase": (0.1, 0.5)}, r"`erase` is \[0.1, 0.5\]; allowed are two numbers from 0.0 to 0.3 in order"),
        ({"half": True, "rotate": False}, "leave `flip` and `rotate` true"),
    ],
)
def test_ranges_that_are_none_are_refused(given: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        AugmentationSettings(**given)
