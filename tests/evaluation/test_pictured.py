"""Which cases are shown, by hand."""

import numpy as np
import pandas as pd
import pytest

from benchmark.evaluation.pictured import Case, chosen, scored
from benchmark.tasks.segmentation import Segmentation

TASK = Segmentation(["background", "organ"])


class Distance(Segmentation):
    """Of which less is better."""

    higher_is_better = False


def test_a_case_is_scored_over_its_slices_and_pictured_by_the_fullest() -> None:
    """Dice by hand: 2 (1 + 2) / (2 + 4 + 2 + 4) of two slices, and 0 where only the target shows something."""
    about = pd.DataFrame({"sample": ["s0", "s1", "s2"], "case": ["b", "b", "a"]})
    organ = np.array([[1, 2, 2], [2, 4, 4], [0, 0, 5]])
    values = np.stack([np.zeros((3, 3)), organ], axis=1)
    found = scored(about, values, TASK)
    assert found == [Case("a", 0.0, "s2"), Case("b", pytest.approx(6 / 12), "s1")]


@pytest.mark.parametrize(
    ("values", "median", "worst"),
    [
        ({"a": 0.9, "b": 0.1, "c": 0.5}, "c", "b"),
        ({"a": 0.9, "b": 0.1, "c": 0.5, "d": 0.7}, "d", "b"),
        ({"b": 0.5, "a": 0.5, "c": 0.5}, "b", "a"),
        ({"a": 0.9, "b": float("nan"), "c": 0.5}, "c", "b"),
    ],
)
def test_the_median_and_the_worst_are_chosen(values: dict[str, float], median: str, worst: str) -> None:
    """Of an even number the better in the middle; of equals the first by name; what diverged is the worst."""
    found = chosen([Case(case, value, f"{case}/0") for case, value in values.items()], TASK)
    assert {place: one.case for place, one in found.items()} == {"median": median, "worst": worst}
    assert found["worst"].sample == f"{worst}/0"


def test_less_may_be_better_and_a_single_case_is_the_worst() -> None:
    cases = [Case("a", 1.0, "a/0"), Case("b", 2.0, "b/0"), Case("c", 3.0, "c/0")]
    assert chosen(cases, Distance(TASK.classes))["worst"].case == "c"
    assert chosen(cases[:1], TASK) == {"worst": cases[0]}
