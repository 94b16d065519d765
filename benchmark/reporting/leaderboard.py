"""Job: the leaderboard: all federations in one table, a row per method.

A federation counts once, however many clients it has, and however many draws of its split there are: the average rank
and the chance-corrected mean are means over federations of means over clients. Every federation has a mean score of its
own: chance levels differ, and scores may.
`hurt` counts the clients on which a method does worse than the control `local`, training alone. The worst client, and
`spread`, the difference between a method's best and worst client of a federation averaged over federations, are of
chance-corrected scores; where these cannot be computed, there are none.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import nan
from pathlib import Path

import numpy as np
import pandas as pd

from benchmark.disk import readable
from benchmark.evaluation.merit import DIGITS
from benchmark.files import write_text
from benchmark.job import GivenPath, run
from benchmark.reporting.grid import Cell, Column, Grid, markdown, measured
from benchmark.reporting.inputs import MethodInfo, Results, load
from benchmark.reporting.measure import MISSING, Measure, mean_of, within
from benchmark.reporting.origin import look_notes, mark, origin_notes
from benchmark.reporting.tables import GAIN, PLACES, gained, intervals, place_of, places_of, too_few

# Scores that differ by less are equal: means taken in another order differ by rounding alone.
_TOLERANCE = 1e-12
_CORRECTED = (
    " Chance-corrected: (score - chance) / (best - chance), the mean over clients, then federations. Worst client"
    " and spread are on the same scale. Spread: the best client less the worst one; it is small too where all are bad."
)


@dataclass(frozen=True)
class Entry:
    """A method on the leaderboard.

    Attributes:
        place: 1 for the best; methods with equal average ranks share a place; None for a control.
        method: The method.
        rank: Its average rank, with its interval; missing for a control.
        means: Its mean scores by federation, with their intervals.
        gains: Its means less those of the same leaves trained alone, by federation; None of a control.
        corrected: Its mean chance-corrected score over all federations, with its interval.
        worst: Its chance-corrected score on the client where it is worst.
        worst_client: That client: federation and id.
        spread: Its best client's chance-corrected score less its worst one's, averaged over federations.
        hurt: Number of clients on which it does worse than `local`; None for `local` and where there is none.
        compared: Number of clients on which it was compared with `local`.
        rates: The chosen rates, by federation, with a dagger at the edge of the grid.
        bytes_per_round: Bytes that one client sends and receives per round, by federation.
        seconds: Seconds of training over all federations, rates and seeds.
    """

    place: int | None
    method: MethodInfo
    rank: Measure
    means: dict[str, Measure]
    gains: dict[str, Measure | None]
    corrected: Measure
    worst: Measure
    worst_client: str
    spread: Measure
    hurt: int | None
    compared: int
    rates: dict[str, str]
    bytes_per_round: dict[str, int]
    seconds: float


def entries(results: Results) -> list[Entry]:
    """The leaderboard's rows, a method that there are runs of each: ranked ones by average rank, controls by name."""
    places = results.overall.round(DIGITS).rank(method="min")
    clients = {name: _client_scores(results, name) for name in results.methods}
    found = []
    for name, method in results.methods.items():
        rank = results.rank(name)
        corrected = mean_of([results.mean(f, name, corrected=True) for f in results.counted])
        scaled = _client_scores(results, name, corrected=True)
        worst_client, worst = _worst(scaled)
        hurt, compared = _hurt(results, clients, name)
        runs = [run for run in results.runs if run["method"]["name"] == name]
        found.append(
            Entry(
                place=None if rank.missing else int(places[name]),
                method=method,
                rank=rank,
                means={f: results.mean(f, name) for f in results.counted},
                gains={f: results.gain(f, name) for f in results.counted if results.comparison.alone},
                corrected=within(corrected, results.statistics.interval(name, "corrected_mean")),
                worst=worst,
                worst_client=worst_client,
                spread=_spread(scaled, results.counted),
                hurt=hurt,
                compared=compared,
                rates={federation: results.rate(federation, name) for federation in results.federations},
                bytes_per_round={
                    run["federation"]: run["costs"]["bytes_up"] + run["costs"]["bytes_down"] for run in runs
                },
                seconds=sum(run["costs"]["seconds"] for run in runs),
            )
        )
    return sorted(found, key=lambda e: (e.method.control, e.rank.missing, e.rank.mean, e.method.name))


def frame(results: Results) -> pd.DataFrame:
    """The leaderboard as numbers with all their digits, for the CSV file; `missing` or `diverged` for none."""
    rows = [
        {
            "place": entry.place,
            "method": entry.method.name,
            "title": entry.method.title,
            "control": entry.method.control,
            **entry.rank.columns("average_rank", empty=entry.method.control),
            **places_of(results, entry.method.name),
            **_joined(mean.columns("mean", suffix=f":{name}") for name, mean in entry.means.items()),
            **_joined(gained(results, entry.method.name, gain, f":{name}") for name, gain in entry.gains.items()),
            **(_corrected(entry) if results.correctable else {}),
            "clients_hurt": entry.hurt,
            "clients_compared": entry.compared,
            **{f"rate:{federation}": rate.rstrip("†") for federation, rate in entry.rates.items()},
            **{f"at_grid_edge:{federation}": rate.endswith("†") for federation, rate in entry.rates.items()},
            **{f"bytes_per_round:{d}": entry.bytes_per_round.get(d) for d in results.federations},
            "seconds": entry.seconds,
        }
        for entry in entries(results)
    ]
    integers = ["place", "clients_hurt", *(f"bytes_per_round:{d}" for d in results.federations)]
    return pd.DataFrame(rows).astype(dict.fromkeys(integers, "Int64"))


def grid(results: Results) -> Grid:
    """The leaderboard as people read it."""
    found = entries(results)
    ranked = [entry for entry in found if not entry.method.control]
    columns = [
        Column("#"),
        Column("Method", number=False),
        Column(f"Average rank (of {len(ranked)})", "min"),
        Column("Place may be"),
        *(Column(f"Mean {results.score(name)}, {name}", results.best(name)) for name in results.counted),
        *(
            Column(f"Collaborative gain, {name}", results.best(name))
            for name in results.counted
            if results.comparison.alone
        ),
        *(
            [Column("Chance-corrected", "max"), Column("Worst client", "max"), Column("Spread")]
            if results.correctable
            else []
        ),
        Column("Clients hurt", "min"),
        Column("Bytes per round"),
        Column("Training time"),
    ]
    seeds, brackets = ", ".join(map(str, results.seeds)), intervals(results, results.counted)
    no_places = _no_places(results)
    titles = " and ".join(results.title(name) for name in results.counted)
    caption = (
        f"{len(ranked)} ranked methods on {titles}: {results.scores} on {results.images} images; seeds: {seeds}."
        f" Average rank: the rank among the {len(ranked)} ranked methods, 1 being the best, averaged over seeds and"
        " clients, then over federations."
        f" Mean: over clients.{f' {GAIN}.' if results.comparison.alone else ''}"
        f"{_CORRECTED if results.correctable else ''}"
        f"{f' {brackets}.' if brackets else ''}{f' {PLACES}.' if brackets and not no_places else ''}"
        " Clients hurt: those whose score is lower than with training alone (`local`), be it by noise. Bytes per"
        " round: sent and received by one client. Training time: all federations, rates and seeds together."
    )
    return Grid(
        columns=columns,
        rows=[_cells(results, entry) for entry in ranked],
        controls=[_cells(results, entry) for entry in found if entry.method.control],
        caption=caption,
        notes=[*no_places, *draw_notes(results), *head_notes(results), *origin_notes(results), *look_notes(results)],
    )


def main(comparison: GivenPath, csv: Path, md: Path) -> None:
    """Write all federations in one table, as CSV and Markdown.

    Args:
        comparison: The comparison, `results/NAME/comparison.json`.
        csv: The table's numbers with all their digits.
        md: The table in Markdown.
    """
    results = load(comparison, statistics=True)
    numbers, table = frame(results), grid(results)
    write_text(csv, numbers.to_csv(index=False))
    write_text(md, markdown(table))


def _no_places(results: Results) -> list[str]:
    """Why no method has a place, where none has one."""
    why = too_few(results, results.counted)
    placed = any(place_of(results, name).value is not None for name in results.methods)
    return [f"Why no place is given: {why[0].lower()}{why[1:]}"] if why and not placed else []


def head_notes(results: Results) -> list[str]:
    """Which rows keep heads to their clients, and which policies a method fixes; none where runs do not say it."""
    heads = {run["method"]["name"]: run["head"] for run in results.runs if "head" in run}
    if not heads:
        return []
    named = {name: f"{results.methods[name].title}{'§' if head['fixed'] else ''}" for name, head in heads.items()}
    of = {policy: [named[n] for n in named if heads[n]["policy"] == policy] for policy in ("personal", "shared")}
    policies = [f"{policy} in {' · '.join(titles)}" for policy, titles in of.items() if titles]
    return [f"Head: {'; '.join(policies)}. § The method says so itself; all others follow the configuration."]


def draw_notes(results: Results) -> list[str]:
    """What is several draws of the split: a line for each."""
    tested = "of the test images of all draws together"
    score = tested if results.images == "test" else "the mean over draws"
    return [
        f"{results.title(name)}: {len(results.comparison.draws(name))} draws of the split, each with models and rates"
        f" of its own, count as one federation; a client's score is {score}."
        for name in results.drawn
    ]


def human_seconds(seconds: float) -> str:
    """A duration as people read it: `0.4 s`, `42 s`, `7 min`, `3.1 h`."""
    if seconds < 120:
        return f"{seconds:.1f} s" if seconds < 1 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _joined(parts: Iterable[dict[str, float | str | None]]) -> dict[str, float | str | None]:
    """The columns of several federations."""
    return {name: value for part in parts for name, value in part.items()}


def _corrected(entry: Entry) -> dict[str, float | str | None]:
    """Chance-corrected numbers as the CSV file holds them."""
    return {
        **entry.corrected.columns("corrected_mean"),
        "worst_client": entry.worst.number(),
        "worst_client_is": entry.worst_client,
        "spread_over_clients": entry.spread.number(),
    }


def _cells(results: Results, entry: Entry) -> list[Cell]:
    """An entry as a row of text."""
    control, sizes = entry.method.control, sorted(entry.bytes_per_round.values())
    worst = measured(replace(entry.worst, sd=nan))
    # Its federation is named where there are several.
    client = entry.worst_client if len(results.counted) > 1 else entry.worst_client.rpartition(" ")[2]
    named = Cell(f"{worst.text} ({client})", worst.value) if client else worst
    texts = list(dict.fromkeys(readable(size) for size in sizes))
    return [
        Cell("" if entry.place is None else str(entry.place)),
        Cell(f"{entry.method.title}{mark(results, entry.method.name)} (`{entry.method.name}`)"),
        Cell("—") if control else measured(entry.rank, 2),
        place_of(results, entry.method.name),
        *map(measured, entry.means.values()),
        *(Cell("—") if gain is None else measured(gain) for gain in entry.gains.values()),
        *([measured(entry.corrected), named, measured(entry.spread)] if results.correctable else []),
        Cell("—") if entry.hurt is None else Cell(f"{entry.hurt}/{entry.compared}", entry.hurt),
        Cell(" to ".join([texts[0], texts[-1]] if len(texts) > 1 else texts), sizes[-1]),
        Cell(human_seconds(entry.seconds), entry.seconds),
    ]


def _client_scores(results: Results, method: str, *, corrected: bool = False) -> dict[tuple[str, str], Measure]:
    """A method's score on every client that it was trained on, by federation and client."""
    runs = (run["federation"] for run in results.runs if run["method"]["name"] == method)
    trained = {results.comparison.draw_of.get(name, name) for name in runs}
    scores = results.corrected_scores_of if corrected else results.scores_of
    return {
        (federation, client): scores.get((federation, method, client), Measure(nan, missing=True))
        for federation in results.counted
        if federation in trained
        for client in results.sites(federation)
        if not corrected or (federation, method, client) in scores
    }


def _worst(scores: dict[tuple[str, str], Measure]) -> tuple[str, Measure]:
    """The client with the lowest score. One that is missing or diverged decides: it may be the worst."""
    for client, measure in scores.items():
        if measure.reason:
            return (" ".join(client), measure) if measure.reason != MISSING else ("", measure)
    if not scores:
        return "", Measure(nan, missing=True)
    client, measure = min(scores.items(), key=lambda item: item[1].mean)
    return " ".join(client), measure


def _spread(scores: dict[tuple[str, str], Measure], federations: Sequence[str]) -> Measure:
    """The best client's score less the worst one's within a federation, averaged over federations."""
    spreads = []
    for federation in federations:
        own = [measure for (name, _), measure in scores.items() if name == federation]
        values = np.array([measure.mean for measure in own] or [nan])
        # NaN where a model diverged: NumPy's extremes keep it.
        spread = float(values.max() - values.min())
        spreads.append(Measure(spread, missing=not own or any(measure.missing for measure in own)))
    return mean_of(spreads)


def _hurt(results: Results, scores: dict[str, dict[tuple[str, str], Measure]], method: str) -> tuple[int | None, int]:
    """On how many clients a method does worse than `local`, and on how many the two were compared.

    A diverged model is hurt; a missing cell is not compared.
    """
    local = scores.get("local", {})
    compared = {
        client: (measure.mean - local[client].mean) * (1 if results.best(client[0]) == "max" else -1)
        for client, measure in scores[method].items()
        if client in local and not measure.missing and not local[client].reason
    }
    if method == "local" or not compared:
        return None, 0
    kept = sum(gain >= -_TOLERANCE for gain in compared.values())
    return len(compared) - kept, len(compared)


if __name__ == "__main__":
    raise SystemExit(run(main))
