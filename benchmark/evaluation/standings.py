"""Where methods stand on every client, federation and in all, and where other test sets and seeds would put them.

An average rank is not a smooth function of scores, and a resampled one is wrong: noise on top of noise moves every rank
towards the middle. What an interval of an average rank is of is therefore what the table would show on average, over
test sets and seeds of the same numbers. Its spread is that of ranks of drawn scores: normal, with the covariance of
`Estimate.noise` and of the seeds, around scores that are drawn together until they spread as much as true scores do
(the observed spread less that of noise, as in empirical Bayes). Around the observed scores themselves methods would be
further apart than they are, and ranks too steady.

Places follow from differences of average ranks, all pairs at once: a method is placed behind those alone that are ahead
of it by more than the critical value (Mogstad, Romano, Shaikh and Wilhelm 2024, doi 10.1093/restud/rdad006, section
3.1). All sets together hold all places of the average ranks that they are of, with the confidence that they are for.

Draws depend on the names of federation and client alone.
"""

import hashlib
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy import special
from scipy.stats import rankdata

from benchmark.evaluation.counts import Counts
from benchmark.evaluation.estimate import CONFIDENCE, Estimate, beyond, largest, mean_of, of_client, root
from benchmark.evaluation.merit import DIGITS, merit
from benchmark.evaluation.statistics import ALL
from benchmark.tasks.task import Floats, Task

DRAWS = 4000
"""Draws of every client's scores."""


@dataclass(frozen=True)
class Site:
    """One client.

    Attributes:
        task: What is learned.
        scores: The methods' scores, and how they covary.
        chance: The score of a prediction that looks at no image; None where unknown.
        groups: How many groups its test set has.
        fewest: How many groups show the part (class) of the score that the fewest show.
        rarest: That part.
        ranks: The ranked methods' ranks averaged over seeds, (B + 1, R); row 0 is observed, the others are drawn. NaN
            where a cell is missing; a model that diverged has the last rank.
    """

    task: Task
    scores: Estimate
    chance: float | None
    groups: int
    fewest: int
    rarest: str
    ranks: Floats

    @property
    def corrected(self) -> Estimate | None:
        """Scores on the scale on which chance is 0 and the best is 1; None where there is no such scale."""
        if self.chance is None or self.task.bounds is None:
            return None
        best = self.task.bounds[1 if self.task.higher_is_better else 0]
        return None if best == self.chance else self.scores.scaled(self.chance, best)


@dataclass(frozen=True)
class Standings:
    """All clients.

    Attributes:
        methods: Names of the M methods.
        ranked: Names of the R methods that are ranked.
        sites: By federation and client.
        draws: Federations that do not count among all: draws, of which the name that they share has sites too.
    """

    methods: Sequence[str]
    ranked: Sequence[str]
    sites: dict[tuple[str, str], Site]
    draws: Collection[str] = ()

    @cached_property
    def federations(self) -> list[str]:
        """The federations, in the order of the clients."""
        return list(dict.fromkeys(federation for federation, _ in self.sites))

    @cached_property
    def counted(self) -> list[str]:
        """The federations that count among all."""
        return [name for name in self.federations if name not in self.draws]

    def of(self, federation: str) -> dict[str, Site]:
        """The clients of a federation."""
        return {client: site for (name, client), site in self.sites.items() if name == federation}

    def mean(self, federation: str) -> Estimate:
        """The methods' mean scores over a federation's clients."""
        return mean_of({client: site.scores for client, site in self.of(federation).items()})

    def corrected(self, federation: str) -> Estimate | None:
        """Mean chance-corrected scores over the clients that have them, or over `ALL` federations; None without any."""
        if federation == ALL:
            parts = {name: found for name in self.counted if (found := self.corrected(name)) is not None}
            return mean_of(parts) if len(parts) == len(self.counted) else None
        own = {client: found for client, site in self.of(federation).items() if (found := site.corrected) is not None}
        return mean_of(own) if own else None

    def average_rank(self, federation: str) -> Floats:
        """The ranked methods' average ranks on a federation, or over `ALL` federations, (B + 1, R)."""
        parts: list[Floats] = (
            [self.average_rank(name) for name in self.counted]
            if federation == ALL
            else [site.ranks for site in self.of(federation).values()]
        )
        found: Floats = np.mean(parts, axis=0)
        return found

    def freedom(self, federation: str) -> Floats:
        """Degrees of freedom of differences of two ranked methods, (R, R): of their means, and over `ALL` the least."""
        if federation == ALL:
            return np.min([self.freedom(name) for name in self.counted], axis=0)
        chosen = [self.methods.index(method) for method in self.ranked]
        found: Floats = self.mean(federation).differences()[2][np.ix_(chosen, chosen)]
        return found

    def reason(self, federation: str) -> str:
        """Why average ranks have no intervals; empty where they have."""
        names = self.counted if federation == ALL else [federation]
        return "; ".join(found for name in names if (found := self.mean(name).reason))


def standings(
    counts: Sequence[Counts], controls: Collection[str], draws: int = DRAWS, parts: Collection[str] = ()
) -> Standings:
    """Score and rank all methods, and draw the ranks of other test sets and seeds, B times.

    `counts` are those of every client, as `counts.read` returns them; `parts` are federations that do not count among
    all, see `Standings.draws`.
    """
    methods = list(counts[0].methods)
    chosen = [place for place, method in enumerate(methods) if method not in controls]
    sites = {}
    for client in counts:
        found, held = of_client(client), client.support
        scored = np.flatnonzero(client.weights.any(axis=0))
        rarest = int(scored[held[scored].argmin()]) if len(scored) else None
        sites[client.federation, client.client] = Site(
            client.task,
            found,
            client.chance,
            len(client.groups),
            0 if rarest is None else int(held[rarest]),
            "" if rarest is None else client.task.part_names[rarest],
            _ranks(client, found, chosen, draws),
        )
    return Standings(methods, [methods[place] for place in chosen], sites, parts)


def generator(*key: str) -> np.random.Generator:
    """Random numbers that depend on these names and on nothing else."""
    digest = hashlib.sha256(json.dumps(list(key)).encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "big"))


def rank_interval(ranks: Floats) -> tuple[Floats, Floats]:
    """Low and high ends, between 1 and R, of the intervals of R average ranks, (R,) each.

    Of ranks (B + 1, R), here and below, row 0 is observed and the other B rows are drawn.
    """
    half = special.ndtri((1 + CONFIDENCE) / 2) * ranks[1:].std(axis=0)
    return np.maximum(ranks[0] - half, 1), np.minimum(ranks[0] + half, ranks.shape[1])


def rank_differences(ranks: Floats) -> tuple[Floats, Floats, float]:
    """Differences of average ranks (B + 1, R), rows less columns, and their standard errors, (R, R) each.

    The third is the critical value for all pairs at once.
    """
    drawn = ranks[1:] - ranks[1:].mean(axis=0)
    covariance = np.atleast_2d(np.cov(drawn.T, ddof=0))
    variances = np.diagonal(covariance)
    errors = np.sqrt(np.maximum(variances[:, None] + variances - 2 * covariance, 0))
    return ranks[0][:, None] - ranks[0], np.where(errors > 1e-9, errors, 0), largest(drawn, errors)


def places(ranks: Floats, freedom: Floats) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The first and the last place, from 1 to R, that each method may have, (R,) each; all pairs are compared at once.

    From ranks (B + 1, R) without NaN, and the freedom of differences, (R, R).
    """
    differences, errors, critical = rank_differences(ranks)
    apart = differences.round(DIGITS) > beyond(critical, freedom) * errors
    count: int = ranks.shape[1]
    return 1 + apart.sum(axis=1), count - apart.sum(axis=0)


def _ranks(client: Counts, estimate: Estimate, chosen: Sequence[int], draws: int) -> Floats:
    """The ranks of the chosen methods, averaged over seeds, observed and drawn: (B + 1, R)."""
    cells, higher = estimate.cells[chosen], client.task.higher_is_better
    seeds = cells.shape[1]
    missing = client.missing[chosen]
    drawn = np.concatenate([cells[None], _drawn(client, estimate, chosen, draws)])
    ordered, ranks = -merit(drawn, higher_is_better=higher), np.full(drawn.shape, np.nan)
    for s in range(seeds if len(client.groups) else 0):
        there = ~missing[:, s]
        ranks[:, there, s] = rankdata(ordered[:, there, s], axis=1) if there.any() else np.nan
    found: Floats = ranks.mean(axis=2)
    return found


def _drawn(client: Counts, estimate: Estimate, chosen: Sequence[int], draws: int) -> Floats:
    """Scores that the chosen methods may have on other test sets with other seeds, (B, R, S); NaN as observed."""
    methods, seeds = len(chosen), estimate.cells.shape[1]
    whole = np.arange(estimate.noise.shape[0]).reshape(-1, seeds)[chosen].reshape(-1)
    random = generator(client.federation, client.client)
    noise = random.standard_normal((draws, methods * seeds)) @ root(estimate.noise[np.ix_(whole, whole)]).T
    own = estimate.seeds[np.ix_(chosen, chosen)]
    between = random.standard_normal((draws, seeds, methods)) @ root(own).T
    centre = drawn_together(estimate, chosen)
    cells: Floats = centre[:, None] + noise.reshape(draws, methods, seeds) + between.swapaxes(1, 2)
    return np.where(np.isnan(estimate.cells[chosen]), np.nan, cells)


def drawn_together(estimate: Estimate, chosen: Sequence[int]) -> Floats:
    """Scores of some methods, (R,), moved towards their mean until they spread as true ones are estimated to."""
    value = estimate.value[chosen]
    known = np.flatnonzero(~np.isnan(value))
    covariance = estimate.summands[0].sum(axis=0)[np.ix_(chosen, chosen)][np.ix_(known, known)]
    if not len(known):
        return value
    away = value - value[known].mean()
    centred = covariance - covariance.mean(axis=0)
    centred -= centred.mean(axis=1, keepdims=True)
    noise, observed = centred.trace(), float((away[known] ** 2).sum())
    degrees = max(noise**2 / max(float((centred**2).sum()), np.finfo(float).tiny), 1.0)
    most = noise / degrees * 2 * special.gammaincinv(degrees / 2, CONFIDENCE)  # A quantile of chi square.
    kept = max(0.0, 1 - most / observed) if observed > 0 else 0.0
    found: Floats = value[known].mean() + kept * away
    # A model that diverged in some seeds is as good as any in the others.
    return np.where(np.isnan(found), value[known].mean(), found)
