"""Classification: balanced accuracy from additive counts."""

import warnings

import pytest
import torch
import torch.nn.functional as F
from benchmark.tasks._before import Classification
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score

CLASSES = 5
TASK = Classification([f"class {k}" for k in range(CLASSES)])
labels = st.lists(st.tuples(st.integers(0, CLASSES - 1), st.integers(0, CLASSES - 1)), min_size=1, max_size=40)


def logits_of(predicted: list[int]) -> torch.Tensor:
    """Logits whose largest entries are these classes."""
    return 3.0 * F.one_hot(torch.tensor(predicted), CLASSES).to(torch.float32)


@given(pairs=labels)
def test_score_is_scikit_learns_balanced_accuracy(pairs: list[tuple[int, int]]) -> None:
    """Also where classes are absent, from the labels or from the predictions."""
    true, predicted = (list(values) for values in zip(*pairs, strict=True))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # Classes that were predicted but do not occur.
        expected = balanced_accuracy_score(true, predicted)
    score = TASK.score(TASK.counts(logits_of(predicted), torch.tensor(true)))
    assert float(score) == pytest.approx(expected, abs=1e-12)


@given(pairs=labels, cut=st.integers(0, 40))
def test_counts_are_additive_over_images(pairs: list[tuple[int, int]], cut: int) -> None:
    """Counts of parts sum to the counts of the whole, so batches and clients may be added."""
    true, predicted = (torch.tensor(values) for values in zip(*pairs, strict=True))
    logits = logits_of(predicted.tolist())
    whole = TASK.counts(logits, true)
    parts = TASK.counts(logits[:cut], true[:cut]) + TASK.counts(logits[cut:], true[cut:])
    assert torch.equal(whole, parts)


def test_counts_by_hand() -> None:
    """Hits, predictions and true images of every class."""
    counts = TASK.counts(logits_of([0, 0, 1, 3]), torch.tensor([0, 1, 1, 1]))
    assert counts.tolist() == [[1, 2, 1], [1, 1, 3], [0, 0, 0], [0, 1, 0], [0, 0, 0]]
    assert float(TASK.score(counts)) == pytest.approx((1 / 1 + 1 / 3) / 2)


def test_lanes_are_counted_apart() -> None:
    """Leading dimensions are lanes; the labels are the same for all."""
    true = torch.tensor([0, 1, 2, 2])
    lanes = torch.stack([logits_of([0, 1, 2, 2]), logits_of([1, 1, 2, 0])])
    counts = TASK.counts(lanes, true)
    assert counts.shape == (2, CLASSES, 3)
    for number in range(2):
        assert torch.equal(counts[number], TASK.counts(lanes[number], true))
    assert TASK.score(counts).tolist() == pytest.approx([1.0, (0 + 1 + 1 / 2) / 3])


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_lane_with_one_logit_that_is_not_finite_has_no_score(value: float) -> None:
    """It diverged: NaN, which is never selected, rather than the score of whatever argmax makes of it."""
    lanes = torch.stack([logits_of([0, 1]), logits_of([0, 1])])
    lanes[1, 0, 3] = value
    score = TASK.score(TASK.counts(lanes, torch.tensor([0, 1])))
    assert score[0] == 1
    assert score[1].isnan()


def test_head_is_linear() -> None:
    """Logits = W f + b, with leaves of these shapes."""
    weight, bias = TASK.head("own", 7)
    assert (weight.shape, bias.shape) == ((CLASSES, 7), (CLASSES,))
    assert (weight.part, bias.part, weight.role, bias.role) == ("own", "own", "head", "head")
    source = torch.Generator().manual_seed(0)
    W, b, f = (
        torch.randn(shape, generator=source, dtype=torch.float64) for shape in ((CLASSES, 7), (CLASSES,), (3, 7))
    )
    expected = torch.stack([torch.stack([W[c] @ f[n] + b[c] for c in range(CLASSES)]) for n in range(3)])
    found = TASK.output({weight.name: W, bias.name: b}, "own", f)
    assert torch.allclose(found, expected, atol=1e-5)


def test_loss_is_the_mean_negative_logarithm_of_the_true_class() -> None:
    """By hand: -log softmax."""
    logits = torch.tensor([[1.0, 2.0, 0.5, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0, 3.0]], dtype=torch.float64)
    target = torch.tensor([1, 0])
    shares = logits.exp() / logits.exp().sum(1, keepdim=True)
    expected = -(shares[0, 1].log() + shares[1, 0].log()) / 2
    assert float(TASK.loss(logits, target)) == pytest.approx(float(expected), abs=1e-12)
