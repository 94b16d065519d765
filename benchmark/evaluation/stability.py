"""How stable rates and ranks are: what other seeds, rounds, clients or test samples would say.

    python -m benchmark.evaluation.stability --predictions FILE [FILE ...] --clients FILE --selected FILE [FILE ...]
        --runs RUN [RUN ...] --output FILE [--resamples B]

The output is a CSV file with the columns dataset (`all` for all together), method, varied, setting, quantity, rate and
value. By what is varied and what is asked:

* seeds, rate: the rate that a seed alone (`setting`) would choose;
* seeds, average_rank: the average rank (`value`) with a seed alone. The rate stays the one that all seeds chose, for no
  other was tested;
* rounds, rate: the rate chosen where the validation score is averaged over the last k evaluated rounds (`setting`);
* clients, rate: the share (`value`) of resampled sets of clients that would choose a rate;
* samples, place: the share (`value`) of resampled test sets in which a method has a place (`setting`; 1 is the best).
  Methods with equal average ranks share their places.
"""

import argparse
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from benchmark.evaluation import counts
from benchmark.evaluation.bootstrap import RESAMPLES, Resampled, draws, resample
from benchmark.evaluation.counts import Floats
from benchmark.evaluation.merit import merit
from benchmark.evaluation.ranks import client_ranks, dataset_ranks, expected_cells, overall_ranks
from benchmark.evaluation.select import best_rate, choose, final_scores, read_metrics, read_run, scores_by_round
from benchmark.evaluation.statistics import ALL, STABILITY
from benchmark.files import read_json, write_text

MOST_ROUNDS = 10
"""The longest window of last evaluated rounds."""

Row = tuple[str, str, str, str, str, str, float]


def rates(runs: Sequence[dict[str, Any]], last_rounds: int, *, resamples: int = RESAMPLES) -> Iterator[Row]:
    """The rates that one method would get on one dataset.

    Args:
        runs: Its runs, of all rates and seeds, as read by `read_run`.
        last_rounds: The window of the selection rule, in evaluated rounds.
        resamples: The number of resampled sets of clients.

    Yields:
        Rows of the output.
    """
    dataset, method = runs[0]["federation"], runs[0]["method"]["name"]
    higher = bool(runs[0]["task"]["higher_is_better"])
    by_round = [(run, scores_by_round(run, read_metrics(run))) for run in runs]

    def scores(window: int) -> pd.DataFrame:
        return pd.concat(final_scores(run, table, window) for run, table in by_round)

    final = scores(last_rounds)
    for seed in sorted(final["seed"].unique()):
        rate = choose(final[final["seed"] == seed], higher_is_better=higher)["rate"]
        yield dataset, method, "seeds", str(seed), "rate", rate, 1.0
    for window in range(1, min(MOST_ROUNDS, max(len(table) for _, table in by_round)) + 1):
        rate = choose(scores(window), higher_is_better=higher)["rate"]
        yield dataset, method, "rounds", str(window), "rate", rate, 1.0
    for rate, share in over_clients(final, (dataset, "clients"), resamples, higher_is_better=higher).items():
        yield dataset, method, "clients", "", "rate", rate, share


def over_clients(
    scores: pd.DataFrame, key: Sequence[str], resamples: int, *, higher_is_better: bool
) -> dict[str, float]:
    """How often each rate is chosen where clients are drawn with replacement.

    Args:
        scores: One row per rate, seed and client: rate (text), seed, client, value (NaN where diverged).
        key: What the draws depend on, beside the clients' number.
        resamples: The number of draws.
        higher_is_better: Direction of the score.

    Returns:
        Shares of the draws, by rate, the smallest rate first.
    """
    means = scores.groupby(["client", "rate"])["value"].mean(skipna=False)
    ordered: list[str] = sorted(scores["rate"].unique(), key=float)
    table = means.unstack("rate")[ordered]
    drawn = draws(key, len(table), resamples)[1:]
    chosen = best_rate(drawn @ table.to_numpy(float) / len(table), higher_is_better=higher_is_better)
    shares = np.bincount(chosen, minlength=table.shape[1]) / resamples
    return dict(zip(ordered, shares.tolist(), strict=True))


def ranks(cells: pd.DataFrame, controls: Collection[str], *, higher_is_better: bool) -> Iterator[Row]:
    """The average ranks that each seed alone gives.

    Args:
        cells: dataset, method, seed, client, value, missing.
        controls: Methods that are not ranked.
        higher_is_better: Direction of the score.

    Yields:
        Rows of the output.
    """
    for seed, own in cells.groupby("seed"):
        table = client_ranks(own, controls, higher_is_better=higher_is_better)
        averages = {**{str(d): row for d, row in dataset_ranks(table).iterrows()}, ALL: overall_ranks(table)}
        for dataset, row in averages.items():
            for method, rank in row.items():
                yield dataset, str(method), "seeds", str(seed), "average_rank", "", float(rank)


def placed(resampled: Resampled) -> Iterator[Row]:
    """The places that methods have on resampled test sets.

    Args:
        resampled: Scores and ranks on resampled test sets.

    Yields:
        Rows of the output. A method that lacks a result has none.
    """
    for dataset in [*resampled.datasets, ALL] if resampled.ranked else []:
        values = resampled.average_rank(dataset)
        there = ~np.isnan(values[0])
        methods = [method for method, kept in zip(resampled.ranked, there, strict=True) if kept]
        for method, shares in zip(methods, places(values[:, there]), strict=True):
            for place, share in enumerate(shares, 1):
                yield dataset, method, "samples", str(place), "place", "", float(share)


def places(average_ranks: Floats) -> Floats:
    """How often each method has each place; methods with equal average ranks share their places.

    Args:
        average_ranks: Row 0 is the value, the other B rows are resamples, `(B + 1, R)`, without NaN.

    Returns:
        Shares of the resamples, `(R, R)`: methods, places. Every row and every column adds up to 1.
    """
    values = merit(average_ranks[1:], higher_is_better=False)
    first, last = (rankdata(-values, method=method, axis=1)[..., None] for method in ("min", "max"))
    place = np.arange(1, values.shape[1] + 1)
    held = (first <= place) & (place <= last)
    shares: Floats = (held / (last - first + 1)).mean(axis=0)
    return shares


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job; see the module's text for its arguments."""
    parser = argparse.ArgumentParser(prog="stability", description="What other seeds, rounds or clients would say.")
    parser.add_argument("--predictions", type=Path, nargs="+", required=True, help="predictions, Parquet")
    parser.add_argument("--clients", type=Path, required=True, help="the table of test metrics, Parquet")
    parser.add_argument("--selected", type=Path, nargs="+", required=True, help="selections, JSON")
    parser.add_argument("--runs", type=Path, nargs="+", required=True, help="folders of runs, or files in them")
    parser.add_argument("--resamples", type=int, default=RESAMPLES, help="number of bootstrap samples")
    parser.add_argument("--output", type=Path, required=True, help="the table, CSV")
    arguments = parser.parse_args(argv)
    try:
        runs = [read_run(path) for path in arguments.runs]
        choices = [read_json(path) for path in arguments.selected]
        cells = expected_cells(pd.read_parquet(arguments.clients), runs)
        rows = list(_rows(runs, choices, cells, arguments.predictions, arguments.resamples))
        write_text(arguments.output, pd.DataFrame(rows, columns=STABILITY).to_csv(index=False))
    except (OSError, ValueError) as error:
        print(f"stability: {error}", file=sys.stderr)
        return 1
    return 0


def _rows(
    runs: Sequence[dict[str, Any]],
    choices: Iterable[Mapping[str, Any]],
    cells: pd.DataFrame,
    predictions: Sequence[Path],
    resamples: int,
) -> Iterator[Row]:
    """All rows of the output."""
    controls = {run["method"]["name"] for run in runs if run["method"]["control"]}
    higher = bool(runs[0]["task"]["higher_is_better"])
    for choice in choices:
        key = (choice["dataset"], choice["method"])
        own = [run for run in runs if (run["federation"], run["method"]["name"]) == key]
        if own:
            yield from rates(own, choice["last_rounds"], resamples=resamples)
    yield from ranks(cells, controls, higher_is_better=higher)
    counted = counts.read(predictions, cells)
    yield from placed(resample(counted, controls, higher_is_better=higher, resamples=resamples))


if __name__ == "__main__":
    sys.exit(main())
