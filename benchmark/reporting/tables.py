"""Job: a federation's table: a row per method, a column per client, then mean and average rank, as in the paper.

Draws of one federation have a table each, and one together, which is of the test samples of all of them.

Published values stand beside ours. One of a single client is a note, no cell: papers number clients in their own ways.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import pandas as pd
import tyro

from benchmark.evaluation.estimate import LEAST_GROUPS
from benchmark.evaluation.statistics import ALL, FEW_GROUPS
from benchmark.files import write_text
from benchmark.job import GivenPath, run
from benchmark.reporting.grid import Cell, Column, Grid, latex, markdown, measured
from benchmark.reporting.inputs import MethodInfo, Results, load
from benchmark.reporting.measure import Measure
from benchmark.reporting.origin import mark, origin_notes
from benchmark.reporting.published import COMMUNICATION, read_published

EDGE_NOTE = "† The chosen rate is the smallest or largest of the grid: a better one may lie outside."
PLACES = (
    "Place may be: which places the differences of average ranks leave open. All pairs of methods are compared at once:"
    " with 95 % confidence, every range is right"
)
GAIN = (
    "Collaborative gain: the mean less that of the same leaves trained by each client alone, at the rate that is best"
    " for it"
)
MISSING_NOTE = "missing: a seed's result is not there; nothing is averaged over the rest."


@dataclass(frozen=True)
class Row:
    """A method's results on a federation.

    Attributes:
        method: The method.
        clients: Its score on each client, by the client's id.
        mean: Its mean over clients, with its interval.
        corrected: Its mean chance-corrected score, with its interval.
        gain: Its mean less that of the same leaves trained alone; None of a control, and where nobody asks.
        rank: Its average rank, with its interval; missing for a control.
        rate: The chosen rate, with a dagger where it is at the edge of the grid; of draws, see `Results.rate`.
        published: Published values as they are printed, by quantity.
    """

    method: MethodInfo
    clients: dict[str, Measure]
    mean: Measure
    corrected: Measure
    gain: Measure | None
    rank: Measure
    rate: str
    published: dict[str, str]


def intervals(results: Results, federations: Iterable[str]) -> str:
    """What stands in brackets; nothing where there are no intervals."""
    if results.statistics.intervals["low"].isna().all():
        return ""
    seeds = " and over seeds" if len(results.seeds) > 1 else "; of one seed, so that how training varies is not in them"
    return (
        f"In brackets: 95 % intervals over other test sets of as many {results.groups(federations)} at these clients"
        f"{seeds}. That of an average rank is of what such test sets would give in the mean"
    )


def place_of(results: Results, method: str, federation: str = ALL) -> Cell:
    """The first and the last place that a method may have: `1 to 4`."""
    return placed(*results.statistics.interval(method, "place", federation))


def placed(low: float, high: float) -> Cell:
    """A first and a last place; a dash where they are not known."""
    if math.isnan(low):
        return Cell("—")
    return Cell(f"{low:.0f} to {high:.0f}" if low < high else f"{low:.0f}", low)


def places_of(results: Results, method: str, federation: str = ALL) -> dict[str, float]:
    """The same as a CSV file holds it."""
    return dict(zip(("place_low", "place_high"), results.statistics.interval(method, "place", federation), strict=True))


def gained(results: Results, method: str, gain: Measure | None, suffix: str = "") -> dict[str, float | str | None]:
    """A method's collaborative gain as a CSV file holds it, and over which row it is; columns end in a suffix."""
    columns = (gain or Measure(math.nan)).columns("gain", suffix=suffix, empty=gain is None)
    return {**columns, f"gain_over{suffix}": results.comparison.alone.get(method)}


def too_few(results: Results, federations: Iterable[str]) -> str:
    """Why average ranks over these federations have no interval, and methods no place; empty where none is too small.

    One sentence: how many groups are needed, and how many the test sets hold that have fewer.
    """
    without = {name: own for name in federations if (own := results.statistics.without_intervals(name))}
    if not without:
        return ""
    fewer = " and ".join(_fewer(results.title(name), list(own.values())) for name, own in without.items())
    return (
        f"An interval, and so a place, needs {LEAST_GROUPS} {results.groups(without)} or more in the test set of every"
        f" client; {fewer}."
    )


def _fewer(title: str, groups: list[int]) -> str:
    """How many clients of a federation have test sets that are too small, and of how many groups these are."""
    least, most = min(groups), max(groups)
    has = f"{len(groups)} clients of {title} have" if len(groups) > 1 else f"1 client of {title} has"
    return f"{has} fewer ({least if least == most else f'{least} to {most}'})"


def rows(results: Results, federation: str, published: pd.DataFrame) -> list[Row]:
    """The table's rows, one per method that there are runs of: ranked ones by average rank, then controls by name."""
    here = published[published["federation"] == federation]
    found = []
    for name in sorted(results.trained(federation)):
        values = here[here["method"] == name].set_index("quantity")["value"]
        found.append(
            Row(
                method=results.methods[name],
                clients={client: results.score_of(federation, name, client) for client in results.sites(federation)},
                mean=results.mean(federation, name),
                corrected=results.mean(federation, name, corrected=True),
                gain=results.gain(federation, name),
                rank=results.rank(name, federation),
                rate=results.rate(federation, name),
                published={str(quantity): str(value) for quantity, value in values.items()},
            )
        )
    return sorted(found, key=lambda row: (row.method.control, row.rank.missing, row.rank.mean, row.method.name))


def frame(results: Results, federation: str, published: pd.DataFrame) -> pd.DataFrame:
    """The table as numbers with all their digits, for the CSV file; `missing` or `diverged` where there is none."""
    sites = results.sites(federation)
    return pd.DataFrame(
        [
            {
                "method": row.method.name,
                "title": row.method.title,
                "control": row.method.control,
                **{f"client {sites[c]}": measure.number() for c, measure in row.clients.items()},
                **{f"client {sites[c]} sd": measure.sd for c, measure in row.clients.items()},
                **{f"client {sites[c]} low": measure.low for c, measure in row.clients.items()},
                **{f"client {sites[c]} high": measure.high for c, measure in row.clients.items()},
                "mean": row.mean.number(),
                "mean_sd": row.mean.sd,
                "mean_low": row.mean.low,
                "mean_high": row.mean.high,
                "mean_published": row.published.get("mean"),
                **row.corrected.columns("corrected_mean", empty=row.corrected.missing),
                **(gained(results, row.method.name, row.gain) if results.comparison.alone else {}),
                **row.rank.columns("average_rank", empty=row.method.control),
                "average_rank_published": row.published.get("average_rank"),
                **places_of(results, row.method.name, federation),
                "rate": row.rate.replace("†", ""),
                "at_grid_edge": "†" in row.rate,
            }
            for row in rows(results, federation, published)
        ]
    )


def grid(results: Results, federation: str, published: pd.DataFrame) -> Grid:
    """The table as people read it."""
    found, best = rows(results, federation, published), results.best(federation)
    ranked = [row for row in found if not row.method.control]
    corrected = federation in set(results.corrected["federation"])
    beside = {q: any(q in row.published for row in found) for q in ("mean", "average_rank")}
    columns = [
        Column("Method", number=False),
        *(Column(site, best) for site in results.sites(federation).values()),
        Column("Mean", best),
        *([Column("published")] if beside["mean"] else []),
        *([Column("Chance-corrected", "max")] if corrected else []),
        *([Column("Collaborative gain", best)] if results.comparison.alone else []),
        Column(f"Average rank (of {len(ranked)})", "min"),
        *([Column("published")] if beside["average_rank"] else []),
        Column("Place may be"),
        Column("Rate"),
    ]

    def cells(row: Row) -> list[Cell]:
        return [
            Cell(row.method.title + mark(results, row.method.name, federation)),
            *(measured(measure) for measure in row.clients.values()),
            measured(row.mean),
            *([Cell(row.published.get("mean", ""))] if beside["mean"] else []),
            *([measured(replace(row.corrected, sd=math.nan))] if corrected else []),
            *([Cell("—") if row.gain is None else measured(row.gain)] if results.comparison.alone else []),
            Cell("—") if row.method.control else measured(row.rank, 2),
            *([Cell(row.published.get("average_rank", ""))] if beside["average_rank"] else []),
            place_of(results, row.method.name, federation),
            Cell(row.rate, None if row.rate == "missing" or "," in row.rate else float(row.rate.rstrip("†"))),
        ]

    return Grid(
        columns=columns,
        rows=[cells(row) for row in ranked],
        controls=[cells(row) for row in found if row.method.control],
        caption=caption(results, federation, len(ranked)),
        notes=_notes(results, federation, found, published),
    )


def caption(results: Results, federation: str, ranked: int) -> str:
    """What the table shows and how it was measured."""
    manifest, seeds = results.manifests[federation], ", ".join(map(str, results.seeds))
    spread = "mean ± standard deviation over seeds" if len(results.seeds) > 1 else "one seed"
    parts = [
        f"{results.title(federation)}: {results.score(federation)} on the {results.images} images of every client",
        str(manifest.get("caption", "")).rstrip("."),
        _together(results, federation) if federation in results.drawn else "",
        f"Protocol: {manifest['protocol']}. {ranked} ranked methods, each at the learning rate with the best"
        f" validation score. Seeds: {seeds} ({spread})",
        f"Average rank: mean over seeds and clients of the rank among the {ranked} ranked methods, 1 being"
        " the best; equal scores share their mean rank",
        "Chance-corrected: the mean over clients of (score - chance) / (best - chance)"
        if federation in set(results.corrected["federation"])
        else "",
        GAIN if results.comparison.alone else "",
        intervals(results, [federation]),
        "" if results.statistics.intervals.empty else PLACES,
    ]
    return " ".join(f"{part}." for part in parts if part)


def main(
    comparison: GivenPath,
    federation: Annotated[str, tyro.conf.Positional],
    published: Path,
    csv: Path,
    md: Path,
    tex: Path,
) -> None:
    """Write a federation's table as CSV, Markdown and LaTeX.

    Args:
        comparison: The comparison, `results/NAME/comparison.json`.
        federation: The federation.
        published: Published values, CSV.
        csv: The table's numbers with all their digits.
        md: The table in Markdown.
        tex: The table in LaTeX.
    """
    results, beside = load(comparison, statistics=True), read_published(published)
    if federation not in results.tabled:
        raise ValueError(f"no runs of federation {federation!r}, only of {results.tabled}")
    numbers, table = frame(results, federation, beside), grid(results, federation, beside)
    typeset = latex(table, federation)
    write_text(csv, numbers.to_csv(index=False))
    write_text(md, markdown(table))
    write_text(tex, typeset)


def _together(results: Results, name: str) -> str:
    """What a score of several draws of a split is."""
    draws = len(results.comparison.draws(name))
    if results.images == "validation":
        return f"A score is the mean over {draws} draws of the split"
    return (
        f"{draws} draws of the split together, each predicted by the model of its draw. What several draws test counts"
        " once for each, and in intervals as one. The rate was chosen on each draw"
    )


def _notes(results: Results, federation: str, found: list[Row], published: pd.DataFrame) -> list[str]:
    """What a reader must know of single cells."""
    notes = []
    if any("†" in row.rate for row in found):
        notes.append(EDGE_NOTE)
    notes += origin_notes(results, federation)
    if any(measure.missing for row in found for measure in row.clients.values()):
        notes.append(MISSING_NOTE)
    groups, statistics = results.groups([federation]), results.statistics
    if without := statistics.without_intervals(federation):
        counted = ", ".join(f"client {client} ({n})" for client, n in without.items())
        notes.append(
            f"Too few {groups} in the test set for an interval ({LEAST_GROUPS} are needed), of means, ranks and places"
            f" too: {counted}."
        )
    if small := statistics.few_groups(federation):
        counted = ", ".join(f"client {client} ({about})" for client, about in small.items())
        notes.append(
            f"Fewer than {FEW_GROUPS} {groups} show one part of the score, so that a single one moves it far:"
            f" {counted}."
        )
    here = published[(published["federation"] == federation) & published["method"].isin(results.methods)]
    here = here[here["quantity"] != COMMUNICATION]
    if len(here):
        notes.append(f"published: {'; '.join(here['source'].unique())}.")
    for value in here[here["quantity"].str.startswith("client:")].itertuples():
        client = str(value.quantity).removeprefix("client:")
        unsure = " (the paper's numbering is not known, so it stands in no cell)" if "?" in client else ""
        notes.append(
            f"published for {results.methods[str(value.method)].title},"
            f" client {client.rstrip('?')}: {value.value}{unsure}."
        )
    return notes


if __name__ == "__main__":
    raise SystemExit(run(main))
