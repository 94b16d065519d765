"""Ranks: how methods compare on each client, which no mean over clients can say.

A **cell** is the test score of one method on one client of one dataset with one seed. Within a dataset,
client and seed the ranked methods get the ranks 1 (best), 2, ...; equal scores share their mean rank, and
models that diverged (NaN) share the last ones. A method's rank on a dataset is the mean over seeds and
clients (FedOPAL's 3.17 is 19/6, over six clients); its rank over several datasets is the mean of those, so
that a dataset counts once however many clients it has. Controls are not ranked. A method that lacks a cell
has no average rank; a mean over what happens to be there would not be comparable. How sure an average rank is says
`benchmark.evaluation.uncertainty`.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import pandas as pd

from benchmark.evaluation.merit import merit


def expected_cells(clients: pd.DataFrame, runs: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Every cell that the runs should have led to, found or not.

    Args:
        clients: The tidy table of test metrics: dataset, method, seed, client, metric, value, n.
        runs: The content of every run's `run.json`.

    Returns:
        One row per cell: dataset, method, seed, client, value (NaN where the model diverged or the cell is
        missing) and missing (bool).
    """
    expected = pd.DataFrame(
        [
            (run["federation"], run["method"]["name"], run["seed"], str(client), run["task"]["score"])
            for run in runs
            for client in run["clients"]
        ],
        columns=["dataset", "method", "seed", "client", "metric"],
    ).drop_duplicates(ignore_index=True)
    found = clients[["dataset", "method", "seed", "client", "metric", "value"]]
    cells = expected.merge(found, how="left", validate="one_to_one", indicator=True)
    cells["missing"] = cells["_merge"] == "left_only"
    return cells.drop(columns=["metric", "_merge"])


def client_ranks(cells: pd.DataFrame, controls: Collection[str], *, higher_is_better: bool = True) -> pd.DataFrame:
    """The rank of every ranked method on every client, averaged over seeds.

    Args:
        cells: dataset, method, seed, client, value, missing.
        controls: Methods that are not ranked.
        higher_is_better: Direction of the score.

    Returns:
        One row per (dataset, client), one column per ranked method; NaN where a cell is missing.
    """
    ranked = cells[~cells["method"].isin(controls)]
    ranks = (
        ranked[~ranked["missing"]]
        .assign(merit=lambda present: merit(present["value"], higher_is_better=higher_is_better))
        .groupby(["dataset", "client", "seed"])["merit"]
        .rank(ascending=False)
    )
    wide = ranked.assign(rank=ranks).pivot(index=["dataset", "client", "seed"], columns="method", values="rank")
    return wide.groupby(level=["dataset", "client"]).mean(skipna=False)


def dataset_ranks(ranks: pd.DataFrame) -> pd.DataFrame:
    """The average rank of every ranked method on every dataset.

    Args:
        ranks: As `client_ranks` returns them.

    Returns:
        One row per dataset, one column per method; NaN where a cell is missing.
    """
    return ranks.groupby(level="dataset").mean(skipna=False)


def overall_ranks(ranks: pd.DataFrame) -> "pd.Series[float]":
    """The average rank of every ranked method over all datasets, each with the same weight.

    Args:
        ranks: As `client_ranks` returns them.

    Returns:
        By method; NaN where a cell is missing.
    """
    return dataset_ranks(ranks).mean(skipna=False).rename("average_rank")
