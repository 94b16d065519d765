"""How sure a score, a mean, a rank and a difference between two methods are.

    python -m benchmark.evaluation.uncertainty --predictions FILE [FILE ...] --clients FILE --runs RUN [RUN ...]
        --intervals FILE --comparisons FILE --significance FILE [--resamples B]

Predictions are those that `benchmark.evaluation.collect` reads, and `--clients` is its table. The runs say which cells
there should be. Three files are written:

* intervals (Parquet): dataset, client, method, quantity, value, low, high, groups, by the paired bootstrap;
* comparisons (CSV): dataset, client, quantity, method, other, probability_better, difference, low, high, by the same
  draws;
* significance (JSON): Friedman's test over clients and what follows it.

The dataset `all` stands for all together, each with the same weight, and the client `mean` for a dataset's clients.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from benchmark.evaluation import counts
from benchmark.evaluation.bootstrap import RESAMPLES, Resampled, interval, quantities, resample
from benchmark.evaluation.counts import Floats
from benchmark.evaluation.merit import merit
from benchmark.evaluation.ranks import expected_cells
from benchmark.evaluation.select import read_run
from benchmark.evaluation.significance import significance
from benchmark.evaluation.statistics import ALL, MEAN
from benchmark.files import atomic, write_json, write_text


def frame(resampled: Resampled) -> pd.DataFrame:
    """All values with their intervals.

    Args:
        resampled: Scores and ranks.

    Returns:
        One row each: dataset (`all` for all together), client (`mean` for all together), method, quantity (`score` of a
        client, `mean`, `average_rank`), value, low, high (NaN where a model diverged or a cell is missing), and groups,
        of how many the test set is made: of means, the client's that has the fewest.
    """
    parts = []
    for dataset, client, quantity, values, methods in quantities(resampled):
        low, high = interval(values)
        about = {"dataset": dataset, "client": client, "method": list(methods), "quantity": quantity}
        groups = min(n for (d, c), n in resampled.groups.items() if dataset in (d, ALL) and client in (c, MEAN))
        parts.append(pd.DataFrame({**about, "value": values[0], "low": low, "high": high, "groups": groups}))
    return pd.concat(parts, ignore_index=True)


def comparisons(resampled: Resampled, *, higher_is_better: bool = True) -> pd.DataFrame:
    """Every two methods compared on the same draws.

    Args:
        resampled: Scores and ranks.
        higher_is_better: Direction of the score. Less is always better of average ranks.

    Returns:
        One row each: dataset, client, quantity, method, other, probability_better (the share of resamples in which
        `method` is better than `other`; ties count half), difference (`method` less `other`), low, high.
    """
    parts = []
    for dataset, client, quantity, values, methods in quantities(resampled):
        # Without a rank for want of a result: no comparison. A diverged model has a rank, and is worse than the others.
        there = ~np.isnan(values[0]) | (quantity != "average_rank")
        kept, names = values[:, there], [method for method, kept in zip(methods, there, strict=True) if kept]
        chance = better(kept, higher_is_better=higher_is_better and quantity != "average_rank")
        for m, method in enumerate(names):
            differences = kept[:, [m]] - kept
            low, high = interval(differences)
            about = {"dataset": dataset, "client": client, "quantity": quantity, "method": method, "other": names}
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


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job; see the module's text for its arguments."""
    parser = argparse.ArgumentParser(prog="uncertainty", description="Intervals, comparisons and significance tests.")
    parser.add_argument("--predictions", type=Path, nargs="+", required=True, help="predictions, Parquet")
    parser.add_argument("--clients", type=Path, required=True, help="the table of test metrics, Parquet")
    parser.add_argument("--runs", type=Path, nargs="+", required=True, help="folders of runs, or files in them")
    parser.add_argument("--resamples", type=int, default=RESAMPLES, help="number of bootstrap samples")
    for name in ("intervals", "comparisons", "significance"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    arguments = parser.parse_args(argv)
    try:
        runs = [read_run(path) for path in arguments.runs]
        cells = expected_cells(pd.read_parquet(arguments.clients), runs)
        controls = {run["method"]["name"] for run in runs if run["method"]["control"]}
        task = runs[0]["task"]
        if task["score"] != counts.SCORE:
            raise ValueError(f"the score is {task['score']}, but test samples are counted for {counts.SCORE} only")
        higher = bool(task["higher_is_better"])
        resampled = resample(
            counts.read(arguments.predictions, cells), controls, higher_is_better=higher, resamples=arguments.resamples
        )
        with atomic(arguments.intervals) as temporary:
            frame(resampled).to_parquet(temporary, index=False)
        write_text(arguments.comparisons, comparisons(resampled, higher_is_better=higher).to_csv(index=False))
        write_json(arguments.significance, significance(cells, controls, higher_is_better=higher))
    except (OSError, ValueError) as error:
        print(f"uncertainty: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
