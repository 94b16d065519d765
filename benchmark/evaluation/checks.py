"""Quality checks: what a reader should know before believing a table.

    python -m benchmark.evaluation.checks --clients FILE --selected FILE [FILE ...] --runs RUN [RUN ...]
        --manifests [NAME=]FILE ... [--statistics FILE ...] [--reference DIR] [--unused JSON] --output FILE

`--statistics` are the files that `benchmark.evaluation.statistics` reads. DIR holds the committed numbers of the same
configuration; where it is absent, nothing is compared.

The output is a CSV file with the columns severity (error, warning or note), check, dataset, method, client,
value, message; only its header where all is well. A finding never stops a workflow: it is shown above the
leaderboard. What would be said of many methods or clients of a dataset is said once.
"""

import argparse
import json
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from numpy import fmax, fmin, isnan

from benchmark.evaluation.collect import read_manifests
from benchmark.evaluation.ranks import client_ranks, dataset_ranks, expected_cells
from benchmark.evaluation.select import read_run
from benchmark.evaluation.statistics import ALL, Statistics, read
from benchmark.files import read_json, write_text

COLUMNS = ["severity", "check", "dataset", "method", "client", "value", "message"]
SEVERITIES = ["error", "warning", "note"]

MOST = 4
"""Findings of one severity, check and dataset that stand alone; more are gathered into one."""

Finding = dict[str, Any]

# Committed numbers have six decimals.
_ROUNDING = 1e-5
# Settings that differ from run to run, and say nothing of the configuration.
_PER_RUN = frozenset({"federation", "clients", "method", "method_settings"})
# What a gathered finding says, by check.
_SAME = {
    "edge of grid": "the chosen rate is at the edge of the grid, and a better one may lie outside",
    "diverged": "a rate diverged",
    "missing cell": "there is no test result",
    "below chance": "a score is below chance",
    "worse than local": "the mean is worse than that of training alone",
    "drift from reference": "the mean is not the committed one",
    "missing client": "its data was not found, so nothing was trained on it",
    "reference row": "taken from the committed reference, not trained here",
    "not used": "trained here, since its committed row was not made by this code or these settings",
}
# Methods that a message names.
_NAMED = 12


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


def seed_spread(cells: pd.DataFrame, controls: Collection[str], *, higher_is_better: bool) -> list[Finding]:
    """Datasets on which average ranks vary more from seed to seed than neighbours on the leaderboard differ.

    Args:
        cells: The expected test scores: dataset, method, seed, client, value, missing.
        controls: Methods that are not ranked.
        higher_is_better: Direction of the score.

    Returns:
        A warning for each dataset, with the number of such methods; none with a single seed. The value is the largest
        standard deviation over seeds (n - 1 below the line).
    """
    averages = {
        seed: dataset_ranks(client_ranks(own, controls, higher_is_better=higher_is_better))
        for seed, own in cells.groupby("seed")
    }
    findings = []
    for dataset in cells["dataset"].unique() if len(averages) > 1 else []:
        table = pd.DataFrame({seed: ranks.loc[dataset] for seed, ranks in averages.items()}).dropna()
        table = table.loc[table.mean(axis=1).sort_values(kind="stable").index]
        spread = pd.DataFrame({"sd": table.std(axis=1), "gap": table.mean(axis=1).diff(-1).abs()})
        unsure = spread[spread["sd"] > spread["gap"]]
        if len(unsure):
            about = _listed(f"{m} (± {sd:.2f}, ahead by {gap:.2f})" for m, sd, gap in unsure.itertuples())
            message = (
                f"the average ranks of {len(unsure)} of {len(table)} methods vary more over seeds than they are ahead"
                f" of the next: {about}"
            )
            findings.append(_finding("warning", "seed spread", message, dataset, value=float(unsure["sd"].max())))
    return findings


def within_noise(statistics: Statistics, datasets: Iterable[str]) -> list[Finding]:
    """Neighbours on the leaderboard, or in a dataset's table, whose average ranks' intervals overlap.

    Args:
        statistics: The statistics.
        datasets: The datasets; `all` stands for all together.

    Returns:
        A note for each dataset. The value is the number of neighbours that overlap.
    """
    findings = []
    for dataset in datasets:
        table = statistics.intervals
        table = table[(table["dataset"] == dataset) & (table["quantity"] == "average_rank")].dropna(subset="value")
        table = table.sort_values("value", kind="stable")
        low, high, names = table["low"].to_numpy(), table["high"].to_numpy(), list(table["method"])
        overlap = [low[i + 1] <= high[i] and low[i] <= high[i + 1] for i in range(len(names) - 1)]
        if any(overlap):
            clear = [f"{a} before {b}" for a, b, same in zip(names, names[1:], overlap, strict=False) if not same]
            message = (
                f"of the {len(overlap)} neighbours among {len(names)} ranked methods {sum(overlap)} have average ranks"
                f" whose 95 % intervals overlap: their order may be noise; clear: {_listed(clear) or 'none'}"
            )
            findings.append(_finding("note", "within noise", message, dataset, value=sum(overlap)))
    return findings


def few_groups(statistics: Statistics, datasets: Iterable[str]) -> list[Finding]:
    """Clients whose test sets hold so few lesions or patients that their intervals are too narrow.

    Args:
        statistics: The statistics.
        datasets: The datasets.

    Returns:
        A note for each dataset. The value is the smallest number of groups.
    """
    findings = []
    for dataset in datasets:
        few = statistics.few_groups(dataset)
        if few:
            counted = ", ".join(f"{client} ({n})" for client, n in few.items())
            message = f"so few lesions or patients in the test set that intervals are too narrow: clients {counted}"
            findings.append(_finding("note", "few groups", message, dataset, value=min(few.values())))
    return findings


def drift(
    cells: pd.DataFrame, statistics: Statistics, reference: pd.DataFrame, settings_differ: Sequence[str]
) -> list[Finding]:
    """Methods whose mean is not that of the committed numbers of the same configuration.

    Args:
        cells: The expected test scores: dataset, method, seed, client, value, missing.
        statistics: The statistics; a mean is the committed one where this lies in its interval.
        reference: The committed table of test metrics, of the same score: dataset, method, seed, client, value.
        settings_differ: Names of settings that the committed numbers were not made with.

    Returns:
        A warning for each method and dataset; a single note, and no comparison, where settings differ. Methods that the
        committed table does not have on the very same clients are not compared.
    """
    if settings_differ:
        message = f"not compared with the committed numbers, which have other settings: {', '.join(settings_differ)}"
        return [_finding("note", "drift from reference", message)]
    findings = []
    for (dataset, method), own in cells.groupby(["dataset", "method"], sort=False):
        theirs = reference[(reference["dataset"] == dataset) & (reference["method"] == method)]
        if set(theirs["client"]) != set(own["client"]):
            continue
        mean, committed = own["value"].mean(skipna=False), theirs["value"].mean(skipna=False)
        low, high = statistics.interval(str(method), "mean", str(dataset))
        # `not <=`: NaN, a model that diverged here or there, is a drift. Where there is no interval, rounding counts.
        if not (fmin(low, mean) - _ROUNDING <= committed <= fmax(high, mean) + _ROUNDING):
            interval = "" if isnan(low) else f" ({low:.3f} to {high:.3f})"
            message = f"its mean {mean:.3f}{interval} is not the committed {committed:.3f}"
            findings.append(_finding("warning", "drift from reference", message, dataset, method, value=mean))
    return findings


def gathered(findings: Sequence[Finding]) -> list[Finding]:
    """Findings that say the same of many methods or clients of a dataset, as one.

    Args:
        findings: All findings.

    Returns:
        The findings; of one severity, check and dataset at most `MOST`, or else one that lists them.
    """
    groups: dict[tuple[str, str, str], list[Finding]] = {}
    for finding in findings:
        groups.setdefault((finding["severity"], finding["check"], finding["dataset"]), []).append(finding)
    kept = []
    for (severity, check, dataset), group in groups.items():
        if len(group) <= MOST:
            kept += group
            continue
        methods = list(dict.fromkeys(finding["method"] for finding in group if finding["method"]))
        about = (
            " ".join(part for part in (f["method"], f["client"] and f"on {f['client']}", _short(f["value"])) if part)
            for f in group
        )
        message = f"{_SAME.get(check, 'the same')} ({len(group)} times): {_listed(about)}"
        kept.append(_finding(severity, check, message, dataset, f"{len(methods)} methods" if methods else ""))
    return kept


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
    statistics: Statistics,
    reference: Path | None = None,
    unused: Iterable[Sequence[str]] = (),
) -> pd.DataFrame:
    """All checks.

    Args:
        metrics: The tidy table of test metrics.
        runs: The content of every run's `run.json`.
        choices: The selections.
        manifests: The datasets' manifests, by dataset.
        statistics: Intervals of scores and ranks.
        reference: The folder of this configuration's committed numbers; it need not exist.
        unused: Kept rows that were not used: dataset, method, why.

    Returns:
        One row per finding, errors first.
    """
    cells = expected_cells(metrics, runs)
    higher = bool(runs[0]["task"]["higher_is_better"])
    controls = {run["method"]["name"] for run in runs if run["method"]["control"]}
    datasets = list(cells["dataset"].unique())
    findings = [
        *missing_cells(cells),
        *missing_clients(manifests),
        *selection(choices),
        *below_chance(cells, metrics),
        *worse_than_local(cells, higher_is_better=higher),
        *seed_spread(cells, controls, higher_is_better=higher),
        *within_noise(statistics, [*datasets, ALL] if len(datasets) > 1 else datasets),
        *few_groups(statistics, datasets),
        *reference_rows(runs, unused),
    ]
    if reference is not None and (reference / "clients.csv").exists():
        findings += drift(cells, statistics, *read_reference(reference, runs))
    table = pd.DataFrame(gathered(findings), columns=COLUMNS)
    return table.sort_values("severity", key=lambda s: s.map(SEVERITIES.index), kind="stable", ignore_index=True)


def read_reference(folder: Path, runs: Sequence[Mapping[str, Any]]) -> tuple[pd.DataFrame, list[str]]:
    """The committed numbers of a configuration, and what they were made with that the runs were not.

    Args:
        folder: The folder that `benchmark.reporting.reference` writes.
        runs: The content of every run's `run.json`.

    Returns:
        The committed scores (dataset, method, seed, client, value) and the names of settings that differ.
    """
    table = pd.read_csv(folder / "clients.csv", dtype={"client": str})
    scores = table[table["metric"] == runs[0]["task"]["score"]]
    differ = []
    if (folder / "about.json").exists():
        theirs, own = read_json(folder / "about.json")["settings"], runs[0]["settings"]
        differ += sorted(name for name in {*theirs, *own} - _PER_RUN if theirs.get(name) != own.get(name))
    if set(scores["seed"]) != {run["seed"] for run in runs}:
        differ.append("seeds")
    return scores[["dataset", "method", "seed", "client", "value"]], differ


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job; see the module's text for its arguments."""
    parser = argparse.ArgumentParser(prog="checks", description="Quality checks of the results.")
    parser.add_argument("--clients", type=Path, required=True, help="the table of test metrics, Parquet")
    parser.add_argument("--selected", type=Path, nargs="+", required=True, help="selections, JSON")
    parser.add_argument("--runs", type=Path, nargs="+", required=True, help="folders of runs, or files in them")
    parser.add_argument("--manifests", nargs="+", required=True, help="the datasets' manifests: [NAME=]FILE")
    parser.add_argument("--statistics", type=Path, nargs="*", default=[], help="intervals of scores and ranks")
    parser.add_argument("--reference", type=Path, help="folder of committed numbers of the same configuration")
    parser.add_argument("--unused", type=json.loads, default=[], help="kept rows that were not used, and why, JSON")
    parser.add_argument("--output", type=Path, required=True, help="the findings, CSV")
    arguments = parser.parse_args(argv)
    try:
        table = checks(
            pd.read_parquet(arguments.clients),
            [read_run(path) for path in arguments.runs],
            [read_json(path) for path in arguments.selected],
            read_manifests(arguments.manifests),
            read(arguments.statistics),
            arguments.reference,
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


def _listed(texts: Iterable[str]) -> str:
    """The first of several texts, and how many there are besides."""
    found = list(texts)
    more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    return ", ".join(found[:_NAMED]) + more


def _short(value: float | None) -> str:
    return "" if value is None else f"({value:.3g})"


if __name__ == "__main__":
    sys.exit(main())
