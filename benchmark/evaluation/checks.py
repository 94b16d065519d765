"""Job: quality checks: what a reader should know before believing a table.

The output is a CSV file with the columns severity (error, warning or note), check, federation, method, client, value,
message; only its header where all is well. A finding never stops a workflow: it is shown above the leaderboard. What
would be said of many methods or clients of a federation is said once.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from benchmark.comparison import Comparison
from benchmark.evaluation import counts, findings
from benchmark.evaluation.findings import COLUMNS, Finding, finding, listed
from benchmark.evaluation.ranks import expected_cells
from benchmark.evaluation.reading import controls_of, read_choices, read_metrics, read_outside, read_runs
from benchmark.evaluation.statistics import ALL, read
from benchmark.files import read_json, write_text
from benchmark.job import GivenPath, run

SEVERITIES = ["error", "warning", "note"]
MOST = 4
"""Findings of one severity, check and federation that stand alone; more are merged into one."""

# Settings that differ from run to run, and say nothing of the configuration.
_PER_RUN = frozenset({"federation", "clients", "method", "method_settings"})
# What a merged finding says, by check.
_SAME = {
    "edge of grid": "the chosen rate is at the edge of the grid, and a better one may lie outside",
    "diverged": "a rate diverged",
    "missing cell": "there is no test result",
    "coin toss": "validation images do not tell the chosen rate from others",
    "below chance": "a score is below chance",
    "worse than local": "the mean is worse than that of training alone",
    "drift from reference": "scores or the rate are not the committed ones",
    "adapters hardly moved": "what these rows show is their heads: adapters change the weights by very little",
    "worse outside": "at clients outside reliably worse than the common model as it is",
    "one class": "all that is predicted at a client outside is one class",
    "surer and worse": "predictions at a client outside became surer in adapting, and are worse than the common ones",
    "missing client": "its data was not found, so nothing was trained on it",
    "reference row": "taken from the committed reference, not trained here",
    "not used": "trained here, since its committed row was not made by this code or these settings",
}


def found(comparison: Comparison, reference: Path | None = None) -> list[Finding]:
    """All findings of a comparison, as they are made.

    Args:
        comparison: What was compared.
        reference: The folder of this configuration's committed numbers; it need not exist.

    Returns:
        The findings.
    """
    runs, metrics, statistics = read_runs(comparison), read_metrics(comparison), read(comparison.folder)
    all_cells, controls = expected_cells(metrics, runs, comparison.draw_of), controls_of(runs)
    # Of scores, what draws say together is said once.
    cells, federations = all_cells[~all_cells["federation"].isin(comparison.draw_of)], comparison.counted
    groups = {name: comparison.manifest(name)["group_name"] for name in federations}
    made = [
        *findings.missing_cells(all_cells),
        *findings.missing_clients(comparison.manifests),
        *findings.selection(read_choices(comparison).values()),
        *findings.coin_toss(read_choices(comparison).values()),
        *findings.below_chance(cells, metrics),
        *findings.worse_than_local(cells),
        *findings.hardly_moved(runs, read_choices(comparison).values()),
        *findings.same_rows(cells),
        *findings.seed_spread(cells, controls),
        *findings.within_noise(statistics, [*federations, ALL] if len(federations) > 1 else federations),
        *findings.few_groups(statistics, groups),
        *findings.never_predicted(counts.read(comparison, cells), groups),
        *findings.reference_rows(runs, comparison.unused),
        *_outside(comparison, {run["federation"]: run["task"]["higher_is_better"] for run in runs}),
    ]
    if reference is not None and (reference / "clients.csv").exists():
        rates = {row: str(choice["rate"]) for row, choice in read_choices(comparison).items()}
        made += findings.drift(all_cells, rates, *read_reference(reference, runs))
    return made


def _outside(comparison: Comparison, higher_is_better: Mapping[str, bool]) -> Iterator[Finding]:
    """What to know of hospitals outside, given the direction of each federation's score."""
    for name, own in read_outside(comparison).groupby("family", sort=False):
        higher = higher_is_better[comparison.draws(comparison.families[str(name)][0])[0]]
        yield from findings.worse_than_common(own, higher)
        yield from findings.one_class(own)
        yield from findings.surer_and_worse(own, higher)


def merged(made: Sequence[Finding]) -> list[Finding]:
    """Findings that say the same of many methods or clients of a federation, as one.

    Args:
        made: All findings.

    Returns:
        The findings; of one severity, check and federation at most `MOST`, or else one that lists them.
    """
    groups: dict[tuple[str, str, str], list[Finding]] = {}
    for one in made:
        groups.setdefault((one["severity"], one["check"], one["federation"]), []).append(one)
    kept = []
    for (severity, check, federation), group in groups.items():
        if len(group) <= MOST:
            kept += group
            continue
        methods = list(dict.fromkeys(one["method"] for one in group if one["method"]))
        about = (
            " ".join(part for part in (f["method"], f["client"] and f"on {f['client']}", _short(f["value"])) if part)
            for f in group
        )
        message = f"{_SAME.get(check, 'the same')} ({len(group)} times): {listed(about)}"
        kept.append(finding(severity, check, message, federation, f"{len(methods)} methods" if methods else ""))
    return kept


def read_reference(
    folder: Path, runs: Sequence[Mapping[str, Any]]
) -> tuple[pd.DataFrame, dict[tuple[str, str], str], list[str]]:
    """The committed numbers of a configuration, and what they were made with that the runs were not.

    Args:
        folder: The folder that `benchmark.reporting.reference` writes.
        runs: The content of every run's `run.json`.

    Returns:
        The committed scores (federation, method, seed, client, value), the committed rates by federation and method,
        and the names of settings that differ.
    """
    table = pd.read_csv(folder / "clients.csv", dtype={"client": str})
    of = {run["federation"]: run["task"]["score"] for run in runs}
    scores = table[table["metric"] == table["federation"].map(of)]
    differ = []
    if (folder / "about.json").exists():
        theirs, own = read_json(folder / "about.json")["settings"], runs[0]["settings"]
        differ += sorted(name for name in {*theirs, *own} - _PER_RUN if theirs.get(name) != own.get(name))
    if set(scores["seed"]) != {run["seed"] for run in runs}:
        differ.append("seeds")
    rates = {}
    if (folder / "selected.csv").exists():
        chosen = pd.read_csv(folder / "selected.csv", dtype={"rate": str}).query("chosen")
        rates = dict(zip(zip(chosen["federation"], chosen["method"], strict=True), chosen["rate"], strict=True))
    return scores[["federation", "method", "seed", "client", "value"]], rates, differ


def main(comparison: GivenPath, output: Path, reference: Path | None = None) -> None:
    """Look for what a reader should know before believing a table.

    Args:
        comparison: The comparison, `results/NAME/comparison.json`.
        output: The findings, CSV.
        reference: The folder of committed numbers of the same configuration; where it is absent, nothing is compared.
    """
    table = pd.DataFrame(merged(found(Comparison.read(comparison), reference)), columns=COLUMNS)
    table = table.sort_values("severity", key=lambda s: s.map(SEVERITIES.index), kind="stable")
    write_text(output, table.to_csv(index=False))


def _short(value: float | None) -> str:
    return "" if value is None else f"({value:.3g})"


if __name__ == "__main__":
    raise SystemExit(run(main))
