"""A federation's table."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import rankdata

from benchmark.evaluation.statistics import Statistics
from benchmark.reporting import leaderboard, tables
from benchmark.reporting.inputs import Results, load
from benchmark.reporting.published import read_published
from tests.reporting import synthetic

NOTHING = pd.DataFrame(columns=["federation", "method", "quantity", "value", "source"])


def scores(tree: synthetic.Tree, federation: str) -> pd.DataFrame:
    """Balanced accuracy: a row per (method, seed), a column per client."""
    table = pd.read_parquet(tree.clients)
    table = table[(table["federation"] == federation) & (table["metric"] == "balanced_accuracy")]
    return table.pivot(index=["method", "seed"], columns="client", values="value")


def test_the_csv_holds_means_over_seeds_and_average_ranks(tree: synthetic.Tree, results: Results) -> None:
    oracle = scores(tree, "toy_lesions")
    table = tables.frame(results, "toy_lesions", NOTHING).set_index("method")
    ranked = ["fedit", "fedopal_r", "fedpal"]
    ranks = np.mean([rankdata(-oracle.loc[(ranked, [s]), :], axis=0).mean(axis=1) for s in (0, 1)], axis=0)
    assert list(table.loc[ranked, "average_rank"].astype(float)) == pytest.approx(list(ranks))
    assert pd.isna(table.loc["local", "average_rank"])
    for method in [*ranked, "local"]:
        assert table.loc[method, "mean"] == pytest.approx(oracle.loc[method].to_numpy().mean())
        assert table.loc[method, "mean_sd"] == pytest.approx(np.std(oracle.loc[method].mean(axis=1), ddof=1))
        for client in ["bcn", "vidir", "msk"]:
            assert table.loc[method, f"client {client} Site {client}"] == pytest.approx(
                oracle.loc[method, client].mean()
            )


def test_scores_means_and_ranks_have_their_intervals(results: Results) -> None:
    table = tables.frame(results, "toy_lesions", NOTHING).set_index("method")
    for method in ["fedit", "fedopal_r", "fedpal"]:
        for client in ["bcn", "vidir", "msk"]:
            ends = tuple(table.loc[method, [f"client {client} Site {client} {end}" for end in ("low", "high")]])
            assert ends == results.statistics.interval(method, "score", "toy_lesions", client)
        for quantity in ("mean", "corrected_mean", "average_rank", "place"):
            expected = results.statistics.interval(method, quantity, "toy_lesions")
            assert tuple(table.loc[method, [f"{quantity}_low", f"{quantity}_high"]]) == expected
            assert 1 <= expected[0] <= expected[1] <= 3 if quantity == "place" else expected[0] < expected[1]
    assert table.loc["local", "average_rank_low":"average_rank_high"].isna().all()  # type: ignore[misc]
    shown = {row[0].text: row[4].text for row in tables.grid(results, "toy_lesions", NOTHING).rows}
    low, high = results.statistics.interval("fedit", "mean", "toy_lesions")
    assert shown["FedIT"].endswith(f"({low:.3f} to {high:.3f})")


def test_clients_with_few_groups_are_named(results: Results) -> None:
    statistics = results.statistics
    table = statistics.intervals
    few = table["client"] == "bcn"
    one = table.assign(fewest=table["fewest"].where(~few, 2).where(few, 99), rarest="MEL", reason="")
    notes = tables.grid(replace(results, statistics=replace(statistics, intervals=one)), "toy_lesions", NOTHING).notes
    assert notes[-1].startswith("Fewer than 10 lesions show one part")
    assert notes[-1].endswith("client bcn (MEL 2).")
    none = one.assign(fewest=99, groups=2, reason=one["client"].map({"vidir": "2 groups"}).fillna(""))
    notes = tables.grid(replace(results, statistics=replace(statistics, intervals=none)), "toy_lesions", NOTHING).notes
    assert notes[-1].startswith("Too few lesions in the test set for an interval (5 are needed)")
    assert notes[-1].endswith("client vidir (2).")


def test_without_statistics_there_are_no_intervals(results: Results) -> None:
    bare = replace(results, statistics=Statistics())
    grid = tables.grid(bare, "toy_lesions", NOTHING)
    assert "In brackets" not in grid.caption
    assert not any(" to " in cell.text for row in grid.rows for cell in row)


def test_rows_are_ordered_by_rank_and_controls_stand_last(results: Results) -> None:
    for federation in results.federations:
        table = tables.frame(results, federation, NOTHING)
        assert list(table["control"]) == [False, False, False, True]
        assert table["average_rank"][:3].is_monotonic_increasing


def test_clients_keep_the_order_of_the_runs(results: Results) -> None:
    # Not the manifest's: JSON objects are sorted by their keys.
    heads = [column.head for column in tables.grid(results, "toy_lesions", NOTHING).columns]
    assert heads == [
        "Method",
        "bcn Site bcn",
        "vidir Site vidir",
        "msk Site msk",
        "Mean",
        "Chance-corrected",
        "Average rank (of 3)",
        "Place may be",
        "Rate",
    ]


def test_a_missing_seed_is_shown_and_never_averaged_over(tmp_path: Path) -> None:
    tree = synthetic.write(tmp_path)
    table = pd.read_parquet(tree.clients)
    lost = (table["method"] == "fedpal") & (table["client"] == "vidir") & (table["seed"] == 1)
    table[~lost].to_parquet(tree.clients)
    results = load(tree.comparison)
    rows = tables.frame(results, "toy_lesions", NOTHING).set_index("method")
    assert rows.loc["fedpal", "client vidir Site vidir"] == "missing"
    assert rows.loc["fedpal", "mean"] == rows.loc["fedpal", "average_rank"] == "missing"
    assert rows.loc["fedpal", "client bcn Site bcn"] != "missing"
    assert rows.loc["fedit", "mean"] != "missing"
    assert list(rows.index)[2] == "fedpal", "a method without a rank stands below those with one"
    assert tables.MISSING_NOTE in tables.grid(results, "toy_lesions", NOTHING).notes


def test_a_diverged_model_is_shown_as_such(tmp_path: Path) -> None:
    tree = synthetic.write(tmp_path)
    table = pd.read_parquet(tree.clients)
    table.loc[(table["method"] == "fedpal") & (table["client"] == "vidir"), "value"] = np.nan
    table.to_parquet(tree.clients)
    rows = tables.frame(load(tree.comparison), "toy_lesions", NOTHING).set_index("method")
    assert rows.loc["fedpal", "client vidir Site vidir"] == rows.loc["fedpal", "mean"] == "diverged"
    assert rows.loc["fedpal", "average_rank"] != "missing"


def test_a_rate_at_the_edge_has_a_dagger_and_a_note(tmp_path: Path) -> None:
    for rates, expected in [(["1e-3", "1e-2"], True), (["1e-3"], False)]:
        results = load(synthetic.write(tmp_path / str(len(rates)), rates=rates, diverged=()).comparison)
        grid = tables.grid(results, "toy_lesions", NOTHING)
        assert grid.rows[0][-1].text.endswith("†") is expected
        assert (tables.EDGE_NOTE in grid.notes) is expected


def test_what_a_method_gains_over_the_same_leaves_trained_alone(tmp_path: Path) -> None:
    """Its mean less its partner's, with the interval of their difference; a dash, or that the partner is missing."""
    tree = synthetic.with_statistics(synthetic.write(tmp_path))
    tree.change(alone={"fedit": "local", "fedpal": "fedit", "fedopal_r": "absent"})
    results = load(tree.comparison, statistics=True)
    for federation in results.federations:
        found = tables.frame(results, federation, NOTHING).set_index("method")
        assert found["gain_over"].dropna().to_dict() == results.comparison.alone
        assert found.loc["fedopal_r", "gain"] == "missing"
        for method, other in (("fedit", "local"), ("fedpal", "fedit")):
            gain, low, high = found.loc[method, ["gain", "gain_low", "gain_high"]]
            assert gain == pytest.approx(found.loc[method, "mean"] - found.loc[other, "mean"], abs=1e-12)
            pairs = results.statistics.comparisons.query(
                "federation == @federation and quantity == 'mean' and method == @method and other == @other"
            )
            assert (low, high) == tuple(pairs[["low", "high"]].iloc[0])
            assert low < gain < high
        grid = tables.grid(results, federation, NOTHING)
        place = [column.head for column in grid.columns].index("Collaborative gain")
        shown = {row[0].text: row[place].text for row in [*grid.rows, *grid.controls]}
        gain, low, high = found.loc["fedit", ["gain", "gain_low", "gain_high"]]
        assert shown["FedIT"] == f"{gain:.3f} ({low:.3f} to {high:.3f})"
        assert (shown["Local"], shown["FedOPAL-R"]) == ("—", "missing")
        assert "the same leaves trained by each client alone" in grid.caption
        board = leaderboard.frame(results).set_index("method")
        assert board.loc["fedpal", f"gain:{federation}"] == found.loc["fedpal", "gain"]
        assert board.loc["fedpal", f"gain_over:{federation}"] == "fedit"
        assert f"Collaborative gain, {federation}" in [column.head for column in leaderboard.grid(results).columns]


def test_published_values_stand_beside_ours_as_they_were_printed(results: Results) -> None:
    published = pd.DataFrame(
        [
            ("toy_lesions", "fedpal", "average_rank", "3.50", "a paper"),
            ("toy_lesions", "fedpal", "client:2?", "0.931", "a paper"),
            ("toy_lesions", "unknown", "mean", "0.5", "another paper"),
            ("toy_lesions", "fedpal", "communication", "1.38", "a fourth paper"),
            ("toy_slides", "fedpal", "mean", "0.726", "a third paper"),
        ],
        columns=NOTHING.columns,
    )
    grid = tables.grid(results, "toy_lesions", published)
    heads = ["Chance-corrected", "Average rank (of 3)", "published", "Place may be", "Rate"]
    assert [column.head for column in grid.columns][-5:] == heads
    beside = {row[0].text: row[-3].text for row in [*grid.rows, *grid.controls]}
    assert beside == {"FedPAL": "3.50", "FedIT": "", "FedOPAL-R": "", "Local": ""}
    assert "published: a paper." in grid.notes, "and not what another table shows"
    (note,) = [note for note in grid.notes if "0.931" in note]
    assert "client 2: 0.931 (the paper's numbering is not known" in note
    assert not any("0.931" in cell.text for row in grid.rows for cell in row)


def test_the_committed_values_are_those_of_average_ranks(published: Path) -> None:
    table = read_published(published)
    assert not table.isna().any(axis=None)
    assert not table.duplicated(["federation", "method", "quantity"]).any()
    # A mean of ranks over n clients is a whole number of n-ths, ties of two methods aside (halves of n-ths).
    for row in table[table["quantity"] == "average_rank"].itertuples():
        n = {"fed_isic2019": 6, "camelyon17": 5}[str(row.federation)]
        assert f"{round(float(row.value) * n) / n:.2f}" == row.value


def test_the_caption_says_how_the_numbers_were_measured(results: Results) -> None:
    caption = tables.grid(results, "toy_lesions", NOTHING).caption
    for part in [
        "balanced accuracy",
        "Protocol: published",
        "3 ranked methods",
        "Seeds: 0, 1",
        "among the 3 ranked methods",
        "share their mean rank",
        "In brackets: 95 % intervals over other test sets of as many lesions at these clients and over seeds.",
        "(score - chance) / (best - chance)",
        "All pairs of methods are compared at once",
    ]:
        assert part in caption


def test_the_job_writes_three_files_that_agree(tree: synthetic.Tree, published: Path, tmp_path: Path) -> None:
    files = {kind: tmp_path / f"t.{kind}" for kind in ("csv", "md", "tex")}
    options = [part for kind, path in files.items() for part in (f"--{kind}", path)]
    assert not tree.job("reporting.tables", "toy_slides", "--published", published, *options)
    table = pd.read_csv(files["csv"])
    for kind in ("md", "tex"):
        text = files[kind].read_text()
        assert [text.index(f"{mean:.3f}") for mean in table["mean"]]
        places = [text.index(f"{title} ") for title in table["title"]]
        assert places == sorted(places)


def test_an_unknown_federation_is_an_error_of_one_line(
    tree: synthetic.Tree, published: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = [part for kind in ("csv", "md", "tex") for part in (f"--{kind}", tmp_path / kind)]
    assert tree.job("reporting.tables", "toy", "--published", published, *options) == 1
    assert capsys.readouterr().err == "tables: no runs of federation 'toy', only of ['toy_lesions', 'toy_slides']\n"
    assert not list(tmp_path.iterdir())
