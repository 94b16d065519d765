"""What every report is made of: the results of one comparison, read once.

All jobs of this package that report on results take one file, `results/NAME/comparison.json`, in whose folder the
results stand.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from benchmark.comparison import NONE, Comparison
from benchmark.evaluation import overlap
from benchmark.evaluation.gathered import KEY
from benchmark.evaluation.ranks import client_ranks, expected_cells, federation_ranks, overall_ranks
from benchmark.evaluation.reading import (
    OUTSIDE_COLUMNS,
    controls_of,
    read_choices,
    read_looks,
    read_metrics,
    read_outside,
    read_runs,
    read_validation,
)
from benchmark.evaluation.statistics import ALL, MEAN, Statistics, read
from benchmark.reporting.measure import Measure, over_seeds, rank_of, within
from benchmark.tasks import task as tasks
from benchmark.tasks.task import Task

_VALIDATION = [*KEY, "round", "client", "value"]
_OVERLAP = ["federation", "method", *overlap.COLUMNS]


@dataclass(frozen=True)
class MethodInfo:
    """What a table says about a method: its name, title and paper, and whether it is a control."""

    name: str
    title: str
    paper: str
    control: bool


@dataclass(frozen=True)
class Difference:
    """One method's value less another's on the same test sets.

    Attributes:
        value: The difference.
        low: The low end of its 95 % interval; NaN where there is none.
        high: The high end.
        higher_is_better: Direction of what is compared.
        apart: Whether it excludes 0 where all pairs of methods are looked at together, and not this one alone.
    """

    value: float
    low: float
    high: float
    higher_is_better: bool
    apart: bool = False

    @property
    def sure(self) -> bool:
        """Whether it has an interval, so that it says something."""
        return not math.isnan(self.low)

    @property
    def sign(self) -> int:
        """1 where the method is reliably better, -1 where it is reliably worse, 0 where the interval holds 0."""
        above, below = self.low > 0, self.high < 0
        return (above - below) * (1 if self.higher_is_better else -1)


@dataclass(frozen=True)
class Results:
    """The results of one comparison.

    Attributes:
        comparison: Which rows there are, and where everything of them stands.
        metrics: The tidy table of test metrics: federation, method, seed, client, metric, value, n.
        runs: The content of every run's `run.json`.
        selected: The selections, by (federation, method).
        overlap: The overlap of adapters: federation, method, seed, client, layer, measure, value, random.
        validation: Every run's validation scores: federation, method, rate, seed, round, client, value.
        statistics: Intervals, comparisons, tests and stability.
        images: Of which images the metrics are, as a caption says it.
        looks: How many versions of a method had been tested when its row was, by (federation, method).
        outside: How hospitals outside are served: columns `OUTSIDE_COLUMNS`.
    """

    comparison: Comparison
    metrics: pd.DataFrame
    runs: Sequence[Mapping[str, Any]]
    selected: Mapping[tuple[str, str], Mapping[str, Any]]
    overlap: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=_OVERLAP))
    validation: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=_VALIDATION))
    statistics: Statistics = field(default_factory=Statistics)
    images: Literal["test", "validation"] = "test"
    looks: Mapping[tuple[str, str], int] = field(default_factory=dict)
    outside: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=OUTSIDE_COLUMNS))

    @cached_property
    def manifests(self) -> Mapping[str, Mapping[str, Any]]:
        """What each federation holds; of a name that draws share, or a family, what the first of them holds."""
        held = self.comparison
        families = {name: held.manifest(own[0]) for name, own in held.families.items()}
        return {**families, **held.manifests, **{name: held.manifest(name) for name in held.draw_of.values()}}

    @cached_property
    def federations(self) -> list[str]:
        """The federations that there are runs of, in the order in which they are shown."""
        trained = {run["federation"] for run in self.runs}
        return [federation for federation in self.comparison.federations if federation in trained]

    @property
    def counted(self) -> list[str]:
        """The names that count as one federation each on the leaderboard: draws of one together."""
        return list(dict.fromkeys(self.comparison.draw_of.get(name, name) for name in self.federations))

    @property
    def drawn(self) -> list[str]:
        """Those of them that are several draws."""
        return [name for name in self.counted if name in self.comparison.draw_of.values()]

    @property
    def tabled(self) -> list[str]:
        """The names that have a table: federations, then those that draws share."""
        return [*self.federations, *self.drawn]

    def trained(self, federation: str) -> set[str]:
        """The methods that there are runs of on a federation, or on a draw of that name."""
        draws = self.comparison.draws(federation)
        return {run["method"]["name"] for run in self.runs if run["federation"] in draws}

    @cached_property
    def methods(self) -> dict[str, MethodInfo]:
        """The methods that there are runs of, by name."""
        found = (run["method"] for run in self.runs)
        return {m["name"]: MethodInfo(m["name"], m["title"], m["paper"], m["control"]) for m in found}

    @cached_property
    def controls(self) -> list[str]:
        """The names of the methods that are shown but not ranked."""
        return sorted(controls_of(self.runs))

    @cached_property
    def seeds(self) -> list[int]:
        """All seeds."""
        return sorted({run["seed"] for run in self.runs})

    def task(self, federation: str) -> Task:
        """What is learned on a federation."""
        return tasks.of(self.manifests[federation])

    def of_task(self, figure: str) -> list[str]:
        """The federations whose task has a figure of that name."""
        return [federation for federation in self.federations if figure in self.task(federation).figures]

    @property
    def pictured(self) -> list[str]:
        """The federations whose hospitals outside have cases that are shown; see `Plan.pictured`."""
        there = NONE in self.comparison.adaptations
        return [name for name in self.of_task("overlays") if there and self.manifests[name]["outside"]]

    @property
    def one_score(self) -> bool:
        """Whether all federations have the same score, so that their means can be averaged."""
        return len({(self.task(name).name, self.task(name).score_name) for name in self.federations}) == 1

    def score(self, federation: str) -> str:
        """The name of a federation's score as people read it: `balanced accuracy`, or what its parts are called."""
        task = self.task(federation)
        if task.parts is not None and task.parts.metric == task.score_name:
            return task.parts.title
        return task.score_name.replace("_", " ")

    @property
    def scores(self) -> str:
        """The name of the score; where federations differ in it, each with the federation that it belongs to."""
        names = {name: self.score(name) for name in self.counted}
        if self.one_score:
            return names[self.counted[0]]
        return ", ".join(f"{score} ({name})" for name, score in names.items())

    def best(self, federation: str) -> Literal["max", "min"]:
        """Whether the largest or the smallest score of a federation is the best."""
        return "max" if self.task(federation).higher_is_better else "min"

    @cached_property
    def cells(self) -> pd.DataFrame:
        """Every expected test score: columns `ranks.CELLS`."""
        return expected_cells(self.metrics, self.runs, self.comparison.draw_of)

    @cached_property
    def corrected(self) -> pd.DataFrame:
        """The expected test scores on the scale on which chance is 0 and a perfect model 1: columns `ranks.CELLS`.

        Clients for which there is no such scale are left out: chance is not known, or the score has no best.
        """
        clients = list(zip(self.cells["federation"], self.cells["client"], strict=True))
        known = [not math.isnan(self.above_chance(*client, 0.0)) for client in clients]
        scores = zip(clients, self.cells["value"], strict=True)
        value = [self.above_chance(*client, score) for client, score in scores]
        return self.cells.assign(value=value, higher_is_better=True)[known]

    @property
    def correctable(self) -> bool:
        """Whether chance-corrected scores can be averaged over all federations: each has a client that has them."""
        return set(self.counted) <= set(self.corrected["federation"])

    @cached_property
    def scores_of(self) -> dict[tuple[str, str, str], Measure]:
        """Every expected score, averaged over seeds: by federation, method and client."""
        return _over_seeds(self.cells)

    @cached_property
    def corrected_scores_of(self) -> dict[tuple[str, str, str], Measure]:
        """The same, corrected for chance; of the clients that can be."""
        return _over_seeds(self.corrected)

    @cached_property
    def chances(self) -> dict[tuple[str, str], float]:
        """What a prediction that looks at no image scores, by federation and client, where that is known."""
        found = self.metrics[self.metrics["metric"] == "chance"]
        rows = found[["federation", "client", "value"]].itertuples(index=False, name=None)
        return {(federation, client): float(value) for federation, client, value in rows}

    def above_chance(self, federation: str, client: str, score: float) -> float:
        """A client's score on the scale on which chance is 0 and a perfect model 1; NaN where these are not known."""
        perfect, chance = self.task(federation).perfect, self.chances.get((federation, client), math.nan)
        return math.nan if perfect is None or perfect == chance else (score - chance) / (perfect - chance)

    def difference(
        self, method: str, other: str, quantity: str, federation: str = ALL, client: str = MEAN
    ) -> Difference | None:
        """How a method compares with another one in an `average_rank`, a `mean`, or a client's `score`, where known."""
        bounds = self._differences.get((federation, client, quantity, method, other))
        if bounds is None:
            return None
        return Difference(*bounds[:3], self.higher(quantity, federation), apart=bool(bounds[3]))

    def gain(self, federation: str, method: str) -> Measure | None:
        """A method's mean less that of the same leaves trained alone, with its interval; None where nobody asks."""
        alone = self.comparison.alone.get(method)
        found = None if alone is None else self.difference(method, alone, "mean", federation)
        if found is None:
            return None if alone is None else Measure(math.nan, missing=True)
        return Measure(found.value, low=found.low, high=found.high)

    def higher(self, quantity: str, federation: str = ALL) -> bool:
        """Whether more is better: never of ranks."""
        scored = self.federations[0] if federation == ALL else federation
        return quantity == "corrected_mean" or (quantity != "average_rank" and self.task(scored).higher_is_better)

    @cached_property
    def _differences(self) -> dict[tuple[str, ...], tuple[float, float, float, bool]]:
        table = self.statistics.comparisons
        keys = (table[name] for name in ("federation", "client", "quantity", "method", "other"))
        numbers = (table[name] for name in ("difference", "low", "high", "apart"))
        return dict(zip(zip(*keys, strict=True), zip(*numbers, strict=True), strict=True))

    @cached_property
    def ranks(self) -> pd.DataFrame:
        """The ranked methods' ranks, one row per (federation, client)."""
        return client_ranks(self.cells, self.controls)

    @cached_property
    def federation_ranks(self) -> pd.DataFrame:
        """The ranked methods' average ranks, one row per federation, and per name that draws share."""
        return federation_ranks(self.ranks)

    @cached_property
    def overall(self) -> "pd.Series[float]":
        """The ranked methods' average ranks over all federations."""
        return overall_ranks(self.ranks, self.comparison.draw_of)

    @cached_property
    def order(self) -> list[str]:
        """The methods in the leaderboard's order, controls last."""
        ranks = self.overall.sort_values(kind="stable")
        return [*(str(name) for name in ranks.index), *self.controls]

    def runs_of(self, federation: str, method: str, rate: str | None = None) -> list[Mapping[str, Any]]:
        """The runs of a row, or those with one rate."""
        return [
            run
            for run in self.runs
            if (run["federation"], run["method"]["name"]) == (federation, method) and rate in (None, run["rate"])
        ]

    def cells_of(self, federation: str, method: str, *, corrected: bool = False) -> pd.DataFrame:
        """The expected cells of one method on one federation; corrected for chance where asked."""
        table = self.corrected if corrected else self.cells
        return self._rows[corrected].get((federation, method), table[:0])

    @cached_property
    def _rows(self) -> dict[bool, dict[tuple[str, str], pd.DataFrame]]:
        return {
            corrected: {(str(f), str(m)): own for (f, m), own in table.groupby(["federation", "method"], sort=False)}
            for corrected, table in ((False, self.cells), (True, self.corrected))
        }

    def score_of(self, federation: str, method: str, client: str) -> Measure:
        """A method's score on one client, averaged over seeds, with its interval; missing where it was not expected."""
        found = self.scores_of.get((federation, method, client), Measure(math.nan, missing=True))
        return within(found, self.statistics.interval(method, "score", federation, client))

    def mean(self, federation: str, method: str, *, corrected: bool = False) -> Measure:
        """A method's mean over a federation's clients, with its interval; corrected for chance where asked."""
        quantity = "corrected_mean" if corrected else "mean"
        found = over_seeds(self.cells_of(federation, method, corrected=corrected))
        return within(found, self.statistics.interval(method, quantity, federation))

    def rank(self, method: str, federation: str = ALL) -> Measure:
        """A method's average rank on a federation, or over `ALL`, with its interval; missing for a control."""
        nothing = pd.Series(dtype=float)
        ranks = self.overall if federation == ALL else self.federation_ranks.T.get(federation, nothing)
        return within(rank_of(ranks, method), self.statistics.interval(method, "average_rank", federation))

    def title(self, federation: str) -> str:
        """The dataset's title, the federation's own name where it has one, and which client it is without."""
        manifest, families = self.manifests[federation], self.comparison.families
        family = next((name for name, own in families.items() if federation in own), federation)
        title = str(manifest["title"]) + (f" ({family})" if family != manifest["dataset"] else "")
        left = ", ".join(self.sites(federation, outside=True).values()) if family != federation else ""
        return f"{title} without {left}" if left else title

    def groups(self, federations: Iterable[str]) -> str:
        """What some federations call their groups: `lesions or patients`."""
        return " or ".join(dict.fromkeys(str(self.manifests[name]["group_name"]) for name in federations))

    def sites(self, federation: str, *, outside: bool = False) -> dict[str, str]:
        """What a table calls each client that takes part, or stands outside: its id and the name of its site."""
        draws = self.comparison.draws(federation)
        runs = [run for run in self.runs if run["federation"] in draws]
        trained = dict.fromkeys(str(client) for run in runs for client in run["clients"])
        held = self.manifests[federation]["outside" if outside else "clients"]
        names = {client: str(held[client]["name"]) for client in (held if outside else trained)}
        return {c: name if name in ("", c) else f"{c} {name}" for c, name in names.items()}

    def rate(self, federation: str, method: str) -> str:
        """The chosen rate, with a dagger at the edge of the grid; `missing` where none was chosen.

        Of draws, what was chosen on each where that is not the same on all: `1e-3, 1e-2†`.
        """
        choices = [self.selected.get((draw, method)) for draw in self.comparison.draws(federation)]
        rates = ["missing" if own is None else own["rate"] + "†" * own["at_grid_edge"] for own in choices]
        return rates[0] if len(set(rates)) == 1 else ", ".join(rates)


def load(path: Path, *, statistics: bool = False, overlaps: bool = False, validation: bool = False) -> Results:
    """Read results.

    Args:
        path: The comparison, `results/NAME/comparison.json`.
        statistics: Whether to read intervals, comparisons, tests, stability, and what is known of hospitals outside;
            they are empty otherwise.
        overlaps: Whether to read the overlap of adapters.
        validation: Whether to read the validation scores.

    Returns:
        The results.

    Raises:
        ValueError: A run has a client that its federation's manifest lacks.
    """
    comparison = Comparison.read(path)
    runs = read_runs(comparison)
    for run in runs:
        known = comparison.manifests[run["federation"]]["clients"]
        if unknown := {str(client) for client in run["clients"]} - set(known):
            row = f"{run['method']['name']} on {run['federation']}"
            raise ValueError(f"{row}: its federation has no clients {sorted(unknown)}; train it again")
    held = Results(comparison, read_metrics(comparison), runs, read_choices(comparison), looks=read_looks(comparison))
    return replace(
        held,
        statistics=read(comparison.folder) if statistics else held.statistics,
        outside=read_outside(comparison) if statistics else held.outside,
        overlap=_overlaps(comparison) if overlaps else held.overlap,
        validation=read_validation(comparison) if validation else held.validation,
    )


def _overlaps(comparison: Comparison) -> pd.DataFrame:
    """The overlaps of all methods on all federations; most methods have none."""
    parts = []
    for federation, method in comparison.rows:
        text = {"client": str, "layer": str, "measure": str}
        table = pd.read_csv(comparison.places.overlap(federation, method), dtype=text)
        if len(table):
            parts.append(table.assign(federation=federation, method=method))
    return pd.concat(parts, ignore_index=True)[_OVERLAP] if parts else pd.DataFrame(columns=_OVERLAP)


def _over_seeds(cells: pd.DataFrame) -> dict[tuple[str, str, str], Measure]:
    """Scores averaged over seeds, by federation, method and client."""
    grouped = cells.groupby(["federation", "method", "client"], sort=False)
    scores, missing = grouped["value"], grouped["missing"].any()
    means, spreads = scores.mean(skipna=False), scores.std(skipna=False)
    numbers = zip(means.index, means, spreads, missing, strict=True)
    return {key: Measure(mean, spread, missing=lost) for key, mean, spread, lost in numbers}
