"""All federations in one table."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmark.disk import readable
from benchmark.reporting import leaderboard, tables
from benchmark.reporting.inputs import Results, load
from benchmark.tasks.classification import Classification
from tests.evaluation.distance import Distance
from tests.reporting import synthetic
from tests.reporting.test_tables import NOTHING, scores

TASK = Classification(["a", "b"])


def above_chance(results: Results, means: pd.DataFrame) -> pd.DataFrame:
    """Balanced accuracies by (federation, client), on the scale on which chance is 0 and all right is 1."""
    chance = results.metrics[results.metrics["metric"] == "chance"].groupby(["federation", "client"])["value"].mean()
    own = chance.loc[list(means.columns)].to_numpy()
    return (means - own) / (1 - own)


def test_federations_weigh_the_same(results: Results, tree: synthetic.Tree) -> None:
    board = leaderboard.frame(results).set_index("method")
    single = [tables.frame(results, federation, NOTHING).set_index("method") for federation in results.federations]
    for method in results.methods:
        corrected = [table.loc[method, "corrected_mean"] for table in single]
        assert board.loc[method, "corrected_mean"] == pytest.approx(np.mean(corrected))
        for federation, table in zip(results.federations, single, strict=True):
            assert board.loc[method, f"mean:{federation}"] == table.loc[method, "mean"]
        if method != "local":
            expected = np.mean([table.loc[method, "average_rank"] for table in single])
            assert board.loc[method, "average_rank"] == pytest.approx(expected)


def test_the_worst_client_and_the_clients_hurt_are_counted_over_all_federations(
    results: Results, tree: synthetic.Tree
) -> None:
    board = leaderboard.frame(results).set_index("method")
    # Mean over seeds: a row per method, a column per (federation, client).
    means = pd.concat({d: scores(tree, d).groupby("method").mean() for d in results.federations}, axis=1)
    corrected = above_chance(results, means)
    for method in ["fedit", "fedpal", "fedopal_r"]:
        assert board.loc[method, "worst_client"] == pytest.approx(corrected.loc[method].min())
        assert board.loc[method, "worst_client_is"] == " ".join(corrected.loc[method].idxmin())
        assert board.loc[method, "clients_hurt"] == (means.loc[method] < means.loc["local"]).sum()
        assert board.loc[method, "clients_compared"] == means.shape[1]
    assert pd.isna(board.loc["local", "clients_hurt"])


def test_the_spread_is_within_federations_and_then_averaged(results: Results, tree: synthetic.Tree) -> None:
    board = leaderboard.frame(results).set_index("method")
    means = pd.concat({d: scores(tree, d).groupby("method").mean() for d in results.federations}, axis=1)
    corrected = above_chance(results, means)
    for method in results.methods:
        own = [corrected.loc[method, d] for d in results.federations]
        expected = np.mean([values.max() - values.min() for values in own])
        assert board.loc[method, "spread_over_clients"] == pytest.approx(expected)


def test_means_and_ranks_have_intervals_and_their_number(results: Results) -> None:
    board = leaderboard.frame(results).set_index("method")
    for quantity in ("corrected_mean", "average_rank", "place"):
        found = tuple(board.loc["fedit", [f"{quantity}_low", f"{quantity}_high"]])
        assert found == results.statistics.interval("fedit", quantity)
    grid = leaderboard.grid(results)
    assert "Average rank (of 3)" in [column.head for column in grid.columns]
    assert "among the 3 ranked methods" in grid.caption
    assert "95 % intervals over other test sets" in grid.caption
    bold = next(column for column in grid.columns if column.head == "Spread").best
    assert bold is None, "who is bad everywhere has a small spread"


def test_costs_are_bytes_of_one_client_and_seconds_of_everything(results: Results, tree: synthetic.Tree) -> None:
    board = leaderboard.frame(results).set_index("method")
    assert board.loc["fedit", "bytes_per_round:toy_lesions"] == 2 * 36_864 * 4
    assert board.loc["local", "bytes_per_round:toy_lesions"] == 0
    runs = [run for run in tree.runs if "/fedit/" in str(run)]
    assert board.loc["fedit", "seconds"] == pytest.approx(12.5 * len(runs))


def test_federations_with_different_scores_have_means_of_their_own(
    results: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And ranks together; less is better on one of them, where another method is hurt."""
    own, before = Distance([]), leaderboard.frame(results).set_index("method")
    monkeypatch.setattr(Results, "task", lambda self, name: own if name == "toy_slides" else TASK)
    turned = [
        {**run, "task": {**run["task"], "higher_is_better": run["federation"] != "toy_slides"}} for run in results.runs
    ]
    found = replace(results, runs=turned)
    board = leaderboard.frame(found).set_index("method")
    table = tables.frame(found, "toy_slides", NOTHING).set_index("method")
    assert board.loc["fedit", "mean:toy_slides"] == table.loc["fedit", "mean"]
    assert not {"corrected_mean", "worst_client", "spread_over_clients"} & set(board), "a distance has no best"
    for method in ("fedit", "fedpal", "fedopal_r"):
        both = {name: found.ranks.loc[name][method].mean() for name in found.federations}
        assert board.loc[method, "average_rank"] == pytest.approx(np.mean(list(both.values())))
        assert both["toy_slides"] == pytest.approx(4 - results.ranks.loc["toy_slides"][method].mean())
    assert list(board["clients_hurt"]) != list(before.loc[board.index, "clients_hurt"])
    heads = [column.head for column in leaderboard.grid(found).columns]
    assert heads[4:6] == ["Mean balanced accuracy, toy_lesions", "Mean mean distance, toy_slides"]
    assert "balanced accuracy (toy_lesions), mean distance (toy_slides)" in leaderboard.grid(found).caption


def test_equal_ranks_share_a_place_and_controls_have_none(results: Results) -> None:
    metrics = results.metrics.copy()
    metrics.loc[metrics["metric"] == "balanced_accuracy", "value"] = 0.5
    same = [entry.place for entry in leaderboard.entries(replace(results, metrics=metrics))]
    assert same == [1, 1, 1, None]
    assert [entry.place for entry in leaderboard.entries(results)][-1] is None


def test_a_method_with_a_missing_cell_has_no_place_but_keeps_its_row(results: Results) -> None:
    lost = (results.metrics["method"] == "fedit") & (results.metrics["client"] == "msk")
    found = replace(results, metrics=results.metrics[~lost])
    entry = leaderboard.entries(found)[2]
    assert entry.method.name == "fedit"
    assert entry.place is None
    row = leaderboard.frame(found).set_index("method").loc["fedit"]
    assert row["average_rank"] == row["corrected_mean"] == row["worst_client"] == "missing"


def test_controls_alone_make_a_leaderboard_without_ranks(tmp_path: Path) -> None:
    results = load(synthetic.write(tmp_path, methods=["local", "pooled"], diverged=()).comparison)
    assert list(leaderboard.frame(results)["method"]) == ["local", "pooled"]
    assert leaderboard.grid(results).rows == []


def test_the_worst_client_is_named_with_its_federation_where_there_are_several(results: Results) -> None:
    alone = replace(results, runs=[run for run in results.runs if run["federation"] == "toy_lesions"])
    for found, named in ((results, r"toy_(lesions|slides) \w+"), (alone, r"\w+")):
        (column,) = [n for n, column in enumerate(leaderboard.grid(found).columns) if column.head == "Worst client"]
        for row in leaderboard.grid(found).rows[:2]:
            assert re.fullmatch(rf"0\.\d{{3}} \({named}\)", row[column].text), row[column].text


@pytest.mark.parametrize(("count", "text"), [(0, "0 B"), (999, "999 B"), (294_912, "295 kB"), (1_180_000, "1.18 MB")])
def test_bytes_as_people_read_them(count: int, text: str) -> None:
    assert readable(count) == text


@pytest.mark.parametrize(("seconds", "text"), [(42.4, "42 s"), (420, "7 min"), (3 * 3600 + 360, "3.1 h")])
def test_seconds_as_people_read_them(seconds: float, text: str) -> None:
    assert leaderboard.human_seconds(seconds) == text


def test_the_job_writes_integers_as_integers(tree: synthetic.Tree, tmp_path: Path) -> None:
    csv, md = tmp_path / "leaderboard.csv", tmp_path / "leaderboard.md"
    assert tree.job("reporting.leaderboard", "--csv", csv, "--md", md) == 0
    table = pd.read_csv(csv, dtype=str)
    assert list(table["place"].dropna()) == ["1", "2", "3"]
    assert set(table["bytes_per_round:toy_slides"]) == {"294912", "0"}
    assert "295 kB" in md.read_text()
    assert f"(`{table['method'][0]}`)" in md.read_text().splitlines()[2]


def test_where_no_method_has_a_place_a_note_says_why(results: Results) -> None:
    """And the caption explains no column of dashes."""
    assert not any("no place" in note for note in leaderboard.grid(results).notes)
    assert "Place may be:" in leaderboard.grid(results).caption
    table = results.statistics.intervals
    on, overall = table["federation"] == "toy_slides", table["federation"] == "all"
    counted = table.assign(groups=table["groups"].where(~on, table["client"].map({"0": 2, "1": 4})))
    small = counted.assign(
        reason=on.map({True: "too few", False: ""}),
        low=counted["low"].where(~(on | overall)),
        high=counted["high"].where(~(on | overall)),
    )
    grid = leaderboard.grid(replace(results, statistics=replace(results.statistics, intervals=small)))
    assert grid.notes[0] == (
        "Why no place is given: an interval, and so a place, needs 5 patients or more in the test set of every client;"
        " 2 clients of Toy slides have fewer (2 to 4)."
    )
    assert "Place may be:" not in grid.caption
    assert "In brackets" in grid.caption
