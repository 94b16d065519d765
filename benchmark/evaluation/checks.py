"""Quality checks: what a reader should know before believing a table.

    python -m benchmark.evaluation.checks --clients FILE --selected FILE [FILE ...] --runs RUN [RUN ...]
        --manifests [NAME=]FILE ... [--unused JSON] --output FILE

The output is a CSV file with the columns severity (error, warning or note), check, dataset, method, client,
value, message; only its header where all is well. A finding never stops a workflow: it is shown above the
leaderboard.
"""

import argparse
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from benchmark.evaluation.collect import read_manifests
from benchmark.evaluation.ranks import expected_cells
from benchmark.evaluation.select import read_run
from benchmark.files import read_json, write_text

COLUMNS = ["severity", "check", "dataset", "method", "client", "value", "message"]
SEVERITIES = ["error", "warning", "note"]

Finding = dict[str, Any]


def selection(choices: Iterable[Mapping[str, Any]]) -> list[Finding]:
    """Chosen rates at the edge of the grid, and rates that diverged."""
    findings = []
    for choice in choices:
        where = {"dataset": choice["dataset"], "method": choice["method"]}
        if choice["at_grid_edge"]:
            message = f"the chosen rate {choice['rate']} is at the edge of the grid: a better one may lie outside"
            findings.append(_finding("warning", "edge of grid", message, **where, value=float(choice["rate"])))
        for rate, details in choice["scores"].items():
            if details["diverged"]:
                chosen = rate == choice["rate"]
                message = f"rate {rate} diverged" + (" as all others did, and stands in the tables" if chosen else "")
                severity = "error" if chosen else "note"
                findings.append(_finding(severity, "diverged", message, **where, value=float(rate)))
    return findings


def missing_cells(cells: pd.DataFrame) -> list[Finding]:
    """Results that the runs should have led to, but that are not there."""
    absent = cells[cells["missing"]].groupby(["dataset", "method", "client"], sort=False)["seed"].agg(list)
    return [
        _finding(
            "error",
            "missing cell",
            f"no test result of seeds {row.seed}",
            row.dataset,
            row.method,
            row.client,
        )
        for row in absent.reset_index().itertuples()
    ]


def missing_clients(manifests: Mapping[str, Mapping[str, Any]]) -> list[Finding]:
    """Clients whose data was not there when the dataset was packed."""
    return [
        _finding(
            "warning",
            "missing client",
            "its data was not found, so nothing was trained on it",
            dataset,
            "",
            c,
        )
        for dataset, manifest in manifests.items()
        for c in manifest["missing_clients"]
    ]


def below_chance(cells: pd.DataFrame, metrics: pd.DataFrame) -> list[Finding]:
    """Clients on which a method is worse than a constant prediction.

    Args:
        cells: The expected test scores: dataset, method, seed, client, value, missing.
        metrics: The tidy table of test metrics, with the metric `chance`.

    Returns:
        A warning for each method and client.
    """
    keys = ["dataset", "method", "client"]
    chance = metrics[metrics["metric"] == "chance"].groupby(keys)["value"].mean().rename("chance")
    scores = cells.groupby(keys, sort=False)["value"].mean(skipna=False).to_frame().join(chance).reset_index()
    return [
        _finding(
            "warning",
            "below chance",
            f"{row.value:.3f} is below chance, {row.chance:.3f}",
            row.dataset,
            row.method,
            row.client,
            row.value,
        )
        for row in scores[scores["value"] < scores["chance"]].itertuples()
    ]


def worse_than_local(cells: pd.DataFrame, *, higher_is_better: bool) -> list[Finding]:
    """Methods whose mean over clients is worse than that of training alone.

    Args:
        cells: The expected test scores: dataset, method, seed, client, value, missing.
        higher_is_better: Direction of the score.

    Returns:
        A warning for each method and dataset. A method with a missing or diverged cell has a finding of its
        own.
    """
    means = cells.groupby(["dataset", "method"], sort=False)["value"].mean(skipna=False).reset_index()
    local = means[means["method"] == "local"].set_index("dataset")["value"].rename("local")
    means = means.join(local, on="dataset")
    worse = means["value"] < means["local"] if higher_is_better else means["value"] > means["local"]
    return [
        _finding(
            "warning",
            "worse than local",
            f"its mean {row.value:.3f} is worse than that of training alone, {row.local:.3f}",
            row.dataset,
            row.method,
            value=row.value,
        )
        for row in means[worse].itertuples()
    ]


def reference_rows(runs: Iterable[Mapping[str, Any]], unused: Iterable[Sequence[str]]) -> list[Finding]:
    """Rows that were not trained here, and rows that were although the reference was asked for.

    Args:
        runs: The content of every run's `run.json`.
        unused: Dataset, method and why its kept row was not used.

    Returns:
        A note for each.
    """
    taken = {
        (run["federation"], run["method"]["name"]): f"measured at {run['commit'][:12]} on {run['device']}, not here"
        for run in runs
        if run["origin"] == "reference"
    }
    return [
        *(_finding("note", "reference row", message, *row) for row, message in taken.items()),
        *(_finding("note", "not used", f"trained here: {why}", dataset, method) for dataset, method, why in unused),
    ]


def checks(
    metrics: pd.DataFrame,
    runs: Sequence[Mapping[str, Any]],
    choices: Sequence[Mapping[str, Any]],
    manifests: Mapping[str, Mapping[str, Any]],
    unused: Iterable[Sequence[str]] = (),
) -> pd.DataFrame:
    """All checks.

    Args:
        metrics: The tidy table of test metrics.
        runs: The content of every run's `run.json`.
        choices: The selections.
        manifests: The datasets' manifests, by dataset.
        unused: Kept rows that were not used: dataset, method, why.

    Returns:
        One row per finding, errors first.
    """
    cells = expected_cells(metrics, runs)
    findings = [
        *missing_cells(cells),
        *missing_clients(manifests),
        *selection(choices),
        *below_chance(cells, metrics),
        *worse_than_local(cells, higher_is_better=runs[0]["task"]["higher_is_better"]),
        *reference_rows(runs, unused),
    ]
    table = pd.DataFrame(findings, columns=COLUMNS)
    return table.sort_values("severity", key=lambda s: s.map(SEVERITIES.index), kind="stable", ignore_index=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job; see the module's text for its arguments."""
    parser = argparse.ArgumentParser(prog="checks", description="Quality checks of the results.")
    parser.add_argument("--clients", type=Path, required=True, help="the table of test metrics, Parquet")
    parser.add_argument("--selected", type=Path, nargs="+", required=True, help="selections, JSON")
    parser.add_argument("--runs", type=Path, nargs="+", required=True, help="folders of runs, or files in them")
    parser.add_argument("--manifests", nargs="+", required=True, help="the datasets' manifests: [NAME=]FILE")
    parser.add_argument("--unused", type=json.loads, default=[], help="kept rows that were not used, and why, JSON")
    parser.add_argument("--output", type=Path, required=True, help="the findings, CSV")
    arguments = parser.parse_args(argv)
    try:
        table = checks(
            pd.read_parquet(arguments.clients),
            [read_run(path) for path in arguments.runs],
            [read_json(path) for path in arguments.selected],
            read_manifests(arguments.manifests),
            arguments.unused,
        )
        write_text(arguments.output, table.to_csv(index=False))
    except (OSError, ValueError) as error:
        print(f"checks: {error}", file=sys.stderr)
        return 1
    return 0


def _finding(
    severity: str,
    check: str,
    message: str,
    dataset: Any = "",
    method: Any = "",
    client: Any = "",
    value: Any = None,
) -> Finding:
    return dict(zip(COLUMNS, (severity, check, dataset, method, client, value, message), strict=True))


if __name__ == "__main__":
    sys.exit(main())
