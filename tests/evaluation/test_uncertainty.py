"""Intervals and comparisons, as the job writes them."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmark.evaluation import uncertainty
from benchmark.evaluation.bootstrap import resample
from benchmark.evaluation.statistics import ALL, COMPARISONS, INTERVALS, MEAN, read
from tests.evaluation.hand import AVERAGE_RANKS, CLIENTS
from tests.evaluation.test_bootstrap import B, client, lost
from tests.reporting import synthetic


@pytest.fixture
def pairs() -> pd.DataFrame:
    return uncertainty.comparisons(resample([client(name) for name in CLIENTS], [], resamples=B))


def test_two_shares_of_better_add_up_to_one(pairs: pd.DataFrame) -> None:
    keys = ["federation", "client", "quantity"]
    there = pairs.set_index([*keys, "method", "other"])
    back = pairs.rename(columns={"method": "other", "other": "method"}).set_index([*keys, "method", "other"])
    assert not (there.index.get_level_values("method") == there.index.get_level_values("other")).any()
    both = there.join(back, suffixes=("", "_back"))
    assert (both["probability_better"] + both["probability_better_back"]).to_numpy() == pytest.approx(1)
    assert both["difference"].to_numpy() == pytest.approx(-both["difference_back"].to_numpy())
    assert both["low"].to_numpy() == pytest.approx(-both["high_back"].to_numpy())


def test_a_better_average_rank_is_a_smaller_one(pairs: pd.DataFrame) -> None:
    rows = pairs[(pairs["federation"] == ALL) & (pairs["quantity"] == "average_rank")].set_index(["method", "other"])
    assert rows.loc[("a", "c"), "difference"] == pytest.approx(AVERAGE_RANKS["a"] - AVERAGE_RANKS["c"])
    assert rows.loc[("a", "c"), "probability_better"] > 0.9


def test_ties_count_half_and_a_diverged_model_beats_none() -> None:
    values = np.array([[9, 9, 9], [1, 1, np.nan], [2, 1, np.nan]], dtype=float)
    expected = [[0.5, 0.75, 1], [0.25, 0.5, 1], [0, 0, 0.5]]
    assert uncertainty.better(values, higher_is_better=True).tolist() == expected
    # Row 0 is no resample. Where less is better, the first two change their parts and the third stays the worst.
    turned = [[0.5, 0.25, 1], [0.75, 0.5, 1], [0, 0, 0.5]]
    assert uncertainty.better(values, higher_is_better=False).tolist() == turned


def test_a_diverged_model_is_compared_and_has_no_interval() -> None:
    resampled = resample([lost(client("x"), 0)], [], resamples=B)
    rows = uncertainty.frame(resampled).set_index(["client", "method", "quantity"])
    assert rows.loc[("x", "a", "score"), ["value", "low", "high"]].isna().all()
    assert rows.loc[(MEAN, "a", "average_rank"), "low"].tolist() == [3, 3]
    pairs = uncertainty.comparisons(resampled).set_index(["quantity", "method", "other"])
    assert pairs.loc[("mean", "b", "a"), "probability_better"].tolist() == [1, 1]


def test_the_job_writes_values_that_the_tables_have(tmp_path: Path) -> None:
    tree = synthetic.write(tmp_path)
    assert tree.job("evaluation.uncertainty", "--resamples", 50) == 0
    assert tree.job("evaluation.stability", "--resamples", 50) == 0
    found = read(tree.root)
    assert list(found.intervals) == INTERVALS
    assert list(found.comparisons) == COMPARISONS
    table = pd.read_parquet(tree.clients)
    scores = table[table["metric"] == "balanced_accuracy"].groupby(["federation", "client", "method"])["value"].mean()
    own = found.intervals[found.intervals["quantity"] == "score"].set_index(["federation", "client", "method"])
    assert own["value"].sort_index().to_numpy() == pytest.approx(scores.sort_index().to_numpy())
    assert (own["low"] <= own["value"]).all()
    assert (own["value"] <= own["high"]).all()
    assert found.significance["methods"] == ["fedit", "fedopal_r", "fedpal"]
    # In the drawn results every image is a group of its own.
    images = pd.read_parquet(tree.tests[0] / "predictions.parquet")["client"].value_counts()
    assert own["groups"].xs("toy_lesions").groupby("client").first().to_dict() == images.to_dict()
