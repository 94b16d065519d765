"""The task contract, and classification's losses, counts and score against closed forms in NumPy."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score

from benchmark.adaptation import entropy
from benchmark.tasks import task as tasks
from benchmark.tasks.classification import HIT, LOSSES, PREDICTED, TRUE, Classification
from benchmark.tasks.task import Floats

CLASSES = ("a", "b", "c", "d")
TASK = Classification(CLASSES)
# Class c has no training image, and none in the batch.
TRAINING = np.array([0, 0, 0, 0, 0, 1, 1, 3, 3, 3])
LABELS = np.array([0, 1, 3, 3, 0])


def logits(rows: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(scale=2, size=(rows, len(CLASSES)))


def found(z: np.ndarray, y: np.ndarray, **settings: object) -> torch.Tensor:
    """The task's loss of logits that can be differentiated."""
    task = Classification(CLASSES, settings)
    leaf = torch.tensor(z, dtype=torch.float64, requires_grad=True)
    loss = task.loss(leaf, torch.from_numpy(y), task.priors(torch.from_numpy(TRAINING)))
    loss.backward()
    assert leaf.grad is not None
    assert leaf.grad.isfinite().all()
    return loss.detach()


def log_softmax(z: np.ndarray) -> np.ndarray:
    """Z - log sum exp z, row by row."""
    return np.asarray(z - np.log(np.exp(z - z.max(1, keepdims=True)).sum(1, keepdims=True)) - z.max(1, keepdims=True))


def test_cross_entropy_is_the_mean_negative_logarithm_of_the_true_class() -> None:
    z = logits(5)
    expected = -log_softmax(z)[np.arange(5), LABELS].mean()
    assert float(found(z, LABELS, loss="cross_entropy")) == pytest.approx(expected, rel=1e-12)
    assert float(found(z, LABELS)) == pytest.approx(expected, rel=1e-12), "the default"


def test_the_weighted_loss_gives_every_class_the_same_weight() -> None:
    """Weights n / (C n_y): 10 images of 3 classes that the client has, 5, 2 and 3 of them."""
    z, weights = logits(5), np.array([10 / (3 * 5), 10 / (3 * 2), 0, 10 / (3 * 3)])
    expected = -(weights[LABELS] * log_softmax(z)[np.arange(5), LABELS]).mean()
    assert float(found(z, LABELS, loss="weighted")) == pytest.approx(expected, rel=1e-12)
    # Over all training images the weights' mean is 1, and each class has the same sum of weights.
    assert weights[TRAINING].mean() == pytest.approx(1)
    assert {round(weights[TRAINING][c == TRAINING].sum(), 12) for c in (0, 1, 3)} == {round(10 / 3, 12)}


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0, 5.0])
def test_the_focal_loss_is_that_of_the_paper(gamma: float) -> None:
    z = logits(5)
    log_p = log_softmax(z)[np.arange(5), LABELS]
    expected = -((1 - np.exp(log_p)) ** gamma * log_p).mean()
    assert float(found(z, LABELS, loss="focal", gamma=gamma)) == pytest.approx(expected, rel=1e-12)


def test_without_gamma_the_focal_loss_is_cross_entropy() -> None:
    z = logits(5)
    assert float(found(z, LABELS, loss="focal", gamma=0)) == pytest.approx(float(found(z, LABELS)), rel=1e-14)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_the_focal_loss_of_an_image_that_is_certain_is_zero_and_has_gradients(gamma: float) -> None:
    z = np.zeros((1, 4))
    z[0, 1] = 1e3
    assert float(found(z, np.array([1]), loss="focal", gamma=gamma)) == 0


def test_the_balanced_softmax_is_that_of_the_paper() -> None:
    """-log(n_y e^z_y / sum_c n_c e^z_c): a class without images has no part in the sum."""
    z, images = logits(5), np.array([5, 2, 0, 3])
    shares = images * np.exp(z) / (images * np.exp(z)).sum(1, keepdims=True)
    expected = -np.log(shares[np.arange(5), LABELS]).mean()
    assert float(found(z, LABELS, loss="balanced_softmax")) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_falls_where_the_true_logit_rises(loss: str) -> None:
    z = logits(5)
    better = z + 0.1 * np.eye(4)[LABELS]
    assert found(better, LABELS, loss=loss) < found(z, LABELS, loss=loss)


# Counts and score.


def by_hand(z: np.ndarray, y: np.ndarray) -> Floats:
    """Counts (n, C, 3) image by image."""
    counts = np.zeros((len(y), len(CLASSES), 3))
    for image, (row, label) in enumerate(zip(z, y, strict=True)):
        guess = int(row.argmax())
        counts[image, guess, PREDICTED] = 1
        counts[image, label, TRUE] = 1
        counts[image, label, HIT] = guess == label
    return counts


labelled = st.lists(st.integers(0, 3), min_size=1, max_size=30)


@given(labels=labelled, seed=st.integers(0, 99))
@pytest.mark.filterwarnings("ignore:y_pred contains classes", "ignore:A single label")
def test_counts_and_score_are_those_by_hand_and_scikit_learns(labels: list[int], seed: int) -> None:
    z, y = logits(len(labels), seed), np.array(labels)
    counts = TASK.counts(torch.from_numpy(z), torch.from_numpy(y)).numpy()
    np.testing.assert_array_equal(counts, by_hand(z, y))
    assert TASK.score(counts) == pytest.approx(balanced_accuracy_score(y, z.argmax(1)), abs=1e-12)


def test_lanes_are_counted_apart_and_one_that_diverged_spreads_to_no_other() -> None:
    lanes = np.stack([logits(5, seed) for seed in range(3)])
    lanes[1, 2, 0] = math.nan
    counts = TASK.counts(torch.from_numpy(lanes), torch.from_numpy(LABELS)).numpy()
    scores = TASK.score(counts)
    assert np.isnan(scores).tolist() == [False, True, False]
    for lane in (0, 2):
        alone = TASK.counts(torch.from_numpy(lanes[lane]), torch.from_numpy(LABELS)).numpy()
        np.testing.assert_array_equal(counts[lane], alone)
        assert scores[lane] == TASK.score(alone)
    np.testing.assert_array_equal(counts[1, ..., TRUE], counts[0, ..., TRUE])
    assert np.isnan(counts[1, 2, :, :TRUE]).all()


def test_chance_is_a_constant_predictions_score() -> None:
    """Whichever class it is that is present; of one class alone nothing is known."""
    counts = by_hand(np.tile([1.0, 0, 0, 0], (5, 1)), LABELS)
    assert TASK.chance(counts) == pytest.approx(1 / 3)
    assert TASK.score(counts) == pytest.approx(TASK.chance(counts))
    assert TASK.chance(counts[:1]) is None


def test_what_is_kept_are_probabilities() -> None:
    z = logits(5)
    kept = TASK.kept(torch.from_numpy(z), torch.from_numpy(LABELS))
    assert list(kept) == [f"probability_{c}" for c in range(4)]
    np.testing.assert_allclose(np.stack(list(kept.values()), 1), np.exp(log_softmax(z)), rtol=1e-6)


@pytest.mark.parametrize("name", tasks.names())
@pytest.mark.parametrize("places", [(), (3, 4)])
def test_what_is_decided_is_told_of_logits_alone(name: str, places: tuple[int, ...]) -> None:
    """Of every task: by NumPy, image by image and pixel by pixel; the entropy is that which adaptations minimise."""
    task = tasks.find(name)(CLASSES)
    z = np.random.default_rng(0).normal(scale=2, size=(5, len(CLASSES), *places))
    decided = task.decided(torch.from_numpy(z))
    assert decided is not None
    guesses = z.argmax(1)
    assert dict(decided.shares) == pytest.approx({own: (guesses == c).mean() for c, own in enumerate(CLASSES)})
    log_p = z - np.log(np.exp(z).sum(1, keepdims=True))
    assert decided.entropy == pytest.approx(-(np.exp(log_p) * log_p).sum(1).mean() / math.log(4), rel=1e-12)
    assert decided.entropy == pytest.approx(float(entropy(torch.from_numpy(z))), rel=1e-12)
    z[2] = np.nan
    broken = task.decided(torch.from_numpy(z))
    assert broken is not None
    assert math.isnan(broken.entropy)


# What there is.


def test_a_pack_says_its_task_by_name() -> None:
    task = tasks.of({"task": "classification", "classes": ["x", "y"]}, {"loss": "focal", "gamma": 1})
    assert (task.name, task.outputs, tuple(task.strata_names)) == ("classification", 2, ("x", "y"))
    assert (task.setting("loss"), task.setting("gamma")) == ("focal", 1)
    assert tasks.of({"task": "classification", "classes": []}).setting("gamma") == 2


@pytest.mark.parametrize(
    ("name", "settings", "said"),
    [
        ("regression", {}, "there is no task 'regression'; there are: "),
        ("task", {}, "there is no task 'task'"),
        ("classification", {"los": "focal"}, "has no setting los; allowed: loss, gamma"),
        ("classification", {"loss": "hinge"}, "tasks.classification.loss: 'hinge' is no loss; allowed: cross_entropy"),
        ("classification", {"gamma": -1}, "tasks.classification.gamma: -1 is no number from 0"),
    ],
)
def test_what_there_is_not_is_refused_in_one_line(name: str, settings: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said) as error:
        tasks.of({"task": name, "classes": ["x"]}, settings)
    assert "\n" not in str(error.value)


def test_a_report_is_told_what_was_taken_for_what_and_how_many_show_each_class() -> None:
    """Two images of a: one is taken for a, one for b; an image of d is taken for d, one of a broken model for none."""
    z = np.eye(4)[[0, 1, 3, 3]].copy()
    z[3] = np.nan
    counts = TASK.counts(torch.from_numpy(z), torch.tensor([0, 0, 3, 3])).numpy()
    expected = np.zeros((4, 4))
    expected[0, 0] = expected[0, 1] = expected[3, 3] = 1
    np.testing.assert_array_equal(TASK.confusion(counts), expected)
    assert TASK.support(counts).tolist() == [2, 0, 0, 2]
    assert TASK.support(counts[:2].sum(0, keepdims=True)).tolist() == [1, 0, 0, 0], "one unit of two images"
    true, predicted = TASK.appearances(counts)
    assert true.tolist() == (np.eye(4)[[0, 0, 3, 3]] == 1).tolist()
    assert predicted.tolist() == [*(np.eye(4)[[0, 1, 3]] == 1).tolist(), [False] * 4]
