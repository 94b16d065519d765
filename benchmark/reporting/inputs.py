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

from benchmark.comparison import Comparison
from benchmark.evaluation import overlap
from benchmark.evaluation.gathered import KEY
from benchmark.evaluation.ranks import client_ranks, expected_cells, overall_ranks
from benchmark.evaluation.reading import controls_of, read_choices, read_looks, read_metrics, read_runs, read_validation
from benchmark.evaluation.statistics import Statistics, read
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

    @property
    def manifests(self) -> Mapping[str, Mapping[str, Any]]:
        """What each federation holds."""
        return self.comparison.manifests

    @cached_property
    def federations(self) -> list[str]:
        """The federations that there are runs of, in the order in which they are shown."""
        trained = {run["federation"] for run in self.runs}
        return [federation for federation in self.comparison.federations if federation in trained]

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
    def one_score(self) -> bool:
        """Whether all federations have the same score, so that their means can be averaged."""
        return len({(self.task(name).name, self.task(name).score_name) for name in self.federations}) == 1

    def score(self, federation: str) -> str:
        """The name of a federation's score as people read it: `balanced accuracy`."""
        return self.task(federation).score_name.replace("_", " ")

    @property
    def scores(self) -> str:
        """The name of the score; where federations differ in it, each with the federation that it belongs to."""
        names = {name: self.score(name) for name in self.federations}
        if self.one_score:
            return names[self.federations[0]]
        return ", ".join(f"{score} ({name})" for name, score in names.items())

    def best(self, federation: str) -> Literal["max", "min"]:
        """Whether the largest or the smallest score of a federation is the best."""
        return "max" if self.task(federation).higher_is_better else "min"

    @cached_property
    def cells(self) -> pd.DataFrame:
        """Every expected test score: columns `ranks.CELLS`."""
        return expected_cells(self.metrics, self.runs)

    @cached_property
    def corrected(self) -> pd.DataFrame:
        """The expected test scores on the scale on which chance is 0 and the best is 1: columns `ranks.CELLS`.

        Clients for which there is no such scale are left out: chance is not known, or the score has no best.
        """
        chance = self.metrics[self.metrics["metric"] == "chance"].groupby(["federation", "client"])["value"].mean()
        cells = self.cells.join(chance.rename("chance"), on=["federation", "client"])
        bounds = {name: self.task(name).bounds or (math.nan, math.nan) for name in self.federations}
        best = cells["federation"].map({name: bounds[name][self.task(name).higher_is_better] for name in bounds})
        value = (cells["value"] - cells["chance"]) / (best - cells["chance"])
        scaled = cells.assign(value=value, higher_is_better=True)
        return scaled[cells["chance"].notna() & best.notna() & (best != cells["chance"])].drop(columns="chance")

    @property
    def correctable(self) -> bool:
        """Whether chance-corrected scores can be averaged over all federations: each has a client that has them."""
        return set(self.corrected["federation"]) == set(self.federations)

    @cached_property
    def ranks(self) -> pd.DataFrame:
        """The ranked methods' ranks, one row per (federation, client)."""
        return client_ranks(self.cells, self.controls)

    @cached_property
    def order(self) -> list[str]:
        """The methods in the leaderboard's order, controls last."""
        ranks = overall_ranks(self.ranks).sort_values(kind="stable")
        return [*(str(name) for name in ranks.index), *self.controls]

    def runs_of(self, federation: str, method: str, rate: str | None = None) -> list[Mapping[str, Any]]:
        """The runs of a row, or those with one rate."""
        return [
            run
            for run in self.runs
            if (run["federation"], run["method"]["name"]) == (federation, method) and rate in (None, run["rate"])
        ]

    def cells_of(
        self, federation: str, method: str, client: str | None = None, *, corrected: bool = False
    ) -> pd.DataFrame:
        """The expected cells of one method on one federation, or on one client; chance-corrected where asked."""
        table = self.corrected if corrected else self.cells
        cells = table[(table["federation"] == federation) & (table["method"] == method)]
        return cells if client is None else cells[cells["client"] == client]

    def title(self, federation: str) -> str:
        """The dataset's title, and the federation's own name where it has one."""
        manifest = self.manifests[federation]
        return str(manifest["title"]) + (f" ({federation})" if federation != manifest["dataset"] else "")

    def groups(self, federations: Iterable[str]) -> str:
        """What some federations call their groups: `lesions or patients`."""
        return " or ".join(dict.fromkeys(str(self.manifests[name]["group_name"]) for name in federations))

    def sites(self, federation: str) -> dict[str, str]:
        """What a table calls each client of a federation: its id and the name of its site."""
        runs = [run for run in self.runs if run["federation"] == federation]
        trained = dict.fromkeys(str(client) for run in runs for client in run["clients"])
        names = {client: str(self.manifests[federation]["clients"][client]["name"]) for client in trained}
        return {c: name if name in ("", c) else f"{c} {name}" for c, name in names.items()}

    def rate(self, federation: str, method: str) -> str:
        """The chosen rate, with a dagger at the edge of the grid; `missing` where none was chosen."""
        choice = self.selected.get((federation, method))
        return "missing" if choice is None else choice["rate"] + ("†" if choice["at_grid_edge"] else "")


def load(path: Path, *, statistics: bool = False, overlaps: bool = False, validation: bool = False) -> Results:
    """Read results.

    Args:
        path: The comparison, `results/NAME/comparison.json`.
        statistics: Whether to read intervals, comparisons, tests and stability; they are empty otherwise.
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
