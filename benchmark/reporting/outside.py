"""Job: the table of hospitals outside the federation, `tables/outside.csv`, `.md` and `.tex`, and what it says.

A row is a **pair**, a method with an adaptation. Below stand the pairs that are not ranked (those of controls, and of
oracles, whose model labels choose), and what methods score where the same clients take part. All numbers are those of
`outside.parquet` (`benchmark.evaluation.families`).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from benchmark.comparison import NONE
from benchmark.evaluation.statistics import ALL, MEAN
from benchmark.files import write_text
from benchmark.job import GivenPath, run
from benchmark.reporting.grid import Cell, Column, Grid, latex, markdown, measured
from benchmark.reporting.inputs import Difference, Results, load
from benchmark.reporting.measure import Measure
from benchmark.reporting.tables import PLACES, intervals, placed

Pair = tuple[str, str]
"""A method and an adaptation."""
_TESTED = {
    "transductive": "Adaptations see all images of a client, without labels, and all of these are tested",
    "split": "Adaptations see a client's training and validation images, without labels; its test images are tested",
}


@dataclass(frozen=True)
class Outside:
    """What is known of the outside clients of one family.

    Attributes:
        results: The results.
        name: The family.
        table: Its rows of `outside.parquet`.
    """

    results: Results
    name: str
    table: pd.DataFrame

    @property
    def title(self) -> str:
        """What a table calls it."""
        return self.results.title(self.name)

    @cached_property
    def clients(self) -> dict[str, str]:
        """What a table calls each client."""
        held = [self.results.manifests[own]["outside"] for own in self.results.comparison.families[self.name]]
        names = {client: str(about["name"]) for own in held for client, about in own.items()}
        there = map(str, self.table.loc[self.table["quantity"] == "score", "client"].unique())
        return {c: c if names.get(c, "") in ("", c) else f"{c} {names[c]}" for c in there}

    @cached_property
    def adaptations(self) -> dict[str, str]:
        """What a table calls each adaptation."""
        rows = self.table[self.table["adaptation"] != ""].drop_duplicates("adaptation")
        return dict(zip(rows["adaptation"], rows["title"], strict=True))

    @cached_property
    def oracles(self) -> list[str]:
        """The adaptations whose model labels choose."""
        return list(self._over_clients("best")["adaptation"].unique())

    @cached_property
    def ranked(self) -> list[Pair]:
        """The ranked pairs, the best first."""
        return _pairs(self._over_clients("average_rank").sort_values("value", kind="stable"))

    @cached_property
    def unranked(self) -> list[Pair]:
        """The other pairs: those of controls, then those of oracles."""
        means = self._over_clients("mean")
        found = [*_pairs(means[~means["adaptation"].isin(self.oracles)]), *_pairs(self._over_clients("best"))]
        return [pair for pair in found if pair not in self.ranked]

    def score(self, pair: Pair, client: str = MEAN) -> Measure:
        """A pair's score on a client, or the mean over clients; of an oracle that of the best model."""
        return self.number(self._scored(pair, client), pair, client)

    def less_none(self, pair: Pair, client: str = MEAN) -> Measure:
        """The same less that of `none` with the same method; missing for `none` itself."""
        found = self.difference(self._scored(pair, client), pair, client)
        return (
            Measure(math.nan, missing=True) if found is None else Measure(found.value, low=found.low, high=found.high)
        )

    def model(self, pair: Pair, client: str) -> str:
        """Which model of an oracle is the best on a client; empty for other pairs."""
        row = self._rows.get((self._scored(pair, client), client, *pair))
        return "" if row is None else str(row.model)

    def number(self, quantity: str, pair: Pair, client: str = MEAN) -> Measure:
        """A quantity of a pair with its interval; missing where it is not known."""
        row = self._rows.get((quantity, client, *pair))
        return Measure(math.nan, missing=True) if row is None else Measure(row.value, low=row.low, high=row.high)

    def difference(self, quantity: str, pair: Pair, client: str = MEAN) -> Difference | None:
        """A quantity of a pair less that of `none`; None where there is no such difference."""
        row = self._rows.get((quantity, client, *pair))
        if row is None or pair[1] == NONE or math.isnan(row.difference):
            return None
        higher = self.results.task(self.name).higher_is_better
        return Difference(row.difference, row.difference_low, row.difference_high, higher, bool(row.apart))

    def _scored(self, pair: Pair, client: str) -> str:
        return "best" if pair[1] in self.oracles else "mean" if client == MEAN else "score"

    def _over_clients(self, quantity: str) -> pd.DataFrame:
        return self.table[(self.table["quantity"] == quantity) & (self.table["client"] == MEAN)]

    @cached_property
    def _rows(self) -> dict[tuple[Any, ...], Any]:
        # An oracle's models, one by one, stand in no table.
        single = self.table[(self.table["model"] == "") | ~self.table["quantity"].isin(["score", "mean"])]
        keys = single[["quantity", "client", "method", "adaptation"]].itertuples(index=False, name=None)
        return dict(zip(keys, single.itertuples(), strict=True))


def families(results: Results) -> list[Outside]:
    """All families; none where nobody stands outside."""
    return [Outside(results, str(name), own) for name, own in results.outside.groupby("family", sort=False)]


def frame(outside: Outside) -> pd.DataFrame:
    """The table as numbers with all their digits, for the CSV file.

    Args:
        outside: The clients outside.

    Returns:
        One row per pair; `mean` stands for all clients. Where there is no number stands `missing` or `diverged`.
    """
    rows = []
    for pair in (*outside.ranked, *outside.unranked):
        row: dict[str, Any] = {"family": outside.name, "method": pair[0], "adaptation": pair[1]}
        row |= {"ranked": pair in outside.ranked, "oracle": pair[1] in outside.oracles}
        measures: dict[str, Measure] = {}
        for client in (*outside.clients, MEAN):
            row[f"model {client}"] = outside.model(pair, client) or None
            measures[f"outside {client}"] = outside.score(pair, client)
            measures[f"less none {client}"] = outside.less_none(pair, client)
            measures[f"inside {client}"] = outside.number("inside", (pair[0], ""), client)
            measures[f"published {client}"] = outside.number("published", pair, client)
            measures[f"published inside {client}"] = outside.number("published", (pair[0], ""), client)
        measures |= {name: outside.number(name, pair) for name in ("average_rank", "place", "entropy", "one_class")}
        for name, measure in measures.items():
            row |= measure.columns(name, empty=measure.missing)
        rows.append(row)
    return pd.DataFrame(rows).dropna(axis="columns", how="all")


def grid(outside: Outside) -> Grid:
    """The table as people read it.

    Args:
        outside: The clients outside.

    Returns:
        The table, with its caption.
    """
    results, best = outside.results, outside.results.best(outside.name)
    published = results.task(outside.name).published_as
    joined = {name: outside.number("inside", (name, "")) for name in results.order}
    inside = any(not measure.missing for measure in joined.values())
    columns = [
        Column("Method · adaptation", number=False),
        Column("Mean outside", best),
        *([Column("Mean inside")] if inside else []),
        Column("Less common model", best),
        *([Column(published, best)] if published else []),
        Column(f"Average rank (of {len(outside.ranked)})", "min"),
        Column("Place may be"),
        *(Column(title, best) for title in outside.clients.values()),
    ]

    def cells(pair: Pair) -> list[Cell]:
        scores = [(measured(outside.score(pair, client)), outside.model(pair, client)) for client in outside.clients]
        place = outside.number("place", pair)
        return [
            Cell(f"{results.methods[pair[0]].title} · {outside.adaptations[pair[1]]}"),
            measured(outside.score(pair)),
            *([measured(joined[pair[0]])] if inside else []),
            _dashed(outside.less_none(pair)),
            *([_dashed(outside.number("published", pair))] if published else []),
            _dashed(outside.number("average_rank", pair), 2),
            placed(place.low, place.high),
            *(Cell(f"{cell.text} {model}".strip(), cell.value) for cell, model in scores),
        ]

    def taking_part(method: str) -> list[Cell]:
        scores = [_dashed(outside.number("inside", (method, ""), client)) for client in outside.clients]
        own = [Cell(f"{results.methods[method].title} · takes part"), Cell("—"), measured(joined[method]), Cell("—")]
        own += [_dashed(outside.number("published", (method, "")))] if published else []
        return [*own, *[Cell("—")] * (len(columns) - len(own) - len(scores)), *scores]

    return Grid(
        columns,
        [cells(pair) for pair in outside.ranked],
        [*map(cells, outside.unranked), *map(taking_part, results.order if inside else ())],
        caption(outside),
    )


def caption(outside: Outside) -> str:
    """What the table shows, and how it was measured."""
    results, name = outside.results, outside.name
    federations = results.comparison.families[name]
    task, left_out = results.task(name), federations != [name]
    oracles = " and ".join(outside.adaptations[one] for one in outside.oracles)
    parts = [
        f"{outside.title}: {results.score(name)} at clients that took no part in training. No rate was chosen on their"
        f" images{', and each of them takes part where another one is left out' if left_out else ''}",
        _TESTED.get(results.comparison.adapting, ""),
        "Less common model: the mean less that of the same method's common model, as it is",
        "Mean inside, and rows of who takes part: the score on the same clients' test images where they take part, the"
        " mean over the federations in which they do"
        if left_out
        else "",
        f"{task.published_as}: as published (arXiv 2204.08467), over images that show some of the foreground, of who"
        " takes part too"
        if task.published_as
        else "",
        f"Average rank: over clients, among the {len(outside.ranked)} pairs of a ranked method and an adaptation, 1"
        " being the best",
        f"{oracles}: on each client the best of several models, which is named; labels choose it, so that it has"
        " neither interval nor rank"
        if oracles
        else "",
        intervals(results, federations),
        PLACES,
    ]
    return " ".join(f"{part}." for part in parts if part)


def verdict(outside: Outside) -> list[str]:
    """What adaptations do: in the mean, all of them compared at once; and at single clients, each looked at alone.

    Args:
        outside: The clients outside.

    Returns:
        Two sentences, or one where nothing can be compared.
    """
    found = {name: outside.difference("effect", (ALL, name)) for name in outside.adaptations}
    effects = {name: effect for name, effect in found.items() if effect is not None}
    if not effects:
        return ["What adaptations do is not known: none can be compared with the common model as it is."]
    sides = {side: [name for name, own in effects.items() if own.apart and own.sign == side] for side in (1, -1)}
    rest = [name for name in effects if name not in (*sides[1], *sides[-1])]

    def named(names: Sequence[str]) -> str:
        return _listed([f"{outside.adaptations[name]} ({_signed(effects[name])})" for name in names])

    told = [
        f"{named(own)} reliably {verb}{'s' if len(own) == 1 else ''}"
        for own, verb in ((sides[1], "help"), (sides[-1], "hurt"))
        if own
    ]
    if rest:
        told.append(f"for {named(rest)} it stays open" if told else f"none reliably helps or hurts: {named(rest)}")
    clients = f"{len(outside.clients)} client{'s' if len(outside.clients) > 1 else ''} outside"
    first = f"Against the common model as it is, in the mean over ranked methods and {clients}, {'; '.join(told)}."
    ranked = [name for name in outside.results.order if name not in outside.results.controls]
    counts = []
    for name in effects:
        pairs = [outside.difference("score", (method, name), client) for method in ranked for client in outside.clients]
        signs = [difference.sign for difference in pairs if difference is not None]
        counts.append(f"{outside.adaptations[name]} {signs.count(1)} and {signs.count(-1)} of {len(signs)}")
    second = (
        "Of single methods at single clients, each looked at alone, so many are reliably better and so many reliably"
        f" worse than with the common model: {'; '.join(counts)}."
    )
    return [first, second]


def main(comparison: GivenPath, csv: Path, md: Path, tex: Path) -> None:
    """Write the table of hospitals outside as CSV, Markdown and LaTeX.

    Args:
        comparison: The comparison, `results/NAME/comparison.json`.
        csv: The table's numbers with all their digits.
        md: The table in Markdown.
        tex: The table in LaTeX.
    """
    found = families(load(comparison, statistics=True))
    grids = {own.name: grid(own) for own in found}
    write_text(csv, pd.concat([frame(own) for own in found]).to_csv(index=False))
    write_text(md, "\n".join(map(markdown, grids.values())))
    write_text(tex, "\n".join(latex(own, f"outside_{name}") for name, own in grids.items()))


def _pairs(rows: pd.DataFrame) -> list[Pair]:
    return list(dict.fromkeys(zip(rows["method"], rows["adaptation"], strict=True)))


def _dashed(measure: Measure, digits: int = 3) -> Cell:
    """A number's cell; a dash where there is nothing to be known."""
    return Cell("—") if measure.missing else measured(measure, digits)


def _signed(difference: Difference) -> str:
    """A difference with its sign and its interval."""
    if not difference.sure:
        return f"{difference.value:+.3f}, without an interval" if difference.value else "the same predictions"
    return f"{difference.value:+.3f}, {difference.low:+.3f} to {difference.high:+.3f}"


def _listed(texts: Sequence[str]) -> str:
    return " and ".join(texts) if len(texts) < 3 else f"{', '.join(texts[:-1])} and {texts[-1]}"


if __name__ == "__main__":
    raise SystemExit(run(main))
