"""Quality checks, each on results that deserve a finding and on results that do not."""

import math
from pathlib import Path

import pandas as pd
import pytest

from benchmark.evaluation import checks
from tests.reporting import synthetic


def cells(values: dict[str, list[float]]) -> pd.DataFrame:
    """Cells of one dataset from each method's scores on clients 0, 1, ...; None of them missing."""
    rows = [
        ("d", method, 0, str(client), value, False)
        for method, scores in values.items()
        for client, value in enumerate(scores)
    ]
    return pd.DataFrame(rows, columns=["dataset", "method", "seed", "client", "value", "missing"])


def choice(scores: dict[str, bool], rate: str, edge: bool) -> dict[str, object]:
    details = {r: {"diverged": diverged} for r, diverged in scores.items()}
    return {"dataset": "d", "method": "a", "rate": rate, "at_grid_edge": edge, "scores": details}


def test_a_chosen_rate_at_the_edge_is_a_warning() -> None:
    (finding,) = checks.selection([choice({"1e-3": False, "1e-2": False}, "1e-2", True)])
    assert (finding["severity"], finding["check"], finding["value"]) == ("warning", "edge of grid", 0.01)
    assert checks.selection([choice({"1e-3": False}, "1e-3", False)]) == []


@pytest.mark.parametrize(("chosen", "severity"), [("1e-3", "note"), ("1e-2", "error")])
def test_a_diverged_rate_is_a_note_and_an_error_where_it_was_chosen(chosen: str, severity: str) -> None:
    (finding,) = checks.selection([choice({"1e-3": False, "1e-2": True}, chosen, False)])
    assert (finding["severity"], finding["check"], finding["value"]) == (severity, "diverged", 0.01)


def test_chance_is_each_clients_own() -> None:
    # Client 0 has two classes (1/2), client 1 has four (1/4), client 2 has one and no chance level.
    metrics = pd.DataFrame(
        [("d", "a", 0, "0", "chance", 1 / 2), ("d", "a", 0, "1", "chance", 1 / 4)],
        columns=["dataset", "method", "seed", "client", "metric", "value"],
    )
    (finding,) = checks.below_chance(cells({"a": [0.4, 0.4, 0.0]}), metrics)
    assert (finding["client"], finding["value"]) == ("0", 0.4)
    assert checks.below_chance(cells({"a": [0.5, math.nan, 0.0]}), metrics) == []


def test_a_mean_worse_than_locals_is_a_warning() -> None:
    table = cells({"local": [0.5, 0.7], "a": [0.9, 0.2], "b": [0.6, 0.6], "c": [0.1, math.nan]})
    (finding,) = checks.worse_than_local(table, higher_is_better=True)
    assert (finding["method"], finding["value"]) == ("a", pytest.approx((0.9 + 0.2) / 2))
    assert checks.worse_than_local(table, higher_is_better=False) == []
    assert checks.worse_than_local(table[table["method"] != "local"], higher_is_better=True) == []


def test_a_missing_cell_is_an_error() -> None:
    table = cells({"a": [0.5, 0.5]})
    assert checks.missing_cells(table) == []
    table.loc[1, "missing"] = True
    (finding,) = checks.missing_cells(table)
    assert (finding["severity"], finding["client"]) == ("error", "1")
    assert "[0]" in finding["message"]


def test_a_missing_client_is_a_warning() -> None:
    (finding,) = checks.missing_clients({"d": {"missing_clients": ["4"]}, "e": {"missing_clients": []}})
    assert (finding["severity"], finding["dataset"], finding["client"]) == ("warning", "d", "4")


def test_the_job_writes_errors_first(tmp_path: Path) -> None:
    tree = synthetic.write(tmp_path)
    table = pd.read_parquet(tree.clients)
    lost = (table["dataset"] == "toy_slides") & (table["method"] == "fedit") & (table["client"] == "1")
    table[~lost].to_parquet(tree.clients)
    assert checks.main([*tree.arguments(), "--output", str(tmp_path / "checks.csv")]) == 0
    found = pd.read_csv(tmp_path / "checks.csv", dtype={"client": str})
    assert list(found.columns) == checks.COLUMNS
    places = [checks.SEVERITIES.index(severity) for severity in found["severity"]]
    assert places == sorted(places)
    assert set(found.loc[found["severity"] == "error", "client"]) == {"1"}
    assert set(found["check"]) >= {"missing cell", "diverged", "edge of grid"}
