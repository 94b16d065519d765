"""The leaderboard: all datasets in one table, a row per method.

    python -m benchmark.reporting.leaderboard RESULTS --csv FILE --md FILE

RESULTS are the arguments of `benchmark.reporting.inputs`. A dataset counts once, however many clients it has:
the average rank and the mean are means over datasets of means over clients. `hurt` counts the clients on
which a method scores less than the control `local`, training alone, does. `spread` is the difference between a
method's best and worst client of a dataset, averaged over datasets.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import nan
from pathlib import Path

import numpy as np
import pandas as pd

from benchmark.disk import readable
from benchmark.evaluation.merit import DIGITS
from benchmark.evaluation.ranks import overall_ranks
from benchmark.files import write_text
from benchmark.reporting.grid import Cell, Column, Grid, markdown, measured
from benchmark.reporting.inputs import Method, Results, add_arguments, load
from benchmark.reporting.measure import MISSING, Measure, mean_of, over_seeds, rank_of, within
from benchmark.reporting.origin import mark, origin_notes
from benchmark.reporting.tables import EDGE_NOTE, INTERVALS

# Scores that differ by less are equal: means taken in another order differ by rounding alone.
_TOLERANCE = 1e-12


@dataclass(frozen=True)
class Entry:
    """A method on the leaderboard.

    Attributes:
        place: 1 for the best; methods with equal average ranks share a place; None for a control.
        method: The method.
        rank: Its average rank, with its interval; missing for a control.
        mean: Its mean score, with its interval.
        worst: Its score on the client where it is worst.
        worst_client: That client: dataset and id.
        spread: Its best client's score less its worst one's, averaged over datasets.
        hurt: Number of clients on which it scores less than `local`; None for `local` and where there is none.
        compared: Number of clients on which it was compared with `local`.
        rates: The chosen rates, by dataset, with a dagger at the edge of the grid.
        bytes_per_round: Bytes that one client sends and receives per round, by dataset.
        seconds: Seconds of training over all datasets, rates and seeds.
    """

    place: int | None
    method: Method
    rank: Measure
    mean: Measure
    worst: Measure
    worst_client: str
    spread: Measure
    hurt: int | None
    compared: int
    rates: dict[str, str]
    bytes_per_round: dict[str, int]
    seconds: float


def entries(results: Results) -> list[Entry]:
    """The leaderboard's rows: ranked methods by average rank, then controls by name.

    Args:
        results: The results.

    Returns:
        One row per method that there are runs of.
    """
    ranks = overall_ranks(results.ranks)
    places = ranks.round(DIGITS).rank(method="min")
    interval = results.statistics.interval
    clients = {name: _client_scores(results, name) for name in results.methods}
    found = []
    for name, method in results.methods.items():
        rank = within(rank_of(ranks, name), interval(name, "average_rank"))
        mean = mean_of([over_seeds(results.cells_of(dataset, name)) for dataset in results.datasets])
        worst_client, worst = _worst(clients[name], higher_is_better=results.higher_is_better)
        hurt, compared = _hurt(clients, name, higher_is_better=results.higher_is_better)
        runs = [run for run in results.runs if run["method"]["name"] == name]
        found.append(
            Entry(
                place=None if rank.missing else int(places[name]),
                method=method,
                rank=rank,
                mean=within(mean, interval(name, "mean")),
                worst=worst,
                worst_client=worst_client,
                spread=_spread(clients[name], results.datasets),
                hurt=hurt,
                compared=compared,
                rates={dataset: results.rate(dataset, name) for dataset in results.datasets},
                bytes_per_round={
                    run["federation"]: run["costs"]["bytes_up"] + run["costs"]["bytes_down"] for run in runs
                },
                seconds=sum(run["costs"]["seconds"] for run in runs),
            )
        )
    return sorted(found, key=lambda e: (e.method.control, e.rank.missing, e.rank.mean, e.method.name))


def frame(results: Results) -> pd.DataFrame:
    """The leaderboard as numbers with all their digits, for the CSV file.

    Args:
        results: The results.

    Returns:
        One row per method. Where there is no number stands `missing` or `diverged`.
    """
    rows = [
        {
            "place": entry.place,
            "method": entry.method.name,
            "title": entry.method.title,
            "control": entry.method.control,
            "average_rank": None if entry.method.control else entry.rank.number(),
            "average_rank_low": entry.rank.low,
            "average_rank_high": entry.rank.high,
            "mean": entry.mean.number(),
            "mean_low": entry.mean.low,
            "mean_high": entry.mean.high,
            "worst_client": entry.worst.number(),
            "worst_client_is": entry.worst_client,
            "spread_over_clients": entry.spread.number(),
            "clients_hurt": entry.hurt,
            "clients_compared": entry.compared,
            **{f"rate:{dataset}": rate.rstrip("†") for dataset, rate in entry.rates.items()},
            **{f"at_grid_edge:{dataset}": rate.endswith("†") for dataset, rate in entry.rates.items()},
            **{f"bytes_per_round:{d}": entry.bytes_per_round.get(d) for d in results.datasets},
            "seconds": entry.seconds,
        }
        for entry in entries(results)
    ]
    integers = ["place", "clients_hurt", *(f"bytes_per_round:{d}" for d in results.datasets)]
    return pd.DataFrame(rows).astype(dict.fromkeys(integers, "Int64"))


def grid(results: Results) -> Grid:
    """The leaderboard as people read it.

    Args:
        results: The results.

    Returns:
        The table, with its caption and notes.
    """
    found, best = entries(results), results.best
    ranked = [entry for entry in found if not entry.method.control]
    columns = [
        Column("#"),
        Column("Method", number=False),
        Column(f"Average rank (of {len(ranked)})", "min"),
        Column("Mean", best),
        Column("Worst client", best),
        Column("Spread", "min"),
        Column("Clients hurt", "min"),
        *(Column(f"Rate, {dataset}") for dataset in results.datasets),
        Column("Bytes per round"),
        Column("Training time"),
    ]
    seeds = ", ".join(map(str, results.seeds))
    titles = " and ".join(results.title(dataset) for dataset in results.datasets)
    caption = (
        f"{len(ranked)} ranked methods on {titles}: {results.score} on test images; seeds: {seeds}."
        f" Average rank: the mean over datasets of the mean over seeds and clients of the rank among the {len(ranked)}"
        " ranked methods, 1 being the best. Mean: over clients, then datasets."
        f"{f' {INTERVALS}.' if len(results.statistics.intervals) else ''}"
        " Spread: the best client's score less the worst one's within a dataset, then the mean over datasets."
        " Clients hurt: where the method scores less than training alone (`local`). Bytes per"
        " round: sent and received by one client. Training time: all datasets, rates and seeds together."
    )
    edge = any(rate.endswith("†") for entry in found for rate in entry.rates.values())
    return Grid(
        columns=columns,
        rows=[_cells(entry, mark(results, entry.method.name)) for entry in ranked],
        controls=[_cells(entry, mark(results, entry.method.name)) for entry in found if entry.method.control],
        caption=caption,
        notes=[*([EDGE_NOTE] if edge else []), *origin_notes(results)],
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job; see the module's text for its arguments."""
    parser = argparse.ArgumentParser(prog="leaderboard", description="All datasets in one table.")
    add_arguments(parser)
    parser.add_argument("--csv", type=Path, required=True)
    parser.add_argument("--md", type=Path, required=True)
    arguments = parser.parse_args(argv)
    try:
        results = load(arguments)
        write_text(arguments.csv, frame(results).to_csv(index=False))
        write_text(arguments.md, markdown(grid(results)))
    except (OSError, ValueError) as error:
        print(f"leaderboard: {error}", file=sys.stderr)
        return 1
    return 0


def human_seconds(seconds: float) -> str:
    """A duration as people read it: `0.4 s`, `42 s`, `7 min`, `3.1 h`."""
    if seconds < 120:
        return f"{seconds:.1f} s" if seconds < 1 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _cells(entry: Entry, mark: str) -> list[Cell]:
    """An entry as a row of text, with a mark behind its title."""
    control, sizes = entry.method.control, sorted(entry.bytes_per_round.values())
    worst = measured(replace(entry.worst, sd=nan))
    texts = list(dict.fromkeys(readable(size) for size in sizes))
    return [
        Cell("" if entry.place is None else str(entry.place)),
        Cell(f"{entry.method.title}{mark} (`{entry.method.name}`)"),
        Cell("—") if control else measured(entry.rank, 2),
        measured(entry.mean),
        Cell(f"{worst.text} ({entry.worst_client})", worst.value) if entry.worst_client else worst,
        measured(entry.spread),
        Cell("—") if entry.hurt is None else Cell(f"{entry.hurt}/{entry.compared}", entry.hurt),
        *(Cell(rate) for rate in entry.rates.values()),
        Cell(" to ".join([texts[0], texts[-1]] if len(texts) > 1 else texts), sizes[-1]),
        Cell(human_seconds(entry.seconds), entry.seconds),
    ]


def _client_scores(results: Results, method: str) -> dict[str, Measure]:
    """A method's score on every client that it was trained on, by `dataset client`."""
    trained = {run["federation"] for run in results.runs if run["method"]["name"] == method}
    return {
        f"{dataset} {client}": over_seeds(results.cells_of(dataset, method, client))
        for dataset in results.datasets
        if dataset in trained
        for client in results.sites(dataset)
    }


def _worst(scores: dict[str, Measure], *, higher_is_better: bool) -> tuple[str, Measure]:
    """The client with the worst score. One that is missing or diverged decides: it may be the worst."""
    for client, measure in scores.items():
        if measure.reason:
            return (client, measure) if measure.reason != MISSING else ("", measure)
    pick = min if higher_is_better else max
    return pick(scores.items(), key=lambda item: item[1].mean)


def _spread(scores: dict[str, Measure], datasets: Sequence[str]) -> Measure:
    """The best client's score less the worst one's within a dataset, averaged over datasets."""
    spreads = []
    for dataset in datasets:
        own = [measure for client, measure in scores.items() if client.startswith(f"{dataset} ")]
        values = np.array([measure.mean for measure in own] or [nan])
        # NaN where a model diverged: NumPy's extremes keep it.
        spread = float(values.max() - values.min())
        spreads.append(Measure(spread, missing=not own or any(measure.missing for measure in own)))
    return mean_of(spreads)


def _hurt(scores: dict[str, dict[str, Measure]], method: str, *, higher_is_better: bool) -> tuple[int | None, int]:
    """On how many clients a method scores less than `local`, and on how many the two were compared.

    A diverged model is hurt; a missing cell is not compared.
    """
    local = scores.get("local", {})
    compared = {
        client: (measure.mean, local[client].mean)
        for client, measure in scores[method].items()
        if client in local and not measure.missing and not local[client].reason
    }
    if method == "local" or not compared:
        return None, 0
    sign = 1 if higher_is_better else -1
    kept = sum(sign * (own - alone) >= -_TOLERANCE for own, alone in compared.values())
    return len(compared) - kept, len(compared)


if __name__ == "__main__":
    sys.exit(main())
