"""Are the methods' ranks over clients further apart than chance would have them? Friedman's test and what follows it.

A block is a client of a federation; its values are the ranked methods' scores, averaged over seeds. The tests are
those of scipy, scikit-posthocs and statsmodels, used as Demsar (2006, JMLR 7) recommends for comparing methods over
data sets: Friedman's test over all methods; Nemenyi's test of all pairs, with its critical difference; Wilcoxon's
signed-rank test of all pairs, with Holm's correction.

They take blocks for independent. Clients of one federation are not: a model that is good on one is good on all. As
statements about methods p-values are far too small: where eleven clients share a quarter of the variance, a true
hypothesis is rejected in 44 of 100 cases at the level 0.05, and where they share half of it, in 77. They describe
whether these trained models differ on these clients. What test sets can tell is in `benchmark.evaluation.standings`.

With few clients a test can find nothing, however far methods are apart: that is said beside it.
"""

import math
from collections.abc import Collection
from typing import Any

import numpy as np
import pandas as pd
import scikit_posthocs
from scipy.stats import friedmanchisquare, rankdata, studentized_range

from benchmark.evaluation.merit import DIGITS

ALPHA = 0.05
LEAST = 3
"""Friedman's test needs as many methods and as many blocks."""

_DIVERGED = 1e-9
"""How far a diverged model's score is below 0, or below the block's worst where this is lower: it ties with none."""
# scipy's own bound.
_MOST_EXACT = 50


def significance(cells: pd.DataFrame, controls: Collection[str]) -> dict[str, Any]:
    """Test whether the ranked methods differ.

    Args:
        cells: Columns `ranks.CELLS`.
        controls: Methods that are not ranked.

    Returns:
        `computed`; `reason`, why not; `methods` and `blocks` that took part; `left_out`, the methods that lack a cell.
        Where it was computed also `alpha`, Friedman's `statistic` and `p_value`, `average_ranks` over blocks,
        `critical_difference`, `cliques` (methods that Nemenyi's test does not tell apart, two or more each), the
        p-values `nemenyi` and `wilcoxon_holm`, by method and method, and `powerless`: by name the tests that can find
        nothing with so many methods and clients, and why.
    """
    ranked = cells[~cells["method"].isin(controls)]
    present = ranked[~ranked["missing"]].groupby("method").size()
    expected = len(ranked[["federation", "client", "seed"]].drop_duplicates())
    lacking = sorted(m for m in ranked["method"].unique() if present.get(m, 0) < expected)
    table = _blocks(ranked[~ranked["method"].isin(lacking)])
    found: dict[str, Any] = {
        "computed": False,
        "reason": _reason(table),
        "methods": list(table.columns),
        "blocks": [list(block) for block in table.index],
        "left_out": lacking,
    }
    return found if found["reason"] else {**found, "computed": True, **_tests(table)}


def critical_difference(methods: int, blocks: int) -> float:
    """The least difference of two average ranks that Nemenyi's test finds, at the level `ALPHA`.

    With k methods and N blocks it is q / sqrt(2) * sqrt(k (k + 1) / 6 N), where q is the quantile of the studentized
    range of k means.
    """
    quantile = studentized_range.ppf(1 - ALPHA, methods, np.inf)
    return float(quantile / math.sqrt(2) * math.sqrt(methods * (methods + 1) / (6 * blocks)))


def cliques(average_ranks: pd.Series, difference: float) -> list[list[str]]:
    """The largest sets of methods whose average ranks all lie closer than the critical difference.

    Sets of two methods or more, each in the order of the ranks; none is part of another.
    """
    ordered = average_ranks.sort_values(kind="stable")
    values, found, reached = ordered.to_numpy(float), [], 0
    for first in range(len(values)):
        end = int(np.searchsorted(values, values[first] + difference, side="left"))
        if end - first > 1 and end > reached:
            found.append([str(method) for method in ordered.index[first:end]])
        reached = max(reached, end)
    return found


def powerless(methods: int, blocks: int) -> dict[str, str]:
    """The tests of pairs that can find nothing at the level `ALPHA`, however far methods are apart, and why.

    `nemenyi` where its critical difference is as large as ranks can differ, `wilcoxon_holm` where its smallest p-value,
    2 / 2^blocks, is too large for Holm's first step.
    """
    found = {}
    if (least := critical_difference(methods, blocks)) >= methods - 1:
        found["nemenyi"] = f"its critical difference {least:.2f} is as large as average ranks can differ"
    pairs, smallest = methods * (methods - 1) // 2, 2.0 ** (1 - blocks)
    if smallest * pairs > ALPHA:
        found["wilcoxon_holm"] = (
            f"with {blocks} clients its smallest p-value is {smallest:.2g}, for each of {pairs} pairs"
        )
    return found


def _blocks(cells: pd.DataFrame) -> pd.DataFrame:
    """One row per (federation, client), one column per method; larger is better. A diverged model is the worst."""
    table = cells.pivot(index=["federation", "client", "seed"], columns="method", values="value")
    table = table.groupby(level=["federation", "client"], sort=False).mean(skipna=False)
    higher = cells.groupby("federation")["higher_is_better"].first()[table.index.get_level_values("federation")]
    merit = pd.DataFrame(np.where(higher.to_numpy()[:, None], table, 1 - table), table.index, table.columns)
    worst = merit.min(axis=1).clip(upper=0).fillna(0) - _DIVERGED
    # Rounded, so that scores that are equal but for the order of their sum are ties.
    return merit.T.fillna(worst).T.round(DIGITS)


def _reason(table: pd.DataFrame) -> str:
    """Why nothing can be computed; empty where it can."""
    blocks, methods = table.shape
    if methods < LEAST:
        return f"{methods} ranked methods have all their results, and the test needs {LEAST} or more"
    if blocks < LEAST:
        return f"there are {blocks} clients, and the test needs {LEAST} or more"
    if (table.nunique(axis=1) == 1).all():
        return "all methods have equal scores on every client"
    return ""


def _tests(table: pd.DataFrame) -> dict[str, Any]:
    """Run the tests on a table of blocks and methods."""
    (blocks, methods), names = table.shape, list(table.columns)
    statistic, p_value = friedmanchisquare(*table.to_numpy().T)
    ranks = rankdata(-table.to_numpy(), axis=1)
    average_ranks = pd.Series(ranks.mean(axis=0), index=table.columns)
    difference = critical_difference(methods, blocks)
    nemenyi = scikit_posthocs.posthoc_nemenyi_friedman(table.to_numpy())
    # `zsplit` keeps pairs of methods that are equal on some clients, or on all. With such ties scipy's own choice would
    # try all signs of all pairs, which takes minutes; the exact distribution without ties is close, and quick.
    wilcoxon = scikit_posthocs.posthoc_wilcoxon(
        table.to_numpy().T.tolist(),
        zero_method="zsplit",
        method="exact" if blocks <= _MOST_EXACT else "asymptotic",
        p_adjust="holm",
    )
    return {
        "alpha": ALPHA,
        "statistic": float(statistic),
        "p_value": float(p_value),
        "average_ranks": average_ranks.to_dict(),
        "critical_difference": difference,
        "cliques": cliques(average_ranks, difference),
        "powerless": powerless(methods, blocks),
        "nemenyi": nemenyi.set_axis(names).set_axis(names, axis=1).to_dict("index"),
        "wilcoxon_holm": wilcoxon.set_axis(names).set_axis(names, axis=1).to_dict("index"),
    }
