"""What stands in the folder of a comparison, read: runs, selections, validation scores, the table of metrics."""

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from benchmark.comparison import Comparison
from benchmark.evaluation.gathered import ROWS, VALIDATION
from benchmark.evaluation.ranks import expected_cells
from benchmark.files import read_json

Run = Mapping[str, Any]
OUTSIDE = "outside.parquet"
"""How hospitals outside are served, as `benchmark.evaluation.families` writes it."""
DESCRIBED = "adapted.json"
"""What adapting did, beside the counts of a seed, as `benchmark.evaluation.outside` writes it."""
OUTSIDE_COLUMNS = [
    *("family", "client", "method", "adaptation", "title", "oracle", "model", "quantity", "value", "low", "high"),
    *("difference", "difference_low", "difference_high", "apart", "groups", "reason"),
]
"""`title` and `oracle` are the adaptation's; `model` is one of those that an oracle serves."""


def read_runs(comparison: Comparison) -> list[dict[str, Any]]:
    """The `run.json` of every run, row by row, rate by rate, seed by seed."""
    return [run for row in read_json(comparison.folder / ROWS) for run in row["runs"]]


def read_choices(comparison: Comparison) -> dict[tuple[str, str], dict[str, Any]]:
    """The selections, by federation and method."""
    return {(row["federation"], row["method"]): row["selected"] for row in read_json(comparison.folder / ROWS)}


def read_looks(comparison: Comparison) -> dict[tuple[str, str], int]:
    """By federation and method, how many versions of the method had been tested when the row was."""
    return {(row["federation"], row["method"]): row["looks"] for row in read_json(comparison.folder / ROWS)}


def read_validation(comparison: Comparison) -> pd.DataFrame:
    """Every run's validation scores: federation, method, rate, seed, round, client, value."""
    return pd.read_parquet(comparison.folder / VALIDATION)


def read_metrics(comparison: Comparison) -> pd.DataFrame:
    """The table of test metrics that `benchmark.evaluation.collect` writes."""
    return pd.read_parquet(comparison.folder / "clients.parquet")


def read_outside(comparison: Comparison) -> pd.DataFrame:
    """How hospitals outside are served, columns `OUTSIDE_COLUMNS`; without rows where there is none."""
    there = bool(comparison.families)
    return pd.read_parquet(comparison.folder / OUTSIDE) if there else pd.DataFrame(columns=OUTSIDE_COLUMNS)


def cells_of(comparison: Comparison, runs: Iterable[Run]) -> pd.DataFrame:
    """Every cell that the runs should have led to: columns `ranks.CELLS`."""
    return expected_cells(read_metrics(comparison), runs, comparison.draw_of)


def controls_of(runs: Iterable[Run]) -> set[str]:
    """The methods that are not ranked."""
    return {run["method"]["name"] for run in runs if run["method"]["control"]}
