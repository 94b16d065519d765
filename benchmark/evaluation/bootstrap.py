"""The paired bootstrap: every score, mean and average rank on thousands of resampled test sets.

A resample draws the groups of every client with replacement, and the seeds of every federation. Groups, not images:
images of one lesion or patient are alike, and drawing them one by one would promise more than the test set holds.
Groups that the task says are alike (`Task.drawn_among`) are drawn among themselves, as many as there are. All methods
see the same draws, so that what is easy or hard for all of them cancels where two are compared. A draw depends on the
names of federation and client alone, not on which methods or other clients take part.

Row 0 of every array is the test set as it is; rows 1 to B are the resamples. The interval covers another draw of test
samples, and of seeds where there are several. It does not cover other clients, other training images or another rate.
A client with one group has no spread, nor has a group that is like no other, and two or three give a coarse one: such
an interval is too narrow, whatever its width; so is what two or three seeds add.

Ranks of noisy scores move towards the middle: resampling adds noise to scores that hold some already, so that the
interval of an average rank near 1 or near the last place may lie wholly to one side of the average rank itself.
"""

import hashlib
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from benchmark.evaluation.counts import Counts
from benchmark.evaluation.merit import merit
from benchmark.evaluation.statistics import ALL, MEAN
from benchmark.tasks.task import Floats, Task

RESAMPLES = 2000
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Resampled:
    """Scores and ranks on the test set and on B resamples of it.

    Attributes:
        methods: Names of the M methods.
        ranked: Names of the R methods that are ranked.
        scores: By (federation, client), each method's score averaged over seeds, `(B + 1, M)`. NaN where a model
            diverged or a cell is missing.
        ranks: By (federation, client), each ranked method's rank averaged over seeds, `(B + 1, R)`. NaN where a cell is
            missing; a model that diverged has the last rank.
        groups: By (federation, client), how many groups were drawn from.
        tasks: By federation, what was learned.
    """

    methods: Sequence[str]
    ranked: Sequence[str]
    scores: dict[tuple[str, str], Floats]
    ranks: dict[tuple[str, str], Floats]
    groups: dict[tuple[str, str], int]
    tasks: dict[str, Task]

    @cached_property
    def federations(self) -> list[str]:
        """The federations, in the order of the clients."""
        return list(dict.fromkeys(federation for federation, _ in self.scores))

    @property
    def comparable(self) -> list[str]:
        """Of what there are means: every federation, and `ALL` together where all have the same score."""
        one = len({(task.name, task.score_name) for task in self.tasks.values()}) == 1
        return [*self.federations, *([ALL] if one else [])]

    def higher_is_better(self, federation: str) -> bool:
        """The direction of a federation's score, or of that of `ALL`."""
        return self.tasks[self.federations[0] if federation == ALL else federation].higher_is_better

    def mean(self, federation: str) -> Floats:
        """Every method's mean score over a federation's clients, or over `ALL` federations, `(B + 1, M)`."""
        return self._over(self.scores, federation)

    def average_rank(self, federation: str) -> Floats:
        """Every ranked method's average rank on a federation, or over `ALL` federations, `(B + 1, R)`."""
        return self._over(self.ranks, federation)

    def _over(self, arrays: dict[tuple[str, str], Floats], federation: str) -> Floats:
        if federation == ALL:
            return _mean([self._over(arrays, name) for name in self.federations])
        return _mean([array for (name, _), array in arrays.items() if name == federation])


def resample(counts: Sequence[Counts], controls: Collection[str], resamples: int = RESAMPLES) -> Resampled:
    """Score and rank all methods on resampled test sets.

    Args:
        counts: The counts of every client, as `counts.read` returns them.
        controls: Methods that are not ranked.
        resamples: The number B of resamples.

    Returns:
        Scores and ranks.
    """
    methods = list(counts[0].methods)
    chosen = [place for place, method in enumerate(methods) if method not in controls]
    scores, ranks = {}, {}
    for client in counts:
        key, cells = (client.federation, client.client), _scores(client, resamples)
        seeds = draws((client.federation,), len(client.seeds), resamples) / len(client.seeds)
        scores[key] = _over_seeds(cells, seeds)
        higher = client.task.higher_is_better
        own = _ranks(cells[:, chosen], client.missing[chosen], higher_is_better=higher)
        ranks[key] = _over_seeds(own, seeds)
    groups = {(client.federation, client.client): len(client.groups) for client in counts}
    tasks = {client.federation: client.task for client in counts}
    return Resampled(methods, [methods[place] for place in chosen], scores, ranks, groups, tasks)


def draws(key: Sequence[str], size: int, resamples: int) -> Floats:
    """How often each of several things is drawn.

    Args:
        key: What is drawn from; the draws depend on it and on nothing else.
        size: Number of things, n.
        resamples: The number B of draws of n things.

    Returns:
        Counts that add up to n, `(B + 1, n)`; row 0 holds each thing once.
    """
    counted = np.ones((resamples + 1, size))
    if size > 1:
        digest = hashlib.sha256(json.dumps(list(key)).encode()).digest()
        generator = np.random.default_rng(int.from_bytes(digest[:16], "big"))
        counted[1:] = generator.multinomial(size, np.full(size, 1 / size), size=resamples)
    return counted


def group_draws(counts: Counts, resamples: int) -> Floats:
    """How often each of a client's groups is drawn, among those that the task says are alike.

    Args:
        counts: The client's counts.
        resamples: The number B of draws.

    Returns:
        Counts, `(B + 1, G)`; row 0 holds each group once.
    """
    drawn = np.ones((resamples + 1, len(counts.groups)))
    kinds = counts.task.drawn_among(counts.grouped)
    for kind in sorted(set(kinds)):
        own = np.array([other == kind for other in kinds])
        key = (counts.federation, counts.client, *map(str, kind))
        drawn[:, own] = draws(key, int(own.sum()), resamples)
    return drawn


def interval(values: Floats) -> tuple[Floats, Floats]:
    """The percentile interval of something resampled.

    Args:
        values: Row 0 is the value, the other B rows are resamples, `(B + 1, ...)`.

    Returns:
        Low and high, `(...)` each; NaN where a resample is.
    """
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(values[1:], [tail, 100 - tail], axis=0)
    return low, high


def quantities(resampled: Resampled) -> list[tuple[str, str, str, Floats, Sequence[str]]]:
    """All that is resampled: federation, client, quantity, values `(B + 1, M)` and the M methods that they are of."""
    found = [
        (federation, client, "score", values, resampled.methods)
        for (federation, client), values in resampled.scores.items()
    ]
    for federation in [*resampled.federations, ALL]:
        if federation in resampled.comparable:
            found.append((federation, MEAN, "mean", resampled.mean(federation), resampled.methods))
        if resampled.ranked:
            found.append((federation, MEAN, "average_rank", resampled.average_rank(federation), resampled.ranked))
    return found


def _scores(counts: Counts, resamples: int) -> Floats:
    """A client's scores, `(B + 1, M, S)`: a unit is there as often as its group was drawn."""
    if not len(counts.groups):
        return np.full((resamples + 1, *counts.missing.shape), np.nan)
    weights = group_draws(counts, resamples)[:, counts.unit_groups]
    return np.where(counts.missing, np.nan, counts.task.score(counts.values, weights))


def _ranks(scores: Floats, missing: npt.NDArray[np.bool_], *, higher_is_better: bool) -> Floats:
    """Ranks among the methods whose cells are there, `(B + 1, M, S)`."""
    ranks = np.full(scores.shape, np.nan)
    ordered = -merit(scores, higher_is_better=higher_is_better)
    for s in range(scores.shape[2]):
        there = ~missing[:, s]
        ranks[:, there, s] = rankdata(ordered[:, there, s], axis=1)
    return ranks


def _over_seeds(cells: Floats, weights: Floats) -> Floats:
    """Means over drawn seeds, `(B + 1, M, S)` and `(B + 1, S)` -> `(B + 1, M)`; NaN where any seed is."""
    return np.einsum("bms,bs->bm", cells, weights)


def _mean(arrays: Sequence[Floats]) -> Floats:
    """The mean of arrays of equal shapes."""
    mean: Floats = np.mean(np.stack(arrays), axis=0)
    return mean
