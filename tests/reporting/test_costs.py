"""Costs: bytes of a whole run, and the table."""

import pytest

from benchmark.reporting import costs
from benchmark.reporting.inputs import Results
from tests.reporting import synthetic


def test_bytes_of_training_are_the_totals() -> None:
    run = synthetic.run("d", "fedit", "1e-3", 0, ["0"])
    run["costs"] |= {"bytes_up_total": 5, "bytes_down_total": 7}
    assert costs.bytes_of_training(run) == (5, 7)


def test_the_table_has_a_row_per_method_in_the_leaderboards_order(results: Results) -> None:
    for federation in results.federations:
        grid = costs.grid(results, federation)
        titles = [row[0].text for row in [*grid.rows, *grid.controls]]
        assert titles == [results.methods[name].title for name in results.order]
        runs = len({(run["rate"], run["seed"]) for run in results.runs})
        own = dict(zip((column.head for column in grid.columns), grid.rows[0], strict=True))
        assert own["Time of all runs"].value == runs * own["Time per run"].value
        assert own["Up in total"].value == synthetic.ROUNDS * own["Up per round"].value
        assert "Drawn GPU" in grid.caption


def test_the_table_has_a_column_of_what_methods_measure(results: Results) -> None:
    """At the chosen rate, in the mean over seeds; a dash where nothing is measured, no column where no method does."""
    federation = results.federations[0]
    assert "Aggregation error" not in [column.head for column in costs.grid(results, federation).columns]
    rate = results.selected[federation, "fedit"]["rate"]
    for run in results.runs_of(federation, "fedit"):
        run["exchange"] = {"aggregation_error": 0.25 + run["seed"] / 100 if run["rate"] == rate else 7.0}
    grid = costs.grid(results, federation)
    place = [column.head for column in grid.columns].index("Aggregation error")
    shown = {row[0].text: row[place] for row in [*grid.rows, *grid.controls]}
    fedit, local = (results.methods[name].title for name in ("fedit", "local"))
    expected = 0.25 + sum(results.seeds) / len(results.seeds) / 100
    assert shown[fedit].value == pytest.approx(expected)
    assert shown[fedit].text == f"{expected:.3g}"
    assert shown[local].text == "—"
    assert "what the average of adapters loses" in grid.caption
    results.runs_of(federation, "fedit", rate)[0]["exchange"] = {"aggregation_error": None}
    assert costs.grid(results, federation).rows[results.order.index("fedit")][place].text == "diverged"


def test_the_table_says_whose_head_it_is_and_how_far_adapters_moved(results: Results) -> None:
    """At the chosen rate; of runs that do not say it, that it is unknown."""
    grid = costs.grid(results, results.federations[0])
    columns = [column.head for column in grid.columns]
    found = {row[0].text: dict(zip(columns, row, strict=True)) for row in [*grid.rows, *grid.controls]}
    assert found[results.methods["local"].title]["Head"].text == "personal§"
    fedit = found[results.methods["fedit"].title]
    assert [fedit[name].text for name in ("Head", "A moved", "Update")] == ["shared", "4.0%", "2.0%"]
    assert fedit["Passes per round"].value == 1
    for run in results.runs:
        run.pop("moved"), run.pop("head")
    row = costs.grid(results, results.federations[0]).rows[0]
    assert [cell.text for cell in row[1:2] + row[3:5]] == ["unknown"] * 3
