"""Test samples as counts: what every model's prediction of every sample is worth, in numbers that add up.

`counts.parquet` holds them, as `benchmark.counted` says. A score of any resampled test set follows from them
without looking at the samples again.

A score is made of units, as the task says: of groups (what was collected together and is never split: the images of a
lesion or of a patient), or of cases, each of which belongs to one group.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from benchmark.comparison import Comparison
from benchmark.counted import ABOUT
from benchmark.tasks import task as tasks
from benchmark.tasks.task import Floats, Task

FILE = "counts.parquet"
MODEL = "model"
"""A column of files that hold what several models predict of the same samples: which of them it was."""
KEPT = "predictions.parquet"
"""What the task keeps of predictions, in the order of `counts.parquet`: for its metrics, which nothing else needs."""


@dataclass(frozen=True)
class Counts:
    """One client's test set, as all models of its federation predict it.

    Attributes:
        federation: The client's federation.
        client: The client.
        task: What is learned.
        groups: Names of its G groups, sorted.
        unit_groups: The place in `groups` of each of U units, (U,); rising.
        methods: Names of the M methods.
        seeds: The S seeds.
        values: Counts (M, S, U, C, F), as the task's `counts` returns them, added up over the samples of a unit. All
            NaN where a cell is missing.
        missing: Where there are no predictions, (M, S).
    """

    federation: str
    client: str
    task: Task
    groups: list[str]
    unit_groups: npt.NDArray[np.intp]
    methods: list[str]
    seeds: list[int]
    values: Floats
    missing: npt.NDArray[np.bool_]

    @property
    def weights(self) -> Floats:
        """How much each of the G groups holds of each part of the score, (G, P): the same for all models."""
        if not len(self._tested):
            return np.zeros((len(self.groups), 0))
        below = self.task.ratios(self._tested)[1]
        return _added(below, self.unit_groups, len(self.groups))

    @property
    def support(self) -> npt.NDArray[np.int64]:
        """How many of the groups show each of P parts, (P,): of a task whose targets show nothing, have it at all."""
        if not len(self._tested):
            return np.zeros(0, dtype=np.int64)
        found = self.task.appearances(self._tested)
        if found is None:
            return (self.weights > 0).sum(axis=0)
        return (_added(found[0].astype(np.float64), self.unit_groups, len(self.groups)) > 0).sum(axis=0)

    @property
    def chance(self) -> float | None:
        """The score of a prediction that looks at no image; None where unknown."""
        return self.task.chance(self._tested) if len(self._tested) else None

    @property
    def _tested(self) -> Floats:
        """The units' counts (U, C, F) of a model that was tested: what is known of targets is in all of them."""
        known = np.argwhere(~self.missing)
        found: Floats = self.values[tuple(known[0])] if len(known) else np.zeros((0, *self.values.shape[3:]))
        return found


def of_clients(paths: Sequence[Path], task: Task, model: str = "") -> Iterator[tuple[str, pd.DataFrame, Floats]]:
    """What one model's predictions are worth, client by client.

    Args:
        paths: Its `counts.parquet`; where a federation has several draws, those of the models of all draws.
        task: What was learned.
        model: Which one, where files hold several.

    Yields:
        The client, `ABOUT` of its n samples in the order of the file, and their counts, (n, C, F).

    Raises:
        ValueError: The file does not hold what the task counts.
    """
    tables = [pd.read_parquet(path, filters=[(MODEL, "==", model)] if model else None) for path in paths]
    for path, own in zip(paths, tables, strict=True):
        if absent := [name for name in (*ABOUT, "class", *task.counted) if name not in own]:
            raise ValueError(f"{path}: no column {', '.join(absent)}, which {task.name} needs; evaluate again")
    table, named = pd.concat(tables, ignore_index=True), ", ".join(map(str, paths))
    for client, rows in table.groupby("client", sort=False):
        classes = int(rows["class"].max()) + 1
        if len(rows) % classes or (rows["class"].to_numpy().reshape(-1, classes) != np.arange(classes)).any():
            raise ValueError(f"{named}: client {client} has samples that lack one of {classes} classes; evaluate again")
        values = rows[list(task.counted)].to_numpy(np.float64).reshape(-1, classes, len(task.counted))
        yield str(client), rows.loc[rows["class"] == 0, ABOUT].reset_index(drop=True), values


def by_unit(about: pd.DataFrame, values: Floats, task: Task) -> Floats:
    """The counts of a client's n samples (n, C, F), added up over the samples of each unit, (U, C, F)."""
    return added(about[task.unit], values)


def added(names: "pd.Series[str]", values: Floats) -> Floats:
    """The counts of n samples (n, C, F), added up over those of one name, (names, C, F), in the order of names."""
    different, places = np.unique(names.astype(str).to_numpy(dtype=str), return_inverse=True)
    return _added(values, places, len(different))


def read(comparison: Comparison, expected: pd.DataFrame) -> list[Counts]:
    """The counts of every federation and client, in the order of the cells that there should be; others are left out.

    These have the columns federation, method, seed, client. The name that draws share has the samples of all its draws;
    what several of them test counts once for each, in one group. All entries have the same methods, sorted: those that
    are expected on any federation. A ValueError says that two models were tested on different samples of a client.
    """
    methods = sorted(str(name) for name in expected["method"].unique())
    found: list[Counts] = []
    for federation, cells in expected.groupby("federation", sort=False):
        seeds = sorted(int(seed) for seed in cells["seed"].unique())
        clients = [str(client) for client in cells["client"].unique()]
        paths = {
            (m, s): comparison.tests(str(federation), methods[m], seeds[s], FILE)
            for m, s in product(range(len(methods)), range(len(seeds)))
        }
        task = tasks.of(comparison.manifest(str(federation)))
        found += assembled(str(federation), task, clients, methods, seeds, paths)
    return found


def assembled(
    federation: str,
    task: Task,
    clients: Sequence[str],
    methods: list[str],
    seeds: list[int],
    paths: Mapping[tuple[int, int], Sequence[Path]],
    models: Sequence[str] = (),
) -> Iterator[Counts]:
    """The counts of a federation's clients.

    Args:
        federation: The federation.
        task: What is learned.
        clients: Its clients.
        methods: Names of the M methods.
        seeds: The S seeds.
        paths: The files of each model, one for each draw of the split, by the places of its method and its seed; where
            one is absent, the cell is missing.
        models: Of each method, which one is meant where files hold several models.

    Yields:
        One entry per client.

    Raises:
        ValueError: Two models predicted different samples of a client.
    """
    tested: dict[str, pd.DataFrame] = {}
    values: dict[tuple[str, int, int], Floats] = {}
    for (m, s), files in paths.items():
        model, there = models[m] if models else "", all(path.is_file() for path in files)
        for client, samples, counts in of_clients(files, task, model) if there else ():
            order = samples["sample"].argsort(kind="stable")
            about = samples.iloc[order].reset_index(drop=True)
            if not tested.setdefault(client, about).equals(about):
                raise ValueError(
                    f"{files[0]}: client {client} was tested on other samples than with another model; evaluate again"
                )
            values[client, m, s] = by_unit(samples, counts, task)
    for client in clients:
        about = tested.get(client, pd.DataFrame({name: [] for name in ABOUT}))
        units = about.drop_duplicates(task.unit).sort_values(task.unit)
        groups, unit_groups = np.unique(units["group"].astype(str).to_numpy(dtype=str), return_inverse=True)
        own = {(m, s): counts for (name, m, s), counts in values.items() if name == client}
        shape = next(iter(own.values())).shape if own else (0, 0, 0)
        array = np.full((len(methods), len(seeds), *shape), np.nan)
        missing = np.ones((len(methods), len(seeds)), dtype=bool)
        for cell, counts in own.items():
            array[cell], missing[cell] = counts, False
        yield Counts(federation, client, task, [str(g) for g in groups], unit_groups, methods, seeds, array, missing)


def _added(values: Floats, places: npt.NDArray[np.intp], count: int) -> Floats:
    """Rows (n, ...) added up over the places that they belong to, (count, ...)."""
    added = np.zeros((count, *values.shape[1:]))
    np.add.at(added, places, values)
    return added
