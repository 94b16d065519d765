"""What every report is made of: the results of one configuration, read once.

All jobs of this package that report on results take the same four arguments (RESULTS in their texts):

    --clients FILE --selected FILE [FILE ...] --runs RUN [RUN ...] --manifests [NAME=]FILE ...

`--clients` is the table of test metrics, `--selected` the selections, `--manifests` the datasets' manifests
(NAME is the federation's name, where that is not its dataset's). RUN is the folder of a run or any file in
it: give all runs, of all rates, since the runs say which cells there should be. Three more may be given:

    --confusion FILE --overlap FILE [FILE ...] --statistics FILE [FILE ...]

the table of confusions; the overlaps of adapters, whose paths end in `{dataset}/{method}.csv`; and the files that
`benchmark.evaluation.statistics` reads, without which there are no intervals.
"""

import argparse
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from benchmark.evaluation import collect, overlap
from benchmark.evaluation.collect import read_manifests
from benchmark.evaluation.ranks import client_ranks, expected_cells, overall_ranks
from benchmark.evaluation.select import read_run
from benchmark.evaluation.statistics import Statistics, read
from benchmark.files import read_json

_OVERLAP = ["dataset", "method", *overlap.COLUMNS]


@dataclass(frozen=True)
class Method:
    """What a table says about a method: its name, title and paper, and whether it is a control."""

    name: str
    title: str
    paper: str
    control: bool


@dataclass(frozen=True)
class Results:
    """The results of one configuration.

    Attributes:
        metrics: The tidy table of test metrics: dataset, method, seed, client, metric, value, n.
        runs: The content of every run's `run.json`, with its folder.
        selected: The selections, by (dataset, method).
        manifests: The datasets' manifests, by dataset, in the order in which they are shown.
        confusion: What test images were taken for: dataset, method, seed, client, label, predicted, n.
        overlap: The overlap of adapters: dataset, method, seed, client, layer, measure, value, random.
        statistics: Intervals, comparisons, tests and stability.
    """

    metrics: pd.DataFrame
    runs: Sequence[Mapping[str, Any]]
    selected: Mapping[tuple[str, str], Mapping[str, Any]]
    manifests: Mapping[str, Mapping[str, Any]]
    confusion: pd.DataFrame = field(default_factory=lambda: _table(collect.CONFUSION))
    overlap: pd.DataFrame = field(default_factory=lambda: _table(_OVERLAP))
    statistics: Statistics = field(default_factory=Statistics)

    @cached_property
    def datasets(self) -> list[str]:
        """The datasets that there are runs of, in the order of the manifests."""
        trained = {run["federation"] for run in self.runs}
        return [dataset for dataset in self.manifests if dataset in trained]

    @cached_property
    def methods(self) -> dict[str, Method]:
        """The methods that there are runs of, by name."""
        found = (run["method"] for run in self.runs)
        return {m["name"]: Method(m["name"], m["title"], m["paper"], m["control"]) for m in found}

    @cached_property
    def controls(self) -> list[str]:
        """The names of the methods that are shown but not ranked."""
        return sorted(method.name for method in self.methods.values() if method.control)

    @cached_property
    def seeds(self) -> list[int]:
        """All seeds."""
        return sorted({run["seed"] for run in self.runs})

    @cached_property
    def score(self) -> str:
        """The score's name as people read it: `balanced accuracy`."""
        return str(self.runs[0]["task"]["score"]).replace("_", " ")

    @cached_property
    def higher_is_better(self) -> bool:
        """The score's direction."""
        return bool(self.runs[0]["task"]["higher_is_better"])

    @property
    def best(self) -> Literal["max", "min"]:
        """Whether the largest or the smallest score is the best."""
        return "max" if self.higher_is_better else "min"

    @cached_property
    def cells(self) -> pd.DataFrame:
        """Every expected test score: dataset, method, seed, client, value, missing."""
        return expected_cells(self.metrics, self.runs)

    @cached_property
    def ranks(self) -> pd.DataFrame:
        """The ranked methods' ranks, one row per (dataset, client)."""
        return client_ranks(self.cells, self.controls, higher_is_better=self.higher_is_better)

    @cached_property
    def order(self) -> list[str]:
        """The methods in the leaderboard's order, controls last."""
        ranks = overall_ranks(self.ranks).sort_values(kind="stable")
        return [*(str(name) for name in ranks.index), *self.controls]

    def cells_of(self, dataset: str, method: str, client: str | None = None) -> pd.DataFrame:
        """The expected cells of one method on one dataset, or on one of its clients."""
        cells = self.cells[(self.cells["dataset"] == dataset) & (self.cells["method"] == method)]
        return cells if client is None else cells[cells["client"] == client]

    def title(self, dataset: str) -> str:
        """The dataset's title, and the federation's own name where it has one."""
        manifest = self.manifests[dataset]
        return str(manifest["title"]) + (f" ({dataset})" if dataset != manifest["dataset"] else "")

    def sites(self, dataset: str) -> dict[str, str]:
        """What a table calls each client of a dataset: its id and the name of its site."""
        runs = [run for run in self.runs if run["federation"] == dataset]
        trained = dict.fromkeys(str(client) for run in runs for client in run["clients"])
        names = {client: str(self.manifests[dataset]["clients"][client]["name"]) for client in trained}
        return {c: name if name in ("", c) else f"{c} {name}" for c, name in names.items()}

    def rate(self, dataset: str, method: str) -> str:
        """The chosen rate, with a dagger at the edge of the grid; `missing` where none was chosen."""
        choice = self.selected.get((dataset, method))
        return "missing" if choice is None else choice["rate"] + ("†" if choice["at_grid_edge"] else "")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Give a job the arguments that name the results."""
    parser.add_argument("--clients", type=Path, required=True, help="the table of test metrics, Parquet")
    parser.add_argument("--selected", type=Path, nargs="+", required=True, help="selections, JSON")
    parser.add_argument("--runs", type=Path, nargs="+", required=True, help="folders of runs, or files in them")
    parser.add_argument("--manifests", nargs="+", required=True, help="the datasets' manifests: [NAME=]FILE")
    parser.add_argument("--confusion", type=Path, help="the table of confusions, Parquet")
    parser.add_argument("--overlap", type=Path, nargs="*", default=[], help="overlaps of adapters, CSV")
    parser.add_argument(
        "--statistics", type=Path, nargs="*", default=[], help="intervals, comparisons, tests, stability"
    )


def load(arguments: argparse.Namespace) -> Results:
    """Read the results that a job's arguments name; `check` says what is refused.

    Args:
        arguments: As `add_arguments` defines them.

    Returns:
        The results.
    """
    runs = [read_run(path) for path in arguments.runs]
    manifests = read_manifests(arguments.manifests)
    check(runs, manifests)
    trained = {(run["federation"], run["method"]["name"]) for run in runs}
    choices = {(c["dataset"], c["method"]): c for c in map(read_json, arguments.selected)}
    return Results(
        metrics=pd.read_parquet(arguments.clients),
        runs=runs,
        selected={key: choice for key, choice in choices.items() if key in trained},
        manifests=manifests,
        confusion=pd.read_parquet(arguments.confusion) if arguments.confusion else _table(collect.CONFUSION),
        overlap=_overlaps(arguments.overlap),
        statistics=read(arguments.statistics),
    )


def check(runs: Iterable[Mapping[str, Any]], manifests: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse runs that cannot stand in one report.

    Args:
        runs: The content of every run's `run.json`.
        manifests: The manifests, by dataset.

    Raises:
        ValueError: The runs are of different tasks, or a run's dataset or client is in no manifest.
    """
    tasks = {(run["task"]["name"], run["task"]["score"]) for run in runs}
    if len(tasks) > 1:
        raise ValueError(f"runs of different tasks ({sorted(tasks)}): report on one task at a time")
    for run in runs:
        dataset = run["federation"]
        if dataset not in manifests:
            raise ValueError(f"there are runs of {dataset!r}, but manifests only of {sorted(manifests)}")
        unknown = {str(client) for client in run["clients"]} - set(manifests[dataset]["clients"])
        if unknown:
            raise ValueError(f"{dataset}: the manifest has no clients {sorted(unknown)}; pack the data again")


def _table(columns: list[str]) -> pd.DataFrame:
    """A table without rows."""
    return pd.DataFrame(columns=pd.Index(columns))


def _overlaps(paths: Iterable[Path]) -> pd.DataFrame:
    """The overlaps of all methods on all datasets; most methods have none."""
    tables = {path: pd.read_csv(path, dtype={"client": str, "layer": str, "measure": str}) for path in paths}
    parts = [table.assign(dataset=p.parent.name, method=p.stem) for p, table in tables.items() if len(table)]
    return pd.concat(parts, ignore_index=True)[_OVERLAP] if parts else _table(_OVERLAP)
