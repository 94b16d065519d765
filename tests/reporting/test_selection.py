"""Every rate's score and the budget, of drawn results."""

from dataclasses import replace
from statistics import stdev

import pytest

from benchmark.reporting.grid import Cell
from benchmark.reporting.inputs import Results
from benchmark.reporting.selection import frame, grid


def test_every_rate_stands_with_its_score_and_its_cost(results: Results) -> None:
    """Means and standard deviations are those of the selection; the chosen rate is marked once per row."""
    table = frame(results)
    assert len(table) == 2 * 4 * 2, "two federations, four methods, two rates"
    for row in table.itertuples():
        choice = results.selected[row.federation, row.method]
        details = choice["scores"][row.rate]
        assert row.chosen == (row.rate == choice["rate"])
        assert row.at_grid_edge == (row.chosen and choice["at_grid_edge"])
        assert (row.runs, row.rounds) == (2, 3)
        if not row.diverged:
            assert row.mean == details["mean"]
            assert row.sd == pytest.approx(stdev(details["per_seed"].values()))
    lost = table[table["diverged"]]
    assert list(zip(lost["federation"], lost["method"], lost["rate"], strict=True)) == [
        ("toy_slides", "fedpal", "1e-2")
    ]
    assert lost["mean"].isna().all()
    assert list(table[table["method"] == "fedit"]["rate"]) == ["1e-3", "1e-2"] * 2, "rates are numbers"


def test_equal_and_unequal_budgets_are_said(results: Results) -> None:
    """A method with several passes over the images has an equal budget of runs, and that is said too."""

    def passes(run: dict, method: str) -> dict:
        costs = {**run["costs"], "image_passes": 6 if run["method"]["name"] == method else 3}
        return {**run, "costs": costs}

    twice = replace(results, runs=[passes(dict(run), "fedpal") for run in results.runs])
    said = grid(twice, "toy_lesions")
    assert "same budget: 4 runs of 3 rounds (2 rates, 2 seeds). In a round, FedPAL made more passes" in said.caption
    rows = {row[0].text: row[-1].value for row in (*said.rows, *said.controls)}
    assert rows == {"FedIT": 1, "FedPAL": 2, "FedOPAL-R": 1, "Local": 1}
    longer = [{**run, "rounds": 6 if run["method"]["name"] == "fedit" else 3} for run in results.runs]
    assert "different budgets" in grid(replace(results, runs=longer), "toy_lesions").caption
    assert "more passes" not in grid(results, "toy_lesions").caption, "where all are alike"
    one = [run for run in results.runs if run["seed"] == 0]
    assert "2 runs of 3 rounds (2 rates, 1 seed)." in grid(replace(results, runs=one), "toy_lesions").caption


def test_the_table_marks_what_was_chosen(results: Results) -> None:
    table = grid(results, "toy_slides")
    shown = (*table.rows, *table.controls)
    assert [row[0].text for row in shown] == [results.methods[name].title for name in results.order]
    for row, name in zip(shown, results.order, strict=True):
        (chosen,) = (cell for cell in row if "✓" in cell.text)
        rate = results.rate("toy_slides", name)
        assert chosen is row[1 + ["1e-3", "1e-2"].index(rate.rstrip("†"))]
        assert ("†" in chosen.text) == rate.endswith("†")
        assert [cell for cell in row if cell.bold] == [chosen]
    assert any(cell == Cell("diverged") for row in table.rows for cell in row)


def test_ties_are_marked_and_every_mark_is_explained(results: Results) -> None:
    key = ("toy_lesions", "fedit")
    tied = {**results.selected, key: {**results.selected[key], "rate": "1e-3", "ties": ["1e-3", "1e-2"]}}
    table = grid(replace(results, selected=tied), "toy_lesions")
    (row,) = (row for row in table.rows if row[0].text == "FedIT")
    assert [cell.text.split(" ")[-1] for cell in row[1:3]] == ["✓†=", "="]
    assert [cell.bold for cell in row[1:3]] == [True, False]
    assert all(mark in " ".join(table.notes) for mark in "✓†=")
