"""Ranks: how methods compare on each client, which no mean over clients can say.

A **cell** is the test score of one method on one client of one dataset with one seed. Within a dataset,
client and seed the ranked methods get the ranks 1 (best), 2, ...; equal scores share their mean rank, and
models that diverged (NaN) share the last ones. A method's rank on a dataset is the mean over seeds and
clients (FedOPAL's 3.17 is 19/6, over six clients); its rank over several datasets is the mean of those, so
that a dataset counts once however many clients it has. Controls are not ranked. A method that lacks a cell
has no average rank; a mean over what happens to be there would not be comparable.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

# Ties are scores equal to this many decimals: the same recalls averaged in another order differ by rounding
# alone.
_DIGITS = 12
_RESAMPLES = 10_000
_CONFIDENCE = 0.95


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
        .assign(value=lambda present: present["value"].round(_DIGITS))
        .groupby(["dataset", "client", "seed"])["value"]
        .rank(ascending=not higher_is_better, na_option="bottom")
    )
    wide = ranked.assign(rank=ranks).pivot(index=["dataset", "client", "seed"], columns="method", values="rank")
    return wide.groupby(level=["dataset", "client"]).mean(skipna=False)


def dataset_ranks(ranks: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The average rank of every ranked method on every dataset.

    Args:
        ranks: As `client_ranks` returns them.

    Returns:
        By dataset, one row per method: average_rank, and the bootstrap interval's low and high.
    """
    return {str(dataset): _average([table]) for dataset, table in ranks.groupby(level="dataset")}


def overall_ranks(ranks: pd.DataFrame) -> pd.DataFrame:
    """The average rank of every ranked method over all datasets, each with the same weight.

    Args:
        ranks: As `client_ranks` returns them.

    Returns:
        One row per method: average_rank, and the bootstrap interval's low and high.
    """
    return _average([table for _, table in ranks.groupby(level="dataset")])


def _average(tables: list[pd.DataFrame]) -> pd.DataFrame:
    """Means over clients, then over tables, with a 95 % percentile bootstrap over each table's clients.

    With five or six clients the interval is coarse: it says how much the average rank hangs on single
    clients, not what a new hospital would see.
    """
    if not tables:  # Nothing but controls.
        return pd.DataFrame({"average_rank": [], "low": [], "high": []}, dtype=float)
    generator = np.random.default_rng(0)
    average = np.mean([table.to_numpy().mean(axis=0) for table in tables], axis=0)
    resampled = np.mean([_resampled_means(table.to_numpy(), generator) for table in tables], axis=0)
    tail = 100 * (1 - _CONFIDENCE) / 2
    low, high = np.percentile(resampled, [tail, 100 - tail], axis=0)
    methods = pd.Index(tables[0].columns, name="method")
    return pd.DataFrame({"average_rank": average, "low": low, "high": high}, index=methods)


def _resampled_means(ranks: npt.NDArray[np.float64], generator: np.random.Generator) -> npt.NDArray[np.float64]:
    """Mean ranks `(resamples, methods)` over clients drawn with replacement from `ranks`."""
    # Sorted, so that the names of the clients do not decide which of them a draw is.
    ordered = ranks[np.lexsort(ranks.T)]
    drawn = generator.multinomial(len(ranks), np.full(len(ranks), 1 / len(ranks)), size=_RESAMPLES)
    return (drawn @ ordered) / len(ranks)
