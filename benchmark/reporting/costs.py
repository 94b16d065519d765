"""What every method costs on a federation: parameters, bytes, seconds, memory."""

from collections.abc import Mapping
from typing import Any

from benchmark.disk import readable
from benchmark.reporting.grid import Cell, Column, Grid
from benchmark.reporting.inputs import Results
from benchmark.reporting.leaderboard import human_seconds


def grid(results: Results, federation: str) -> Grid:
    """The table of costs, in the leaderboard's order, controls below.

    Args:
        results: The results.
        federation: The federation.

    Returns:
        The table, with its caption. Where runs of a method differ, the largest counts.
    """
    of = {name: results.runs_of(federation, name) for name in results.order}
    rows = {name: _row(results, own) for name, own in of.items() if own}
    devices = " and ".join(sorted({run["device"] for runs in of.values() for run in runs}))
    columns = [
        Column("Method", number=False),
        Column("Trained parameters"),
        Column("Up per round"),
        Column("Down per round"),
        Column("Up in total"),
        Column("Down in total"),
        Column("Time per run"),
        Column("Time of all runs"),
        Column("Peak memory"),
    ]
    caption = (
        f"What one client trains, sends (up) and receives (down), on {results.title(federation)}. In total: over all"
        " rounds of one run. Time per run: the mean over rates and seeds, which train together in one process; its"
        f" peak memory is therefore that of all of them. Measured on {devices}."
    )
    return Grid(
        columns=columns,
        rows=[row for name, row in rows.items() if name not in results.controls],
        controls=[row for name, row in rows.items() if name in results.controls],
        caption=caption,
    )


def bytes_of_training(run: Mapping[str, Any]) -> tuple[int, int]:
    """Bytes that one client sends and receives over a whole run.

    Args:
        run: The content of a `run.json`.

    Returns:
        Bytes sent and bytes received.
    """
    return int(run["costs"]["bytes_up_total"]), int(run["costs"]["bytes_down_total"])


def _row(results: Results, runs: list[Mapping[str, Any]]) -> list[Cell]:
    """One method's costs."""
    costs, totals = [run["costs"] for run in runs], [bytes_of_training(run) for run in runs]
    parameters = max(cost["trainable_parameters"] for cost in costs)
    sizes = [
        max(cost["bytes_up"] for cost in costs),
        max(cost["bytes_down"] for cost in costs),
        max(up for up, _ in totals),
        max(down for _, down in totals),
    ]
    seconds = sum(cost["seconds"] for cost in costs)
    memory = max(cost["peak_memory_bytes"] for cost in costs)
    return [
        Cell(results.methods[runs[0]["method"]["name"]].title),
        Cell(f"{parameters:,}", parameters),
        *(Cell(readable(size), size) for size in sizes),
        Cell(human_seconds(seconds / len(runs)), seconds / len(runs)),
        Cell(human_seconds(seconds), seconds),
        Cell(readable(memory), memory),
    ]
