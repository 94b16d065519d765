"""Job: how stable rates and ranks are: what other seeds, rounds, clients, draws or test samples would say.

The output is a CSV file with the columns federation (`all` for all together), method, varied, setting, quantity, rate
and value. By what is varied and what is asked:

* seeds, rate: the rate that a seed alone (`setting`) would choose;
* seeds, average_rank: the average rank (`value`) with a seed alone. The rate stays the one that all seeds chose, for no
  other was tested;
* rounds, rate: the rate chosen where the validation score is averaged over the last k evaluated rounds (`setting`);
* clients, rate: the share (`value`) of resampled sets of clients that would choose a rate;
* draws, average_rank: of a name that several draws of the split share, the average rank (`value`) on a draw alone
  (`setting`, the draw's name), whose models are trained on other images, at a rate of its own, and tested on others;
* samples, place: the share (`value`) of draws of all scores, as other test sets and seeds may give them (estimated, see
  `benchmark.evaluation.standings`), in which a method has a place (`setting`; 1 is the best). Methods with equal
  average ranks share their places.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from benchmark.comparison import Comparison
from benchmark.evaluation import counts
from benchmark.evaluation.gathered import KEY
from benchmark.evaluation.merit import merit
from benchmark.evaluation.ranks import NO_DRAWS, client_ranks, federation_ranks, overall_ranks
from benchmark.evaluation.reading import cells_of, controls_of, read_choices, read_runs, read_validation
from benchmark.evaluation.select import best_rate, choose, final_scores, scores_by_round
from benchmark.evaluation.standings import DRAWS, Standings, generator, standings
from benchmark.evaluation.statistics import ALL, STABILITY
from benchmark.files import write_text
from benchmark.job import GivenPath, run
from benchmark.tasks.task import Floats

MOST_ROUNDS = 10
"""The longest window of last evaluated rounds."""

Row = tuple[str, str, str, str, str, str, float]


def rates(
    runs: Sequence[Mapping[str, Any]], validation: pd.DataFrame, last_rounds: int, *, draws: int = DRAWS
) -> Iterator[Row]:
    """The rows of the output on the rates that one method would get on one federation.

    Args:
        runs: Its runs, of all rates and seeds.
        validation: Their validation scores: rate, seed, round, client, value.
        last_rounds: The window of the selection rule, in evaluated rounds.
        draws: The number of drawn sets of clients.
    """
    federation, method = runs[0]["federation"], runs[0]["method"]["name"]
    higher = bool(runs[0]["task"]["higher_is_better"])
    own = {key: scores for key, scores in validation.groupby(["rate", "seed"])}
    by_round = [(run, scores_by_round(run, own[run["rate"], run["seed"]])) for run in runs]

    def scores(window: int) -> pd.DataFrame:
        return pd.concat(final_scores(run, table, window) for run, table in by_round)

    final = scores(last_rounds)
    for seed in sorted(final["seed"].unique()):
        rate = choose(final[final["seed"] == seed], higher_is_better=higher)["rate"]
        yield federation, method, "seeds", str(seed), "rate", rate, 1.0
    for window in range(1, min(MOST_ROUNDS, max(len(table) for _, table in by_round)) + 1):
        rate = choose(scores(window), higher_is_better=higher)["rate"]
        yield federation, method, "rounds", str(window), "rate", rate, 1.0
    for rate, share in over_clients(final, (federation, "clients"), draws, higher_is_better=higher).items():
        yield federation, method, "clients", "", "rate", rate, share


def over_clients(scores: pd.DataFrame, key: Sequence[str], draws: int, *, higher_is_better: bool) -> dict[str, float]:
    """How often each rate, the smallest first, is chosen where clients are drawn with replacement: shares of the draws.

    `scores` has one row per rate (text), seed and client, whose value is NaN where a run diverged. Draws depend on the
    `key` and on the clients' number.
    """
    means = scores.groupby(["client", "rate"])["value"].mean(skipna=False)
    ordered: list[str] = sorted(scores["rate"].unique(), key=float)
    table = means.unstack("rate")[ordered]
    drawn = generator(*key).multinomial(len(table), np.full(len(table), 1 / len(table)), size=draws)
    chosen = best_rate(drawn @ table.to_numpy(float) / len(table), higher_is_better=higher_is_better)
    shares = np.bincount(chosen, minlength=table.shape[1]) / draws
    return dict(zip(ordered, shares.tolist(), strict=True))


def ranks(cells: pd.DataFrame, controls: Collection[str], draw_of: Mapping[str, str] = NO_DRAWS) -> Iterator[Row]:
    """The rows of the output on average ranks that each seed alone gives, and each draw of a federation alone.

    From cells with the columns `ranks.CELLS`; `draw_of` says, by federations that are draws, the name that they share.
    """
    for seed, own in cells.groupby("seed"):
        table = client_ranks(own, controls)
        averages = {str(name): row for name, row in federation_ranks(table).iterrows()}
        averages[ALL] = overall_ranks(table, draw_of)
        for federation, row in averages.items():
            for method, rank in row.items():
                yield federation, str(method), "seeds", str(seed), "average_rank", "", float(rank)
    alone = federation_ranks(client_ranks(cells, controls))
    for draw, shared in draw_of.items():
        for method, rank in zip(alone.columns, alone.loc[draw].to_numpy(float), strict=True):
            yield shared, str(method), "draws", draw, "average_rank", "", float(rank)


def placed(held: Standings) -> Iterator[Row]:
    """The rows of the output on places that methods may have on other test sets; none of those that lack a result."""
    for federation in [*held.federations, ALL] if held.ranked else []:
        values = held.average_rank(federation)
        there = ~np.isnan(values[0])
        methods = [method for method, kept in zip(held.ranked, there, strict=True) if kept]
        for method, shares in zip(methods, places(values[:, there]), strict=True):
            for place, share in enumerate(shares, 1):
                yield federation, method, "samples", str(place), "place", "", float(share)


def places(average_ranks: Floats) -> Floats:
    """How often each method has each place; methods with equal average ranks share their places.

    Of average ranks (B + 1, R) without NaN, row 0 is observed and the other B rows are drawn. Returns shares of the
    draws, (R, R): methods, places. Every row and every column adds up to 1.
    """
    values = merit(average_ranks[1:], higher_is_better=False)
    first, last = (rankdata(-values, method=method, axis=1)[..., None] for method in ("min", "max"))
    place = np.arange(1, values.shape[1] + 1)
    held = (first <= place) & (place <= last)
    shares: Floats = (held / (last - first + 1)).mean(axis=0)
    return shares


def rows(comparison: Comparison, draws: int) -> Iterator[Row]:
    """All rows of the output, from so many drawn sets of clients, and of scores."""
    runs = read_runs(comparison)
    cells, controls = cells_of(comparison, runs), controls_of(runs)
    validation = {row: scores for row, scores in read_validation(comparison).groupby(KEY[:2])}
    for row, choice in read_choices(comparison).items():
        own = [run for run in runs if (run["federation"], run["method"]["name"]) == row]
        yield from rates(own, validation[row], choice["last_rounds"], draws=draws)
    yield from ranks(cells, controls, comparison.draw_of)
    yield from placed(standings(counts.read(comparison, cells), controls, draws, comparison.draw_of))


def main(comparison: GivenPath, draws: int = DRAWS) -> None:
    """Write `stability.csv` beside the comparison: what other seeds, rounds, clients, draws or samples would say.

    Args:
        comparison: The comparison, `results/NAME/comparison.json`.
        draws: How many sets of clients, and of scores, are drawn.
    """
    held = Comparison.read(comparison)
    table = pd.DataFrame(list(rows(held, draws)), columns=STABILITY)
    write_text(held.folder / "stability.csv", table.to_csv(index=False))


if __name__ == "__main__":
    raise SystemExit(run(main))
