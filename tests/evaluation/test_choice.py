"""How sure the choice of a rate is."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from benchmark.counted import frame
from benchmark.evaluation import choice
from benchmark.evaluation.estimate import LEAST_GROUPS, mean_of, of_client
from benchmark.evaluation.findings import coin_toss
from benchmark.tasks.task import Floats
from tests.evaluation.given import counted, lost

RATES = ["1e-3", "1e-2"]


def hits(*shares: float, images: int = 400) -> Floats:
    """Whether each of so many lesions of one image is hit at each rate, independently, (rates, 1, images, 1)."""
    generator = np.random.default_rng(0)
    return np.array([generator.permutation(np.arange(images) < share * images) for share in shares], dtype=float)[
        :, None, :, None
    ]


def test_two_rates_have_the_probability_of_a_normal_difference() -> None:
    """P(best) is Phi(d / s), and the loss s phi(d / s) - d Phi(-d / s), of a difference d with standard error s."""
    own = counted(hits(0.50, 0.53), np.ones((400, 1)), RATES)
    found = choice.sureness([own], "1e-2")
    difference, error, _ = (matrix[1, 0] for matrix in mean_of({"x": of_client(own)}).differences())
    z = difference / error
    assert found["best"]["1e-2"] == pytest.approx(stats.norm.cdf(z), abs=0.01)
    assert sum(found["best"].values()) == pytest.approx(1)
    expected = error * stats.norm.pdf(z) - difference * stats.norm.cdf(-z)
    assert found["loss"] == pytest.approx(expected, rel=0.05)
    other = choice.sureness([own], "1e-3")
    assert other["loss"] - found["loss"] == pytest.approx(difference, abs=0.01)


def test_rates_that_are_far_apart_are_told_apart_and_equal_ones_are_not() -> None:
    far = counted(hits(0.2, 0.9), np.ones((400, 1)), RATES)
    assert choice.sureness([far], "1e-2") == {"best": {"1e-3": 0.0, "1e-2": 1.0}, "loss": 0.0, "reason": ""}
    three = counted(hits(0.5, 0.5, 0.5), np.ones((400, 1)), [*RATES, "1e-1"])
    found = choice.sureness([three], "1e-3")
    assert list(found["best"].values()) == pytest.approx([1 / 3] * 3, abs=0.05)


def test_a_rate_that_diverged_is_never_the_best() -> None:
    own = lost(counted(hits(0.5, 0.5), np.ones((400, 1)), RATES), 0)
    assert choice.sureness([own], "1e-2")["best"] == {"1e-3": 0.0, "1e-2": 1.0}
    assert choice.sureness([lost(own, 1)], "1e-3")["reason"] == "all rates diverged"


def test_what_is_not_known_has_a_reason() -> None:
    few = counted(hits(0.5, 0.5, images=LEAST_GROUPS - 1), np.ones((LEAST_GROUPS - 1, 1)), RATES)
    found = choice.sureness([few], "1e-3")
    assert (found["best"], found["loss"]) == ({}, None)
    assert f"an interval needs {LEAST_GROUPS}" in found["reason"]
    assert "before counts of validation images were kept" in choice.sureness([], "1e-3")["reason"]


def test_counts_are_read_with_rates_in_the_place_of_methods(tmp_path: Path) -> None:
    samples = [str(n) for n in range(6)]
    about = pd.DataFrame({"sample": samples, "client": "a", "group": samples, "case": samples})
    runs: list[dict[str, Any]] = []
    for place, rate in enumerate(["1e-2", "5e-3"]):
        values = np.zeros((6, 2, 3))
        values[:, 0, 2] = 1
        values[: place + 1, 0, :2] = 1
        folder = tmp_path / rate
        folder.mkdir()
        frame(about, values, ("hit", "predicted", "true")).to_parquet(folder / choice.FILE)
        task = {"name": "classification"}
        runs.append({"federation": "d", "clients": ["a"], "rate": rate, "seed": 0, "folder": folder, "task": task})
    (own,) = choice.read(runs)
    assert own.methods == ["5e-3", "1e-2"], "by number, not as text"
    assert own.task.score(own.values)[:, 0] == pytest.approx([2 / 6, 1 / 6])
    (tmp_path / "1e-2" / choice.FILE).unlink()
    assert choice.read(runs) == []


@pytest.mark.parametrize(("probability", "expected"), [(0.4, 1), (0.6, 0)])
def test_a_choice_that_is_a_coin_toss_is_a_finding(probability: float, expected: int) -> None:
    sure = {"best": {"1e-3": probability}, "loss": 0.0123, "reason": ""}
    known = {"federation": "d", "method": "m", "rate": "1e-3", "sure": sure}
    found = coin_toss([known, {"federation": "d", "method": "old", "rate": "1e-3"}])
    assert len(found) == expected
    assert all("0.40 alone" in one["message"] and "costs 0.0123" in one["message"] for one in found)
