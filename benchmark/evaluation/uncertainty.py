"""Job: how sure a score, a mean, a rank and a difference between two methods are.

Three files are written, from `benchmark.evaluation.standings`:

* intervals (Parquet), a row per value, columns `statistics.INTERVALS`. By `quantity`: `score` of a client and
  `corrected`, its chance-corrected score; `mean` and `corrected_mean` over a federation's clients; `average_rank`, and
  `place`, whose low and high are the first and last place that the method may have;
* comparisons (CSV), a row per two methods and quantity, columns `statistics.COMPARISONS`;
* significance (JSON): Friedman's test over clients and what follows it.

The federation `all` stands for all together, each with the same weight, and the client `mean` for a federation's
clients. Over all federations there are chance-corrected means and ranks: other scores have different chance levels.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd
from scipy import special

from benchmark.comparison import Comparison
from benchmark.evaluation import counts
from benchmark.evaluation.estimate import Estimate, beyond, simultaneous
from benchmark.evaluation.merit import DIGITS
from benchmark.evaluation.reading import cells_of, controls_of, read_runs
from benchmark.evaluation.significance import significance
from benchmark.evaluation.standings import (
    DRAWS,
    Standings,
    generator,
    places,
    rank_differences,
    rank_interval,
    standings,
)
from benchmark.evaluation.statistics import ALL, COMPARISONS, INTERVALS, MEAN
from benchmark.files import atomic, write_json, write_text
from benchmark.job import GivenPath, run
from benchmark.tasks.task import Floats


def frame(held: Standings) -> pd.DataFrame:
    """All values with their intervals: columns `INTERVALS`.

    Low and high are NaN where a model diverged, a cell is missing, or nothing may be said, for which there is a
    `reason`.
    """
    parts = []
    for federation, client, quantity, estimate in estimates(held):
        low, high = estimate.interval()
        about = _about(held, federation, client, quantity)
        values = {"method": list(held.methods), "value": estimate.value, "low": low, "high": high}
        parts.append(pd.DataFrame({**about, **values, "reason": estimate.reason}))
    for federation in [*held.federations, ALL] if held.ranked else []:
        ranks, reason = held.average_rank(federation), held.reason(federation)
        there = ~np.isnan(ranks[0])
        low, high, first, last = np.full((4, len(there)), np.nan)
        if there.any() and not reason:
            low[there], high[there] = rank_interval(ranks[:, there])
            first[there], last[there] = places(ranks[:, there], held.freedom(federation)[np.ix_(there, there)])
        place = pd.Series(ranks[0]).round(DIGITS).rank(method="min").to_numpy()
        for quantity, value, ends in (("average_rank", ranks[0], (low, high)), ("place", place, (first, last))):
            about = _about(held, federation, MEAN, quantity)
            values = {"method": list(held.ranked), "value": value, "low": ends[0], "high": ends[1]}
            parts.append(pd.DataFrame({**about, **values, "reason": reason}))
    return pd.concat(parts, ignore_index=True)[INTERVALS]


def comparisons(held: Standings) -> pd.DataFrame:
    """Every two methods compared on the same test sets.

    Returns:
        Columns `COMPARISONS`: `difference`, `method` less `other`, with its interval; `probability_better`, Student's
        probability that `method` is better, 1 or 0 where one diverged, and a half where their predictions have equal
        counts; and `apart`, whether they are told apart where all pairs of this quantity are looked at together.
    """
    parts = []
    for federation, client, quantity, estimate in estimates(held):
        whole = (federation, quantity) == (ALL, "corrected_mean")
        if whole or quantity in ("score", "mean"):
            higher = whole or held.sites[_first(held, federation)].task.higher_is_better
            covariance = estimate.summands[0].sum(axis=0)
            critical = simultaneous(covariance, generator(federation, client)) if not estimate.reason else np.inf
            found = compared(*estimate.differences(), critical, estimate.value, higher=higher)
            parts.append(_pairs(federation, client, quantity, held.methods, found))
    for federation in [*held.federations, ALL] if held.ranked else []:
        ranks = held.average_rank(federation)
        there = ~np.isnan(ranks[0])
        if there.sum() > 1:
            difference, errors, critical = rank_differences(ranks[:, there])
            errors = np.where(errors > 0, errors, np.nan) + (np.nan if held.reason(federation) else 0.0)
            freedom = held.freedom(federation)[np.ix_(there, there)]
            found = compared(difference, errors, freedom, critical, ranks[0][there], higher=False)
            names = [method for method, kept in zip(held.ranked, there, strict=True) if kept]
            parts.append(_pairs(federation, MEAN, "average_rank", names, found))
    return pd.concat(parts, ignore_index=True)[COMPARISONS]


def estimates(held: Standings) -> Iterator[tuple[str, str, str, Estimate]]:
    """All that is estimated: federation, client, quantity, and the methods' values."""
    for (federation, client), site in held.sites.items():
        yield federation, client, "score", site.scores
        if (corrected := site.corrected) is not None:
            yield federation, client, "corrected", corrected
    for federation in [*held.federations, ALL]:
        if federation != ALL:
            yield federation, MEAN, "mean", held.mean(federation)
        if (mean := held.corrected(federation)) is not None:
            yield federation, MEAN, "corrected_mean", mean


def compared(
    difference: Floats, errors: Floats, freedom: Floats, critical: float, value: Floats, *, higher: bool
) -> dict[str, Floats]:
    """What is said of every two methods, (M, M) each."""
    with np.errstate(invalid="ignore"):
        standard = difference / errors
        half = special.stdtrit(freedom, 0.975) * errors
        apart = np.abs(standard) > beyond(critical, freedom)
    better = special.stdtr(freedom, standard if higher else -standard)
    lost = np.isnan(value)
    better = np.where(lost[:, None] | lost, 0.5 + (lost * 0.5 - lost[:, None] * 0.5), better)
    same = (difference == 0) & np.isnan(errors)
    return {
        "difference": difference,
        "low": difference - half,
        "high": difference + half,
        "probability_better": np.where(same, 0.5, better),
        "apart": apart | (lost[:, None] ^ lost),
    }


def _pairs(
    federation: str, client: str, quantity: str, methods: Sequence[str], found: dict[str, Floats]
) -> pd.DataFrame:
    """A row for every method and every other one."""
    rows, columns = np.nonzero(~np.eye(len(methods), dtype=bool))
    names = np.array(methods, dtype=object)
    about = {"federation": federation, "client": client, "quantity": quantity}
    pairs = {"method": names[rows], "other": names[columns]}
    return pd.DataFrame({**about, **pairs, **{name: matrix[rows, columns] for name, matrix in found.items()}})


def _first(held: Standings, federation: str) -> tuple[str, str]:
    return next(key for key in held.sites if key[0] in _meant(held, federation))


def _meant(held: Standings, federation: str) -> Sequence[str]:
    return held.counted if federation == ALL else [federation]


def _about(held: Standings, federation: str, client: str, quantity: str) -> dict[str, object]:
    """What is the same for all methods: of means, the client's numbers that has the fewest groups of a part."""
    meant = _meant(held, federation)
    own = [site for (d, c), site in held.sites.items() if d in meant and client in (c, MEAN)]
    rarest = min(own, key=lambda site: site.fewest)
    return {
        "federation": federation,
        "client": client,
        "quantity": quantity,
        "groups": min(site.groups for site in own),
        "fewest": rarest.fewest,
        "rarest": rarest.rarest,
    }


def main(comparison: GivenPath, draws: int = DRAWS) -> None:
    """Write intervals, comparisons and tests of significance beside the comparison.

    Args:
        comparison: The comparison, `results/NAME/comparison.json`.
        draws: How often ranks are drawn.
    """
    held = Comparison.read(comparison)
    runs = read_runs(held)
    cells, controls = cells_of(held, runs), controls_of(runs)
    found = standings(counts.read(held, cells), controls, draws, held.draw_of)
    tests = significance(cells[~cells["federation"].isin(held.draw_of)], controls)
    intervals, compared = frame(found), comparisons(found)
    with atomic(held.folder / "intervals.parquet") as temporary:
        intervals.to_parquet(temporary, index=False)
    write_text(held.folder / "comparisons.csv", compared.to_csv(index=False))
    write_json(held.folder / "significance.json", tests)


if __name__ == "__main__":
    raise SystemExit(run(main))
