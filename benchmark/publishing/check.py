"""Whether a publication is whole, and whether its numbers follow from each other."""

import argparse
import math
import tempfile
from pathlib import Path

import pandas as pd
import yaml

from benchmark.config import parse
from benchmark.evaluation import collect
from benchmark.plan import Plan
from benchmark.publishing import sums
from benchmark.publishing.gather import PREDICTIONS, name_of
from benchmark.reporting import leaderboard
from benchmark.reporting.grid import markdown
from benchmark.reporting.inputs import Results, add_arguments, load

_TOLERANCE = 1e-9
"""Other versions of the same packages may round otherwise."""


def faults(folder: Path) -> list[str]:
    """All that is wrong with a publication.

    Args:
        folder: The publication.

    Returns:
        A line for each fault. Numbers are compared only where all files are as they were published.
    """
    return sums.faults(folder) or contradictions(folder)


def contradictions(folder: Path) -> list[str]:
    """Which numbers of a publication do not follow from others in it.

    Args:
        folder: The publication.

    Returns:
        A line for each: the per-client table against the predictions, if they are there; its copy as CSV; the
        leaderboard against the per-client table.
    """
    try:
        plan = Plan(parse(yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8")), "config.yaml"))
        clients = pd.read_parquet(folder / "clients.parquet")
        found = _differences("clients.csv", folder / "clients.csv", clients, "clients.parquet")
        if (folder / PREDICTIONS).is_dir():
            files = [folder / name_of(plan, path) for path in plan.every(*plan.of_seeds("predictions.parquet"))]
            found += recollected(files, _manifests(plan, folder), clients)
        results = _results(plan, folder)
        table = leaderboard.frame(results)
        found += _differences("leaderboard.csv", folder / "leaderboard.csv", table, "clients.parquet")
        if (folder / "leaderboard.md").read_text(encoding="utf-8") != markdown(leaderboard.grid(results)):
            found.append("leaderboard.md: not the leaderboard that clients.parquet gives")
    except (OSError, ValueError, KeyError, yaml.YAMLError) as error:
        return [f"{folder}: its numbers cannot be computed again: {type(error).__name__}: {error}"]
    return found


def recollected(predictions: list[Path], manifests: list[str], clients: pd.DataFrame) -> list[str]:
    """Where the per-client table is not what the predictions give.

    Args:
        predictions: Their files.
        manifests: `NAME=FILE` of every federation.
        clients: The table.

    Returns:
        A line for each difference.
    """
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "clients.parquet"
        written = ["--output", str(path), "--confusion", str(Path(name) / "confusion.parquet")]
        collect.main(["--predictions", *map(str, predictions), "--manifests", *manifests, *written])
        if not path.is_file():
            return ["clients.parquet: cannot be computed from the predictions"]
        return _different("clients.parquet", clients, pd.read_parquet(path), "the predictions")


def _results(plan: Plan, folder: Path) -> Results:
    """The publication's results, as reports read them."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    selected, runs = (
        [str(folder / name_of(plan, path)) for path in plan.every(*patterns)]
        for patterns in ([plan.selected], plan.of_runs("run.json"))
    )
    given = ["--clients", str(folder / "clients.parquet"), "--selected", *selected, "--runs", *runs]
    statistics = [str(folder / name_of(plan, path)) for path in plan.statistics]
    return load(parser.parse_args([*given, "--manifests", *_manifests(plan, folder), "--statistics", *statistics]))


def _manifests(plan: Plan, folder: Path) -> list[str]:
    names = {name: name_of(plan, plan.manifest.format(federation=name)) for name in plan.federations}
    return [f"{name}={folder / file}" for name, file in names.items()]


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
