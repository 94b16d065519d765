"""Which rows were not trained here, and which are of methods that were tested before: what tables say of them."""

from collections.abc import Mapping
from typing import Any

from benchmark.reporting.inputs import Results

MARK = "‡"


def mark(results: Results, method: str, federation: str | None = None) -> str:
    """The mark of a row whose results are from the reference, on one federation or on any; "" for others."""
    return MARK if any(run["method"]["name"] == method for run in _taken(results, federation)) else ""


def origin_notes(results: Results, federation: str | None = None) -> list[str]:
    """What to know of the marked rows: a line, or none where no row is marked."""
    taken = _taken(results, federation)
    if not taken:
        return []
    commits = ", ".join(sorted({run["commit"][:12] for run in taken}))
    devices = "; ".join(sorted({run["device"] for run in taken}))
    return [f"{MARK} Not trained here, but taken from the reference: commit {commits}, measured on {devices}."]


def look_notes(results: Results) -> list[str]:
    """Which methods were changed after test scores of theirs had been seen: a line, or none where none was."""
    most = dict.fromkeys(results.order, 1)
    for (_, method), number in results.looks.items():
        most[method] = max(most[method], number)
    again = [f"{results.methods[name].title} {number}" for name, number in most.items() if number > 1]
    if not again:
        return []
    return [
        "Versions (code or settings) whose test scores have been seen here: "
        f"{', '.join(again)}; one of every other method. Who chooses among versions by test scores overstates them: "
        "`snakemake develop` compares on validation images."
    ]


def _taken(results: Results, federation: str | None) -> list[Mapping[str, Any]]:
    of = results.federations if federation is None else results.comparison.draws(federation)
    return [run for run in results.runs if run["origin"] == "reference" and run["federation"] in of]
