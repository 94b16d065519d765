"""Job: how sure a score, a mean, a rank and a difference between two methods are.

Three files are written:

* intervals (Parquet): federation, client, method, quantity, value, low, high, groups, by the paired bootstrap;
* comparisons (CSV): federation, client, quantity, method, other, probability_better, difference, low, high, by the same
  draws;
* significance (JSON): Friedman's test over clients and what follows it.

The federation `all` stands for all together, each with the same weight, and the client `mean` for a federation's
clients. There is a mean over all federations where all have the same score.
"""

import numpy as np
import pandas as pd

from benchmark.comparison import Comparison
from benchmark.evaluation import counts
from benchmark.evaluation.bootstrap import RESAMPLES, Resampled, interval, quantities, resample
from benchmark.evaluation.merit import merit
from benchmark.evaluation.reading import cells_of, controls_of, read_runs
from benchmark.evaluation.significance import significance
from benchmark.evaluation.statistics import ALL, MEAN
from benchmark.files import atomic, write_json, write_text
from benchmark.job import GivenPath, run
from benchmark.tasks.task import Floats


def frame(resampled: Resampled) -> pd.DataFrame:
    """All values with their intervals.

    Args:
        resampled: Scores and ranks.

    Returns:
        One row each: federation (`all` for all together), client (`mean` for all together), method, quantity (`score`
        of a client, `mean`, `average_rank`), value, low, high (NaN where a model diverged or a cell is missing), and
        groups, of how many the test set is made: of means, the client's that has the fewest.
    """
    parts = []
    for federation, client, quantity, values, methods in quantities(resampled):
        low, high = interval(values)
        about = {"federation": federation, "client": client, "method": list(methods), "quantity": quantity}
        groups = min(n for (d, c), n in resampled.groups.items() if federation in (d, ALL) and client in (c, MEAN))
        parts.append(pd.DataFrame({**about, "value": values[0], "low": low, "high": high, "groups": groups}))
    return pd.concat(parts, ignore_index=True)


def comparisons(resampled: Resampled) -> pd.DataFrame:
    """Every two methods compared on the same draws.

    Args:
        resampled: Scores and ranks. Less is always better of average ranks.

    Returns:
        One row each: federation, client, quantity, method, other, probability_better (the share of resamples in which
        `method` is better than `other`; ties count half), difference (`method` less `other`), low, high.
    """
    parts = []
    for federation, client, quantity, values, methods in quantities(resampled):
        # Without a rank for want of a result: no comparison. A diverged model has a rank, and is worse than the others.
        there = ~np.isnan(values[0]) | (quantity != "average_rank")
        kept, names = values[:, there], [method for method, kept in zip(methods, there, strict=True) if kept]
        higher = quantity != "average_rank" and resampled.higher_is_better(federation)
        chance = better(kept, higher_is_better=higher)
        for m, method in enumerate(names):
            differences = kept[:, [m]] - kept
            low, high = interval(differences)
            about = {"federation": federation, "client": client, "quantity": quantity, "method": method, "other": names}
            numbers = {"probability_better": chance[m], "difference": differences[0], "low": low, "high": high}
            parts.append(pd.DataFrame({**about, **numbers}).drop(index=m))
    return pd.concat(parts, ignore_index=True)


def better(values: Floats, *, higher_is_better: bool) -> Floats:
    """How often each method is better than each other one; a tie counts half.

    Args:
        values: Row 0 is the value, the other B rows are resamples, `(B + 1, M)`. A diverged model (NaN) is worse than
            all that did not diverge.
        higher_is_better: Direction.

    Returns:
        Shares of the resamples, `(M, M)`: rows are better than columns.
    """
    merits = merit(values[1:], higher_is_better=higher_is_better)
    wins = np.stack([(merits[:, [m]] > merits).mean(axis=0) for m in range(merits.shape[1])])
    ties = np.stack([(merits[:, [m]] == merits).mean(axis=0) for m in range(merits.shape[1])])
    shares: Floats = wins + ties / 2
    return shares


def main(comparison: GivenPath, resamples: int = RESAMPLES) -> None:
    """Write intervals, comparisons and tests of significance beside the comparison.

    Args:
        comparison: The comparison, `results/NAME/comparison.json`.
        resamples: How many test sets are drawn.
    """
    held = Comparison.read(comparison)
    runs = read_runs(held)
    cells, controls = cells_of(held, runs), controls_of(runs)
    resampled = resample(counts.read(held, cells), controls, resamples)
    with atomic(held.folder / "intervals.parquet") as temporary:
        frame(resampled).to_parquet(temporary, index=False)
    write_text(held.folder / "comparisons.csv", comparisons(resampled).to_csv(index=False))
    write_json(held.folder / "significance.json", significance(cells, controls))


if __name__ == "__main__":
    raise SystemExit(run(main))
