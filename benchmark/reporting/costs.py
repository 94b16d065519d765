"""What every method trains on a federation, how far that moved, and what it costs."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from benchmark.disk import readable
from benchmark.reporting.grid import Cell, Column, Grid
from benchmark.reporting.inputs import Results
from benchmark.reporting.leaderboard import human_seconds

_ERROR = (
    " Aggregation error: what the average of adapters loses of the mean of the clients' products, relative to it, in"
    " the mean over rounds."
)


def grid(results: Results, federation: str) -> Grid:
    """The table of costs, in the leaderboard's order, controls below; where a method's runs differ, the largest."""
    of = {name: results.runs_of(federation, name) for name in results.order}
    measured = sorted({name for runs in of.values() for run in runs for name in run.get("exchange", {})})
    rows = {name: _row(results, own, measured) for name, own in of.items() if own}
    devices = " and ".join(sorted({run["device"] for runs in of.values() for run in runs}))
    columns = [
        Column("Method", number=False),
        Column("Head", number=False),
        Column("Trained parameters"),
        Column("A moved"),
        Column("Update"),
        *(Column(name.replace("_", " ").capitalize()) for name in measured),
        Column("Passes per round"),
        Column("Up per round"),
        Column("Down per round"),
        Column("Up in total"),
        Column("Down in total"),
        Column("Time per run"),
        Column("Time of all runs"),
        Column("Peak memory"),
    ]
    caption = (
        f"What one client trains, sends (up) and receives (down), on {results.title(federation)}. Head: averaged"
        " (shared) or the client's own (personal); §: the method says so itself. A moved: how far training took"
        " LoRA's matrix A from its start, relative to that start (of the global, then of the personal adapter). Update:"
        " how far adapters and training changed the network's weights, relative to these. Both are of the chosen rate."
        f"{_ERROR if 'aggregation_error' in measured else ''}"
        " Passes per round: over the client's images; methods may differ in it. In total: over all"
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
    """Bytes that one client sends, and bytes that it receives, over a whole run."""
    return int(run["costs"]["bytes_up_total"]), int(run["costs"]["bytes_down_total"])


def _row(results: Results, runs: list[Mapping[str, Any]], measured: Sequence[str]) -> list[Cell]:
    """One method's costs, and what it measures by these names."""
    costs, totals = [run["costs"] for run in runs], [bytes_of_training(run) for run in runs]
    parameters = max(cost["trainable_parameters"] for cost in costs)
    sizes = [
        max(cost["bytes_up"] for cost in costs),
        max(cost["bytes_down"] for cost in costs),
        max(up for up, _ in totals),
        max(down for _, down in totals),
    ]
    passes = max(run["costs"].get("image_passes", run["rounds"]) / run["rounds"] for run in runs)
    seconds = sum(cost["seconds"] for cost in costs)
    memory = max(cost["peak_memory_bytes"] for cost in costs)
    return [
        Cell(results.methods[runs[0]["method"]["name"]].title),
        Cell(_head(runs[0])),
        Cell(f"{parameters:,}", parameters),
        *_moved(results, runs),
        *(_measured(results, runs, name) for name in measured),
        Cell(f"{passes:.3g}", passes),
        *(Cell(readable(size), size) for size in sizes),
        Cell(human_seconds(seconds / len(runs)), seconds / len(runs)),
        Cell(human_seconds(seconds), seconds),
        Cell(readable(memory), memory),
    ]


def _head(run: Mapping[str, Any]) -> str:
    """The policy for the head, with § where the method says so itself."""
    head = run.get("head")
    return "unknown" if head is None else f"{head['policy']}{'§' if head['fixed'] else ''}"


def _chosen(results: Results, runs: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The runs of one method with the chosen rate."""
    rate = results.selected[runs[0]["federation"], runs[0]["method"]["name"]]["rate"]
    return [run for run in runs if run["rate"] == rate]


def _measured(results: Results, runs: list[Mapping[str, Any]], name: str) -> Cell:
    """What a method measures in every round, at the chosen rate: the mean over seeds; a dash where it does not."""
    found = [run["exchange"][name] for run in _chosen(results, runs) if name in run.get("exchange", {})]
    mean = _mean(found)
    return Cell("diverged" if mean is None else f"{mean:.3g}", mean) if found else Cell("—")


def _moved(results: Results, runs: list[Mapping[str, Any]]) -> list[Cell]:
    """How far A and weights moved at the chosen rate, as means over seeds; a dash for what there is nothing of."""
    moved = [run["moved"] for run in _chosen(results, runs) if "moved" in run]
    if not moved:
        return [Cell("unknown"), Cell("unknown")]
    A = [_mean([own["A"][part] for own in moved]) for part in moved[0].get("A", {})]
    update = {**moved[0].get("weights", {}), **moved[0].get("update", {})}
    changes = [_mean([{**own.get("weights", {}), **own.get("update", {})}[part] for own in moved]) for part in update]
    return [Cell(" and ".join(map(_share, found)) or "—", found[-1] if found else None) for found in (A, changes)]


def _mean(values: list[float | None]) -> float | None:
    """The mean; None where a lane diverged."""
    found = [value for value in values if value is not None]
    return fmean(found) if found and len(found) == len(values) else None


def _share(value: float | None) -> str:
    """A relative change as people read it."""
    return "diverged" if value is None else f"{value:.1%}" if value >= 1e-3 else f"{value:.1e}"
