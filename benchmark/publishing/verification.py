"""Whether a publication is whole, and whether its numbers follow from each other."""

import math
import tempfile
from pathlib import Path

import pandas as pd

from benchmark.comparison import NAME, Comparison
from benchmark.evaluation import collect
from benchmark.publishing import sums
from benchmark.publishing.gather import TESTED
from benchmark.reporting import leaderboard
from benchmark.reporting.grid import markdown
from benchmark.reporting.inputs import load

_TOLERANCE = 1e-9
"""Other versions of the same packages may round otherwise."""


def faults(folder: Path) -> list[str]:
    """A line for all that is wrong with a publication; numbers are compared only where all files are as published."""
    return sums.faults(folder) or contradictions(folder)


def contradictions(folder: Path) -> list[str]:
    """A line for each number of a publication that does not follow from others in it.

    The per-client table is compared with the predictions, if they are there, and with its copy as CSV; the leaderboard
    with the per-client table.
    """
    try:
        results = load(folder / NAME, statistics=True)
        found = _differences("clients.csv", folder / "clients.csv", results.metrics, "clients.parquet")
        if (folder / TESTED).is_dir():
            found += recollected(results.comparison, results.metrics)
        table = leaderboard.frame(results)
        found += _differences("leaderboard.csv", folder / "leaderboard.csv", table, "clients.parquet")
        if (folder / "leaderboard.md").read_text(encoding="utf-8") != markdown(leaderboard.grid(results)):
            found.append("leaderboard.md: not the leaderboard that clients.parquet gives")
    except (OSError, ValueError, KeyError) as error:
        return [f"{folder}: its numbers cannot be computed again: {type(error).__name__}: {error}"]
    return found


def recollected(comparison: Comparison, clients: pd.DataFrame) -> list[str]:
    """A line for each place where the per-client table is not what the tests of all models give."""
    return _different("clients.parquet", clients, collect.table(comparison), "the predictions")


def _differences(name: str, path: Path, expected: pd.DataFrame, source: str) -> list[str]:
    """Where a CSV file is not what a table gives."""
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / "expected.csv"
        expected.to_csv(written, index=False)
        text = [pd.read_csv(file, dtype=str, keep_default_na=False) for file in (path, written)]
    return _different(name, text[0], text[1], source)


def _different(name: str, found: pd.DataFrame, expected: pd.DataFrame, source: str) -> list[str]:
    """The first cell that differs, or the shape."""
    if list(found.columns) != list(expected.columns) or len(found) != len(expected):
        return [f"{name}: {found.shape} rows and columns, but {source} gives {expected.shape}, or other columns"]
    for column in found.columns:
        for row, (one, other) in enumerate(zip(found[column], expected[column], strict=True)):
            if not _equal(one, other):
                return [f"{name}, row {row + 1}, {column}: {one}, but {source} gives {other}"]
    return []


def _equal(one: object, other: object) -> bool:
    if one == other:
        return True
    try:
        numbers = float(str(one)), float(str(other))
    except ValueError:
        return False
    return all(map(math.isnan, numbers)) or math.isclose(*numbers, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE)
