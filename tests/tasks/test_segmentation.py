"""Segmentation: targets, augmentation, losses, counts and score, against NumPy and MONAI."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from monai.metrics import compute_dice, compute_hausdorff_distance
from PIL import Image

from benchmark.data.picture import fit
from benchmark.settings import AugmentationSettings
from benchmark.tasks.segmentation import PREDICTED, SMOOTH, TRUE, Segmentation, dice, surface_distance

CLASSES = ("background", "organ", "lesion")
TASK = Segmentation(CLASSES)
SIDE = 12


def logits(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(scale=2, size=(count, len(CLASSES), SIDE, SIDE))


def maps(count: int, seed: int = 0, classes: int = len(CLASSES)) -> np.ndarray:
    return np.random.default_rng([seed, 1]).integers(0, classes, (count, SIDE, SIDE)).astype(np.uint8)


def blobs(count: int, seed: int) -> np.ndarray:
    """Rectangles, some of them empty."""
    rng, found = np.random.default_rng(seed), np.zeros((count, SIDE, SIDE), dtype=bool)
    for one in found:
        top, left = rng.integers(0, SIDE, 2)
        one[top : top + rng.integers(0, 6), left : left + rng.integers(0, 6)] = True
    return found


def one_hot(labels: np.ndarray) -> torch.Tensor:
    """(n, S, S) to (n, C, S, S), for MONAI."""
    return torch.from_numpy(np.stack([labels == c for c in range(len(CLASSES))], 1).astype(np.float32))


# Targets.


@pytest.fixture
def target(tmp_path: Path) -> Callable[..., np.ndarray]:
    """The target of a mask that is written beside an image of 24 x 16 pixels."""

    def read(mask: Image.Image, task: Segmentation = TASK, size: int = 8, **row: Any) -> np.ndarray:
        Image.new("RGB", (24, 16)).save(tmp_path / "image.png")
        mask.save(tmp_path / "mask.png")
        fitted = partial(fit, image=tmp_path / "image.png", size=size, resize="crop")
        return np.asarray(task.target({"sample": "one", "target": "mask.png", **row}, tmp_path, fitted))

    return read


def test_a_target_is_the_map_on_the_pixels_of_the_packed_image(target: Callable[..., np.ndarray]) -> None:
    labels = np.kron(np.arange(6, dtype=np.uint8).reshape(2, 3) % 3, np.ones((8, 8), dtype=np.uint8))
    found = target(Image.fromarray(labels))
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, labels[::2, 4:20:2])  # The centre of 24 x 16, at half the size.


@pytest.mark.parametrize("mode", ["1", "L", "I;16"])
@pytest.mark.parametrize("white", [1, 255])
def test_masks_of_one_class_may_be_written_in_black_and_white(
    mode: str, white: int, target: Callable[..., np.ndarray]
) -> None:
    labels = np.zeros((16, 24), dtype=bool)
    labels[4:, :12] = True
    values = labels if mode == "1" else (labels * white).astype(np.uint16 if mode == "I;16" else np.uint8)
    found = target(Image.fromarray(values), Segmentation(("background", "lesion")), size=16)
    np.testing.assert_array_equal(found, labels[:, 4:20])


def test_a_mask_that_cannot_be_used_is_named_in_one_line(target: Callable[..., np.ndarray]) -> None:
    read = {
        r"mask\.png: holds the value 3, but a mask of 3 .* holds 0, 1, 2; write it anew": Image.new("L", (24, 16), 3),
        r"mask\.png: is empty, all background; leave the image out, or": Image.new("L", (24, 16)),
        r"mask\.png: has 3 channels, and .* pixel; write it anew": Image.new("RGB", (24, 16), (1, 1, 1)),
        r"mask\.png: has 24 x 10 pixels, and its image .*image\.png 24 x 16; bring both": Image.new("L", (24, 10), 1),
    }
    for said, mask in read.items():
        with pytest.raises(ValueError, match=said) as error:
            target(mask)
        assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match="holds the value 255, but a mask of 3 classes"):
        target(Image.new("L", (24, 16), 255))
    assert not target(Image.new("L", (24, 16)), empty=True).any(), "slices of a volume may show nothing"


def test_strata_are_the_last_class_that_is_shown() -> None:
    targets = np.zeros((3, SIDE, SIDE), dtype=np.uint8)
    targets[1, 2, 2], targets[2, 3], targets[2, 4, 4] = 1, 1, 2
    assert TASK.strata(targets).tolist() == [0, 1, 2]


# Augmentation.


def test_a_marked_pixel_is_followed_by_its_label() -> None:
    """One pixel of each image is bright, and labelled; after any change the bright pixel is the labelled one."""
    count, rng = 64, np.random.default_rng(0)
    images, targets = torch.zeros(count, SIDE, SIDE, 3, dtype=torch.uint8), torch.zeros(count, SIDE, SIDE).byte()
    rows, columns = (torch.from_numpy(rng.integers(0, SIDE, count)) for _ in range(2))
    images[torch.arange(count), rows, columns] = 200
    targets[torch.arange(count), rows, columns] = 2
    draws = torch.from_numpy(rng.random((count, 5)))
    changed, labels = TASK.augment(images, targets, AugmentationSettings(), draws, torch.float64)
    assert labels.dtype == torch.uint8
    brightest = changed.mean(1).flatten(1).argmax(1)
    np.testing.assert_array_equal(brightest, labels.flatten(1).argmax(1))
    assert (labels.flatten(1).sum(1) == 2).all(), "no value is made"
    assert (brightest != rows * SIDE + columns).float().mean() > 0.8, "most have moved"
    still = AugmentationSettings(flip=False, rotate=False)
    assert torch.equal(TASK.augment(images, targets, still, draws, torch.float64)[1], targets)


# Losses.


@pytest.mark.parametrize("weight", [0, 0.3, 0.8, 1])
def test_the_loss_is_cross_entropy_and_soft_dice_by_the_formula(weight: float) -> None:
    z, y = logits(4), maps(4)
    p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
    g = np.stack([y == c for c in range(3)], 1).astype(float)
    cross_entropy = -np.log((p * g).sum(1)).mean()
    soft = [
        (2 * (p[:, c] * g[:, c]).sum() + SMOOTH) / ((p[:, c] ** 2).sum() + (g[:, c] ** 2).sum() + SMOOTH)
        for c in range(3)
    ]
    found = Segmentation(CLASSES, {"dice_weight": weight}).loss(torch.from_numpy(z), torch.from_numpy(y), {})
    assert float(found) == pytest.approx((1 - weight) * cross_entropy + weight * (1 - np.mean(soft)), rel=1e-12)


@pytest.mark.parametrize("weight", [0, 0.8, 1])
def test_lanes_of_losses_and_their_gradients_are_those_of_a_loop(weight: float) -> None:
    task, y = Segmentation(CLASSES, {"dice_weight": weight}), torch.from_numpy(maps(4))
    lanes = torch.stack([torch.from_numpy(logits(4, seed)) for seed in range(3)])

    def gradient(z: torch.Tensor) -> torch.Tensor:
        return torch.func.grad(lambda own: task.loss(own, y, {}))(z)

    together = torch.vmap(gradient)(lanes)
    assert torch.allclose(together, torch.stack([gradient(z) for z in lanes]), atol=1e-15, rtol=0)


def test_a_perfect_prediction_has_no_loss_also_where_a_class_is_absent() -> None:
    y = maps(2, classes=2)
    certain = torch.from_numpy(200.0 * (np.stack([y == c for c in range(3)], 1)))
    assert float(TASK.loss(certain, torch.from_numpy(y), {})) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("value", [-0.1, 1.1, "both"])
def test_a_weight_that_is_none_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"tasks.segmentation.dice_weight: .* is no number from 0 \(cross-entropy\)"):
        Segmentation(CLASSES, {"dice_weight": value})


# Counts and score.


@given(count=st.integers(1, 6), seed=st.integers(0, 99), absent=st.integers(0, 3))
def test_counts_and_score_are_those_of_monai(count: int, seed: int, absent: int) -> None:
    """Also where prediction, target or both show nothing of a class."""
    z, y = logits(count, seed), maps(count, seed, 3 - absent % 2)
    if absent > 1:
        z[: count // 2 + 1, 2] = -99
    counts = TASK.counts(torch.from_numpy(z), torch.from_numpy(y)).numpy()
    theirs = compute_dice(one_hot(z.argmax(1)), one_hot(y), include_background=False, ignore_empty=False).numpy()
    np.testing.assert_allclose(dice(counts), theirs, atol=1e-6)
    assert TASK.score(counts) == pytest.approx(theirs.mean(), abs=1e-6)
    np.testing.assert_array_equal(counts[..., PREDICTED].sum(-1), SIDE * SIDE)


def test_a_case_is_scored_by_its_slices_counts_and_empty_classes_by_the_rule() -> None:
    """By hand: 3 hit of 4 predicted and 6 true; then both empty; then one empty."""
    counts = np.zeros((3, 2, 3))
    counts[:, 1] = [[3, 4, 6], [0, 0, 0], [0, 5, 0]]
    task = Segmentation(("background", "lesion"))
    assert dice(counts)[:, 0].tolist() == [0.6, 1, 0]
    assert task.score(counts) == pytest.approx(1.6 / 3)
    above, below = task.ratios(counts)
    assert (above / below).tolist() == dice(counts).tolist()
    assert task.chance(counts) == pytest.approx(2 / 3), "background everywhere is right where nothing is"
    assert task.chance(counts[1:]) is None
    lanes = np.stack([counts, counts[::-1]])
    assert task.score(lanes)[1] == pytest.approx(task.score(counts[::-1]))


@given(count=st.integers(1, 6), seed=st.integers(0, 99))
def test_of_scored_images_alone_the_score_is_that_of_a_data_set_without_the_others(count: int, seed: int) -> None:
    """Whole cases of them are left out too, from the score, from chance and from what stands beside it."""
    rng = np.random.default_rng(seed)
    y, z = maps(count, seed) * (rng.random((count, 1, 1)) < 0.6).astype(np.uint8), logits(count, seed)
    y[0, 0, 0] = 1
    case = rng.integers(0, 3, count)
    shown = (y > 0).any((1, 2))
    some = Segmentation(CLASSES, {"scored_images": "foreground"})
    counts = some.counts(torch.from_numpy(z), torch.from_numpy(y)).numpy()
    rest = TASK.counts(torch.from_numpy(z[shown]), torch.from_numpy(y[shown])).numpy()
    np.testing.assert_array_equal(counts[shown], rest)
    assert not counts[~shown].any()
    units = np.stack([counts[case == one].sum(0) for one in np.unique(case)])
    others = np.stack([rest[case[shown] == one].sum(0) for one in np.unique(case[shown])])
    assert some.score(units) == TASK.score(others)
    assert some.chance(units) == TASK.chance(others)
    kept = pd.DataFrame({"case": case, **some.kept(torch.from_numpy(z), torch.from_numpy(y))})
    pairs = zip(some.metrics(counts, kept), TASK.metrics(rest, kept[shown].reset_index()), strict=True)
    assert all(mine[:2] == theirs[:2] for mine, theirs in pairs)
    assert some.published(counts) == TASK.published(rest)


def test_an_image_that_is_not_scored_hides_no_divergence() -> None:
    some = Segmentation(CLASSES, {"scored_images": "foreground"})
    z, y = np.full((2, 3, SIDE, SIDE), np.nan), np.zeros((2, SIDE, SIDE), dtype=np.uint8)
    y[0] = 1
    assert np.isnan(some.score(some.counts(torch.from_numpy(z[1:]), torch.from_numpy(y[1:])).numpy()))


def test_where_no_image_is_scored_there_is_no_score() -> None:
    """Not even 0: a client that shows nothing of the classes is named by what it lacks, and what to do."""
    some = Segmentation(CLASSES, {"scored_images": "foreground"})
    y = torch.zeros(2, SIDE, SIDE, dtype=torch.uint8)
    counts = some.counts(torch.from_numpy(logits(2)), y).numpy()
    with pytest.raises(ValueError, match="nothing to score, none of whose images shows organ, lesion; set it to `all`"):
        some.score(counts)
    assert some.ratios(counts[:0])[1].shape == (0, 2)


def test_only_some_images_are_scored_by_a_name_that_is_known() -> None:
    with pytest.raises(ValueError, match=r"tasks\.segmentation\.scored_images: 'prostate' is none of all, foreground"):
        Segmentation(CLASSES, {"scored_images": "prostate"})


def test_lanes_are_counted_apart_and_one_that_diverged_spreads_to_no_other() -> None:
    z = np.stack([logits(4, seed) for seed in range(2)])
    z[1, 2, 0, 3, 3] = np.nan
    y = torch.from_numpy(maps(4))
    counts = TASK.counts(torch.from_numpy(z), y).numpy()
    assert counts.shape == (2, 4, 3, 3)
    assert np.isnan(TASK.score(counts)).tolist() == [False, True]
    np.testing.assert_array_equal(counts[0], TASK.counts(torch.from_numpy(z[0]), y).numpy())
    np.testing.assert_array_equal(counts[1, ..., TRUE], counts[0, ..., TRUE])
    assert np.isnan(TASK.score(counts[:, [0, 1, 3]])).tolist() == [False, False]


def test_what_targets_and_predictions_show_is_told_class_by_class_of_the_foreground() -> None:
    """The first image shows an organ that is not seen; in the second a lesion is seen where there is none."""
    y, z = np.zeros((3, SIDE, SIDE), dtype=np.uint8), np.zeros((3, 3, SIDE, SIDE))
    y[0, 2:6, 2:6], z[:, 0], z[1, 2, 3, 3] = 1, 1, 9
    z[2, 0, 0, 0] = np.nan
    true, predicted = TASK.appearances(TASK.counts(torch.from_numpy(z), torch.from_numpy(y)).numpy())
    assert true.tolist() == [[True, False], [False, False], [False, False]]
    assert predicted.tolist() == [[False, False], [False, True], [False, False]]


# What stands beside the score.


@given(seed=st.integers(0, 10_000))
@pytest.mark.filterwarnings("ignore:.*always_return_as_numpy:FutureWarning")
def test_the_surface_distance_is_monais(seed: int) -> None:
    found, true = blobs(2, seed)
    ours = surface_distance(found, true)
    if not (found.any() and true.any()):
        assert np.isnan(ours)
        return
    masks = (torch.from_numpy(mask[None, None].astype(np.float32)) for mask in (found, true))
    theirs = compute_hausdorff_distance(*masks, include_background=True, percentile=95)
    assert ours == pytest.approx(float(theirs), abs=1e-5)


def test_metrics_are_of_cases_and_distances_of_images() -> None:
    """Two cases of two slices; the lesion is shown and found on one slice alone."""
    y, z = np.zeros((4, SIDE, SIDE), dtype=np.uint8), np.zeros((4, 3, SIDE, SIDE))
    y[:, 2:6, 2:6] = 1
    y[0, 8:10, 8:10] = 2
    predicted = np.roll(y, 1, axis=2)
    np.put_along_axis(z, predicted[:, None].astype(np.int64), 9, axis=1)
    counts = TASK.counts(torch.from_numpy(z), torch.from_numpy(y)).numpy()
    kept = pd.DataFrame(TASK.kept(torch.from_numpy(z), torch.from_numpy(y))).assign(case=["b", "b", "a", "a"])
    found = {name: (value, n) for name, value, n in TASK.metrics(counts, kept)}
    organ, lesion = 0.75, (0.5 + 1) / 2  # Three of four columns, one of two; the second case shows no lesion.
    assert found["dice[organ]"] == (pytest.approx(organ), 4)
    assert found["dice[lesion]"] == (pytest.approx(lesion), 4)
    assert found["jaccard"] == (pytest.approx((0.6 + 0.6 + 1 / 3 + 1) / 4), 4)
    assert found["surface_distance_95[organ]"] == (pytest.approx(1), 4)
    assert found["surface_distance_95[lesion]"] == (pytest.approx(1), 1)
    counts[1, :, :TRUE] = np.nan
    assert all(np.isnan(value) for _, value, _ in TASK.metrics(counts, kept))


@pytest.mark.parametrize("count", [5, 12])
def test_what_is_published_of_a_hospital_outside_is_a_mean_over_batches_with_background(count: int) -> None:
    """By a plain loop over batches of five, images and classes; an image of background alone is in none of them."""
    generator = torch.Generator().manual_seed(count)
    logits = torch.randn(count + 1, 3, 8, 8, generator=generator)
    target = torch.randint(0, 3, (count + 1, 8, 8), generator=generator)
    target[2] = 0
    own = Segmentation(["background", "organ", "lesion"])
    shown = [i for i in range(count + 1) if i != 2]
    batches = []
    for first in range(0, count, 5):
        of_images = []
        for i in shown[first : first + 5]:
            found, scores = logits[i].argmax(0), []
            for c in range(3):
                both = ((found == c) & (target[i] == c)).sum().item()
                scores.append(2 * both / ((found == c).sum().item() + (target[i] == c).sum().item() + 1e-5))
            of_images.append(sum(scores) / 3)
        batches.append(sum(of_images) / len(of_images))
    counts = own.counts(logits, target).numpy()
    assert own.published(counts) == pytest.approx(sum(batches) / len(batches))
    assert np.isnan(own.published(counts[2:3]))
