"""Numbers that may be missing or diverged."""

import math

import numpy as np
import pandas as pd
import pytest

from benchmark.reporting.measure import Measure, mean_of, over_seeds, rank_of, within

SCORES = np.array([[0.9, 0.1, 0.4], [0.7, 0.3, 0.8]])  # (seeds, clients)


@pytest.fixture
def cells() -> pd.DataFrame:
    rows = [(s, str(c), SCORES[s, c], False) for s in range(2) for c in range(3)]
    return pd.DataFrame(rows, columns=["seed", "client", "value", "missing"])


def test_the_mean_is_over_clients_then_seeds(cells: pd.DataFrame) -> None:
    measure = over_seeds(cells)
    assert measure.mean == pytest.approx(SCORES.mean())
    assert measure.sd == pytest.approx(np.std(SCORES.mean(axis=1), ddof=1))


def test_one_seed_has_no_standard_deviation(cells: pd.DataFrame) -> None:
    measure = over_seeds(cells[cells["seed"] == 0])
    assert measure.text() == f"{SCORES[0].mean():.3f}"


def test_nothing_is_averaged_over_a_missing_or_diverged_cell(cells: pd.DataFrame) -> None:
    cells.loc[2, "value"] = math.nan
    assert over_seeds(cells).text() == over_seeds(cells).number() == "diverged"
    cells.loc[4, "missing"] = True
    assert over_seeds(cells).text() == over_seeds(cells).number() == "missing"
    assert over_seeds(cells.iloc[:0]).text() == "missing"


def test_a_number_is_rounded_for_people_only() -> None:
    assert Measure(2 / 3, 1 / 30).text() == "0.667 ± 0.033"
    assert Measure(2 / 3, 1 / 30).number() == 2 / 3


def test_a_mean_of_measures_is_missing_where_one_is() -> None:
    assert mean_of([Measure(0.2), Measure(0.6)]).mean == pytest.approx(0.4)
    assert mean_of([Measure(0.2), Measure(math.nan, missing=True)]).text() == "missing"
    assert mean_of([Measure(0.2), Measure(math.nan)]).text() == "diverged"


def test_a_method_without_a_rank_is_missing() -> None:
    ranks = pd.Series({"a": 1.5, "b": math.nan})
    assert rank_of(ranks, "a").mean == 1.5
    assert rank_of(ranks, "b").missing
    assert rank_of(ranks, "local").missing


def test_an_interval_follows_the_number_and_is_not_shown_without_one() -> None:
    assert within(Measure(0.5, 0.01), (0.4, 0.625)).text(2) == "0.50 ± 0.01 (0.40 to 0.62)"
    assert within(Measure(0.5), (math.nan, math.nan)).text() == "0.500"
    lost = within(Measure(math.nan), (0.4, 0.6))
    assert lost.text() == "diverged"
    assert math.isnan(lost.low)
