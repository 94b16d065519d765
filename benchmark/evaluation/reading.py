"""What stands in the folder of a comparison, read: runs, selections, the table of metrics."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from benchmark.comparison import Comparison
from benchmark.evaluation.ranks import expected_cells
from benchmark.evaluation.select import read_run
from benchmark.files import read_json

Run = Mapping[str, Any]


def read_runs(comparison: Comparison) -> list[dict[str, Any]]:
    """The `run.json` of every run, with its folder, row by row, rate by rate, seed by seed."""
    return [read_run(folder) for row in comparison.rows for folder in comparison.runs(*row)]


def read_choices(comparison: Comparison) -> dict[tuple[str, str], dict[str, Any]]:
    """The selections, by federation and method."""
    return {row: read_json(Path(comparison.places.selected(*row))) for row in comparison.rows}


def read_metrics(comparison: Comparison) -> pd.DataFrame:
    """The table of test metrics that `benchmark.evaluation.collect` writes."""
    return pd.read_parquet(comparison.folder / "clients.parquet")


def cells_of(comparison: Comparison, runs: Iterable[Run]) -> pd.DataFrame:
    """Every cell that the runs should have led to: columns `ranks.CELLS`."""
    return expected_cells(read_metrics(comparison), runs)


def controls_of(runs: Iterable[Run]) -> set[str]:
    """The methods that are not ranked."""
    return {run["method"]["name"] for run in runs if run["method"]["control"]}
