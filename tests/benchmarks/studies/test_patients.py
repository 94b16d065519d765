"""The search for a split by patients, and the committed one."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from benchmark.data.camelyon17_slides import SLIDES
from benchmark.data.dataset import SPLITS
from benchmarks.studies.patients import TARGETS, assign, compare, criterion


def plain_cost(counts: np.ndarray, choice: tuple[int, ...]) -> tuple[int, float]:
    """The criterion, word by word."""
    lacking, distances = 0, []
    for split, target in enumerate(TARGETS):
        for label in range(counts.shape[1]):
            held = sum(counts[p, label] for p in range(len(counts)) if choice[p] == split)
            lacking += held == 0
            distances.append(abs(held / counts[:, label].sum() - target))
    return lacking, float(np.mean(distances))


def test_search_agrees_with_the_criterion_word_by_word() -> None:
    rng = np.random.default_rng(0)
    for _ in range(5):
        counts = rng.integers(0, 500, (5, 2)).astype(float)
        choices = list(itertools.product(range(3), repeat=5))
        costs = [plain_cost(counts, choice) for choice in choices]
        lacking, distance = criterion(counts, np.array(choices))
        np.testing.assert_array_equal(lacking, [cost[0] for cost in costs])
        np.testing.assert_allclose(distance, [cost[1] for cost in costs])
        found = plain_cost(counts, tuple(assign(counts)))
        best = min(costs)
        assert found[0] == best[0]
        assert found[1] == pytest.approx(best[1])


def test_no_split_lacks_a_class_even_where_that_costs_balance() -> None:
    """Three of four patients have tumour, one of them nearly all of it: the other two go to different sides."""
    counts = np.array([[100.0, 5000.0], [100.0, 1.0], [100.0, 1.0], [100.0, 0.0]])
    choice = assign(counts)
    assert choice[0] == SPLITS.index("train")
    assert {int(choice[1]), int(choice[2])} == {1, 2}


@pytest.mark.parametrize("patients", [2, 13])
def test_too_few_or_too_many_patients(patients: int) -> None:
    with pytest.raises(ValueError, match=f"{patients} patients"):
        assign(np.ones((patients, 2)))


def test_committed_assignment_is_what_the_search_finds() -> None:
    """For the patches to expect of each slide: normal and tumour, normal ones as many as tumour ones in a hospital."""
    for client in "01234":
        slides = [slide for slide in SLIDES if slide.client == client]
        patients = sorted({slide.patient for slide in slides})
        counts = np.zeros((len(patients), 2))
        for slide in slides:
            counts[patients.index(slide.patient)] += slide.expected
        counts[:, 0] *= counts[:, 1].sum() / counts[:, 0].sum()
        committed = {slide.patient: slide.split for slide in slides}
        assert [SPLITS[number] for number in assign(counts)] == [committed[patient] for patient in patients]


def test_committed_slides_are_the_published_ones() -> None:
    assert len(SLIDES) == 50
    assert list(SLIDES) == sorted(SLIDES, key=lambda slide: (slide.patient, slide.node))
    for number, size in enumerate((7, 8, 9, 10, 9)):
        slides = SLIDES[10 * number : 10 * number + 10]
        assert {slide.client for slide in slides} == {str(number)}
        assert {int(slide.patient) // 20 for slide in slides} == {number}
        assert len({slide.patient for slide in slides}) == size
        assert {slide.split for slide in slides} == set(SPLITS)
    assert len({(slide.patient, slide.split) for slide in SLIDES}) == 43


def test_report_for_a_copy(slides: Path, capsys: pytest.CaptureFixture[str]) -> None:
    compare(slides)
    said = capsys.readouterr().out
    assert said.count("committed: mean distance") == said.count("best here: mean distance") == 5
    assert "hospital 0: 40 patches of 7 patients" in said
