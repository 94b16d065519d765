"""Ranks: how methods compare on each client, which no mean over clients can say.

A **cell** is the test score of one method on one client of one federation with one seed. Within a federation,
client and seed the ranked methods get the ranks 1 (best), 2, ...; equal scores share their mean rank, and
models that diverged (NaN) share the last ones. A method's rank on a federation is the mean over seeds and
clients (FedOPAL's 3.17 is 19/6, over six clients); its rank over several federations is the mean of those, so
that a federation counts once however many clients it has. Several draws of one federation count once too: their test
samples are scored together, under the name that the draws share. Controls are not ranked. A method that lacks a cell
has no average rank; a mean over what happens to be there would not be comparable. How sure an average rank is says
`benchmark.evaluation.uncertainty`.
"""

from collections.abc import Collection, Iterable, Mapping
from types import MappingProxyType
from typing import Any

import pandas as pd

from benchmark.evaluation.merit import merit

CELLS = ["federation", "method", "seed", "client", "value", "missing", "higher_is_better"]
"""A cell's columns: its key, its score, whether there is none, and the score's direction, which is its federation's."""
NO_DRAWS: Mapping[str, str] = MappingProxyType({})
"""Where no federation is a draw of another."""
_OF_TASK = ("score", "higher_is_better")


def expected_cells(
    clients: pd.DataFrame, runs: Iterable[Mapping[str, Any]], draw_of: Mapping[str, str] = NO_DRAWS
) -> pd.DataFrame:
    """Every cell that the runs should have led to, found or not.

    Args:
        clients: The tidy table of test metrics: federation, method, seed, client, metric, value, n.
        runs: The content of every run's `run.json`.
        draw_of: By federations that are draws: the name that they share, which has cells of its own, of all its draws'
            samples together.

    Returns:
        One row per cell: columns `CELLS`; the value is NaN where the model diverged or the cell is missing.
    """
    expected = pd.DataFrame(
        [
            (federation, run["method"]["name"], run["seed"], str(client), *map(run["task"].get, _OF_TASK))
            for run in runs
            for federation in dict.fromkeys((run["federation"], draw_of.get(run["federation"], run["federation"])))
            for client in run["clients"]
        ],
        columns=["federation", "method", "seed", "client", "metric", "higher_is_better"],
    ).drop_duplicates(ignore_index=True)
    found = clients[["federation", "method", "seed", "client", "metric", "value"]]
    cells = expected.merge(found, how="left", validate="one_to_one", indicator=True)
    cells["missing"] = cells["_merge"] == "left_only"
    return cells[CELLS]


def client_ranks(cells: pd.DataFrame, controls: Collection[str]) -> pd.DataFrame:
    """The rank of every ranked method on every client, averaged over seeds.

    From cells with the columns `CELLS`; `controls` are not ranked. One row per (federation, client), one column per
    ranked method; NaN where a cell is missing.
    """
    ranked = cells[~cells["method"].isin(controls)]
    ranks = (
        ranked[~ranked["missing"]]
        .assign(merit=lambda present: merit(present["value"], higher_is_better=present["higher_is_better"]))
        .groupby(["federation", "client", "seed"])["merit"]
        .rank(ascending=False)
    )
    wide = ranked.assign(rank=ranks).pivot(index=["federation", "client", "seed"], columns="method", values="rank")
    return wide.groupby(level=["federation", "client"]).mean(skipna=False)


def federation_ranks(ranks: pd.DataFrame) -> pd.DataFrame:
    """The average rank of every ranked method (column) on every federation (row); NaN where a cell is missing.

    `ranks` are what `client_ranks` returns, here and below.
    """
    return ranks.groupby(level="federation").mean(skipna=False)


def best_ranked(ranks: pd.DataFrame, federation: str) -> str | None:
    """The method with the best average rank on a federation, of equals the first; None where none has one."""
    known = federation_ranks(ranks).T.get(federation, pd.Series(dtype=float)).dropna()
    return str(known.idxmin()) if len(known) else None


def overall_ranks(ranks: pd.DataFrame, draws: Collection[str] = ()) -> "pd.Series[float]":
    """Every ranked method's average rank over all federations, each with the same weight; NaN where a cell is missing.

    `draws` are federations that do not count: the name that they share has ranks too.
    """
    averages = federation_ranks(ranks)
    return averages[~averages.index.isin(draws)].mean(skipna=False).rename("average_rank")
