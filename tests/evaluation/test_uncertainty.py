"""Intervals and comparisons, as the job writes them."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmark.evaluation import uncertainty
from benchmark.evaluation.bootstrap import resample
from benchmark.evaluation.statistics import ALL, COMPARISONS, INTERVALS, MEAN, read
from tests.evaluation.hand import AVERAGE_RANKS, CLIENTS
from tests.evaluation.test_bootstrap import B, client
from tests.reporting import synthetic


@pytest.fixture
def pairs() -> pd.DataFrame:
    return uncertainty.comparisons(resample([client(name) for name in CLIENTS], [], resamples=B))


def test_two_shares_of_better_add_up_to_one(pairs: pd.DataFrame) -> None:
    keys = ["dataset", "client", "quantity"]
    there = pairs.set_index([*keys, "method", "other"])
    back = pairs.rename(columns={"method": "other", "other": "method"}).set_index([*keys, "method", "other"])
    assert not (there.index.get_level_values("method") == there.index.get_level_values("other")).any()
    both = there.join(back, suffixes=("", "_back"))
    assert (both["probability_better"] + both["probability_better_back"]).to_numpy() == pytest.approx(1)
    assert both["difference"].to_numpy() == pytest.approx(-both["difference_back"].to_numpy())
    assert both["low"].to_numpy() == pytest.approx(-both["high_back"].to_numpy())


def test_a_better_average_rank_is_a_smaller_one(pairs: pd.DataFrame) -> None:
    rows = pairs[(pairs["dataset"] == ALL) & (pairs["quantity"] == "average_rank")].set_index(["method", "other"])
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
    counts = client("x")
    counts.hits[0] = np.nan
    resampled = resample([counts], [], resamples=B)
    rows = uncertainty.frame(resampled).set_index(["client", "method", "quantity"])
    assert rows.loc[("x", "a", "score"), ["value", "low", "high"]].isna().all()
    assert rows.loc[(MEAN, "a", "average_rank"), "low"].tolist() == [3, 3]
    pairs = uncertainty.comparisons(resampled).set_index(["quantity", "method", "other"])
    assert pairs.loc[("mean", "b", "a"), "probability_better"].tolist() == [1, 1]


def test_the_job_writes_values_that_the_tables_have(tmp_path: Path) -> None:
    tree = synthetic.write(tmp_path)
    files = [tmp_path / name for name in ("intervals.parquet", "comparisons.csv", "significance.json")]
    arguments = ["--predictions", *map(str, tree.predictions), "--clients", str(tree.clients), "--resamples", "50"]
    arguments += ["--runs", *map(str, tree.runs)]
    for path in files:
        arguments += [f"--{path.stem}", str(path)]
    assert uncertainty.main(arguments) == 0
    found = read(files)
    assert list(found.intervals) == INTERVALS
    assert list(found.comparisons) == COMPARISONS
    table = pd.read_parquet(tree.clients)
    scores = table[table["metric"] == "balanced_accuracy"].groupby(["dataset", "client", "method"])["value"].mean()
    own = found.intervals[found.intervals["quantity"] == "score"].set_index(["dataset", "client", "method"])
    assert own["value"].sort_index().to_numpy() == pytest.approx(scores.sort_index().to_numpy())
    assert (own["low"] <= own["value"]).all()
    assert (own["value"] <= own["high"]).all()
    assert json.loads(files[2].read_text())["methods"] == ["fedit", "fedopal_r", "fedpal"]
    # In the drawn results every image is a group of its own.
    images = pd.read_parquet(tree.predictions[0])["client"].value_counts()
    assert own["groups"].xs("toy_lesions").groupby("client").first().to_dict() == images.to_dict()


def test_another_score_is_refused_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tree = synthetic.write(tmp_path, datasets={"toy_slides": synthetic.DATASETS["toy_slides"]}, methods=["fedit"])
    for run in tree.runs:
        path = run / "run.json"
        path.write_text(path.read_text().replace("balanced_accuracy", "dice"))
    arguments = ["--predictions", *map(str, tree.predictions), "--clients", str(tree.clients), "--runs"]
    arguments += [
        *map(str, tree.runs),
        *(p for n in ("intervals", "comparisons", "significance") for p in (f"--{n}", "x")),
    ]
    assert uncertainty.main(arguments) == 1
    assert (
        capsys.readouterr().err
        == "uncertainty: the score is dice, but test samples are counted for balanced_accuracy only\n"
    )


def test_unknown_statistics_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"other\.csv: unknown statistics"):
        read([tmp_path / "other.csv"])
