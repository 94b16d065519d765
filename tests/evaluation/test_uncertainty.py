"""Intervals and comparisons, as the job writes them."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmark.evaluation import uncertainty
from benchmark.evaluation.standings import standings
from benchmark.evaluation.statistics import ALL, COMPARISONS, INTERVALS, MEAN, read
from tests.evaluation.given import client, lost
from tests.evaluation.hand import AVERAGE_RANKS, CLIENTS
from tests.reporting import synthetic

B = 300


@pytest.fixture
def pairs() -> pd.DataFrame:
    return uncertainty.comparisons(standings([client(name) for name in CLIENTS], [], B))


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


def test_who_is_told_apart_depends_on_all_pairs_and_is_mutual(pairs: pd.DataFrame) -> None:
    rows = pairs[pairs["quantity"] == "mean"].set_index(["method", "other"])
    for a, b in rows.index:
        assert rows.loc[(a, b), "apart"] == rows.loc[(b, a), "apart"]
        inside = rows.loc[(a, b), "low"] <= 0 <= rows.loc[(a, b), "high"]
        assert not (rows.loc[(a, b), "apart"] and inside), "who differs among all pairs differs alone"


def test_a_diverged_model_is_compared_and_has_no_interval() -> None:
    held = standings([lost(client("x"), 0)], [], B)
    rows = uncertainty.frame(held).set_index(["client", "method", "quantity"])
    assert rows.loc[("x", "a", "score"), ["value", "low", "high"]].isna().all()
    assert rows.loc[(MEAN, "a", "average_rank"), "low"].tolist() == [3, 3]
    pairs = uncertainty.comparisons(held).set_index(["quantity", "method", "other"])
    assert pairs.loc[("mean", "b", "a"), "probability_better"] == 1
    assert pairs.loc[("mean", "b", "a"), "apart"]


def test_with_too_few_groups_nothing_is_said_but_why() -> None:
    held = standings([client("x", copies=1), client("y")], [], B)
    frame = uncertainty.frame(held)
    rows = frame[frame["federation"] == "d"].set_index(["client", "quantity", "method"])
    assert rows.loc[("x", "score", "a"), "reason"] == "4 groups in the test set; an interval needs 5"
    assert rows.loc[("y", "score", "a"), "reason"] == ""
    for quantity in ("mean", "corrected_mean", "average_rank", "place"):
        row = rows.loc[(MEAN, quantity, "a")]
        assert np.isnan(row["low"])
        assert np.isfinite(row["value"])
        assert row["reason"].startswith("x: 4 groups")
    pairs = uncertainty.comparisons(held)
    own = pairs[pairs["client"] != "y"]
    assert not own["apart"].any()
    assert own["low"].isna().all()


def test_the_job_writes_values_that_the_tables_have(tmp_path: Path) -> None:
    tree = synthetic.write(tmp_path)
    assert tree.job("evaluation.uncertainty", "--draws", 50) == 0
    assert tree.job("evaluation.stability", "--draws", 50) == 0
    found = read(tree.root)
    assert list(found.intervals) == INTERVALS
    assert list(found.comparisons) == COMPARISONS
    table = pd.read_parquet(tree.clients)
    scores = table[table["metric"] == "balanced_accuracy"].groupby(["federation", "client", "method"])["value"].mean()
    own = found.intervals[found.intervals["quantity"] == "score"].set_index(["federation", "client", "method"])
    assert own["value"].sort_index().to_numpy() == pytest.approx(scores.sort_index().to_numpy())
    given = own[own["reason"] == ""]
    assert len(given)
    assert (given["low"] <= given["value"]).all()
    assert (given["value"] <= given["high"]).all()
    assert found.significance["methods"] == ["fedit", "fedopal_r", "fedpal"]
    # In the drawn results every image is a group of its own.
    images = pd.read_parquet(tree.tests[0] / "predictions.parquet")["client"].value_counts()
    assert own["groups"].xs("toy_lesions").groupby("client").first().to_dict() == images.to_dict()
