"""How sure scores are: what other test samples, and other seeds, would change in them.

A score is a mean over parts (classes, mostly) of ratios (`Task.ratios`). Another test set would hold other groups:
lesions, patients. Of part p, whose groups g hold the weights w_g = d_g / sum d and have the outcomes y_g = num_g / d_g,
the ratio is r_p = sum w_g y_g. It has n_p = 1 / sum w_g^2 groups effectively (Kish 1965): all of them where all weigh
the same. Its variance is estimated twice:

* by its own groups, sum w_g^2 (y_g - r_p)^2 / (1 - w_g): linearisation with groups as primary units (Cochran, Sampling
  Techniques, 1977, section 6), with Bell and McCaffrey's correction for few unequal ones (2002, Survey Methodology 28).
  One group says nothing, and groups that are all alike say zero;
* by the groups of all parts together, S sum w_g^2, where S is the variance of outcomes within parts, pooled, and
  that of ratios between parts: collapsed strata (Cochran 1977, section 5A.12). It is too large rather than too small,
  since what parts differ by is in it. Where outcomes have bounds, S holds one sample more, half of it at either bound
  and independent between methods: who was always right need not stay so, nor need two who always agreed.

The two are averaged with the weights n_p - 1 and `PRIOR`, as a moderated variance is (Smyth 2004, doi
10.2202/1544-6115.1027). All of this is done for covariances between methods, so that a difference of two methods has
what is easy or hard for both taken out. Clients are independent. A group that several parts share makes them covary.

Where there are several seeds, the variance between their scores is added, moderated by that of all methods. With one
seed nothing is known of it.

Freedom is Satterthwaite's. Intervals of differences are Student's. Intervals of scores with bounds are Wilson's for the
number of samples that a proportion of this variance would have, which the comparison of Franco et al. (2019, doi
10.1093/jssam/smy019) recommends for complex samples; they lie within the bounds.

What is not in the variance: other clients, other training images, another rate.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy import special

from benchmark.evaluation.counts import Counts
from benchmark.tasks.task import Floats

CONFIDENCE = 0.95
PRIOR = 2.0
"""How many groups' worth of freedom the variance of all parts together has against that of a part's own groups."""
LEAST_GROUPS = 5
"""With fewer groups in a client's test set there is no interval: see the first table of `benchmarks/coverage.py`."""
DRAWS = 10_000
"""Draws of the largest of many standardised differences."""


@dataclass(frozen=True)
class Estimate:
    """The scores of M methods, on a client or averaged, and how they covary.

    Attributes:
        cells: By method and seed, (M, S). NaN where a model diverged or a cell is missing.
        settled: Scores with one group more, half of it at either bound, (M,): what a variance is compared with.
        noise: Covariance of the cells over test sets, (M S, M S).
        parts: Covariance of the methods' scores over test sets in J summands, (J, M, M).
        freedom: Degrees of freedom of each summand, (J,); infinite where it counts for none.
        bounds: Of the scores; None where there are none.
        reason: Why there are no intervals; empty where there are.
    """

    cells: Floats
    settled: Floats
    noise: Floats
    parts: Floats
    freedom: Floats
    bounds: tuple[float, float] | None
    reason: str = ""

    @cached_property
    def value(self) -> Floats:
        """Scores averaged over seeds, (M,)."""
        mean: Floats = self.cells.mean(axis=1)
        return mean

    @cached_property
    def seeds(self) -> Floats:
        """Covariance of the scores of one training with the seed, (M, M); zero with one seed."""
        return moderated(self.cells)

    @cached_property
    def summands(self) -> tuple[Floats, Floats]:
        """Covariances that add up to the whole one, (J + 1, M, M), and their freedom, (J + 1,)."""
        count = self.cells.shape[1]
        freedom = count - 1 + PRIOR if count > 1 else np.inf
        return np.concatenate([self.parts, self.seeds[None] / count]), np.append(self.freedom, freedom)

    def interval(self) -> tuple[Floats, Floats]:
        """Low and high ends of the scores, (M,) each; NaN where there is no interval."""
        low, high = np.full((2, len(self.value)), np.nan)
        if self.reason:
            return low, high
        parts, freedom = self.summands
        variance, quantile = _spread(np.diagonal(parts, axis1=1, axis2=2), freedom)
        if self.bounds is None:
            half = quantile * np.sqrt(variance)
            low, high = self.value - half, self.value + half
        else:
            least, most = self.bounds
            scale = most - least
            low, high = wilson(
                (self.value - least) / scale, (self.settled - least) / scale, variance / scale**2, quantile
            )
            low, high = least + scale * low, least + scale * high
        known = variance > 0
        return np.where(known, low, np.nan), np.where(known, high, np.nan)

    def differences(self) -> tuple[Floats, Floats, Floats]:
        """Rows less columns: the difference, its standard error and its freedom, (M, M) each; NaN as in `interval`."""
        difference = self.value[:, None] - self.value
        parts, freedom = self.summands
        own = np.diagonal(parts, axis1=1, axis2=2)
        variance, degrees = _added(own[:, :, None] + own[:, None, :] - parts - parts.swapaxes(1, 2), freedom)
        error = np.where(variance > 0, np.sqrt(variance), np.nan)
        return difference, np.full_like(error, np.nan) if self.reason else error, degrees

    def scaled(self, zero: float, one: float) -> "Estimate":
        """The same on another scale, on which these two scores are 0 and 1."""
        factor = 1 / (one - zero)
        ends = None if self.bounds is None else sorted((end - zero) * factor for end in self.bounds)
        return replace(
            self,
            cells=(self.cells - zero) * factor,
            settled=(self.settled - zero) * factor,
            noise=self.noise * factor**2,
            parts=self.parts * factor**2,
            bounds=None if ends is None else (ends[0], ends[1]),
        )


def over_trainings(estimate: Estimate) -> Estimate:
    """The same scores, averaged over their seeds, with what these add to the variance in it: one cell a method."""
    parts, freedom = estimate.summands
    return replace(estimate, cells=estimate.value[:, None], noise=parts.sum(axis=0), parts=parts, freedom=freedom)


def weighed(estimate: Estimate, weights: Floats) -> Estimate:
    """Sums of the methods' scores, and how they covary.

    Args:
        estimate: Of M methods.
        weights: Of each of N sums, the methods' weights, (N, M), which add up to one.

    Returns:
        The estimate of the sums. A method that no sum has may have diverged.
    """
    used = np.flatnonzero(weights.any(axis=0))
    own, seeds = weights[:, used], estimate.cells.shape[1]
    whole = np.arange(estimate.noise.shape[0]).reshape(-1, seeds)[used].reshape(-1)
    by_seed = np.kron(own, np.eye(seeds))
    return replace(
        estimate,
        cells=own @ estimate.cells[used],
        settled=own @ estimate.settled[used],
        noise=by_seed @ estimate.noise[np.ix_(whole, whole)] @ by_seed.T,
        parts=own @ estimate.parts[:, used][:, :, used] @ own.T,
    )


def of_client(counts: Counts) -> Estimate:
    """The scores of one client, and how they covary; without intervals with fewer than `LEAST_GROUPS` groups."""
    methods, seeds = counts.missing.shape
    groups, bounds = len(counts.groups), counts.task.bounds
    cells = np.full((methods, seeds), np.nan)
    if not groups:
        nothing = np.zeros((0, methods, methods))
        noise = np.zeros((methods * seeds, methods * seeds))
        return Estimate(cells, np.full(methods, np.nan), noise, nothing, np.zeros(0), bounds, "there is no test result")
    cells = np.where(counts.missing, np.nan, counts.task.score(counts.values))
    outcomes, weights, known = _outcomes(counts)  # (M S, G, P), (G, P), (M S,)
    present = weights.shape[1]
    kish = 1 / (weights**2).sum(axis=0)  # (P,)
    effective = kish - 1
    ratios = np.einsum("agp,gp->ap", outcomes, weights)
    errors = (outcomes - ratios[:, None]) * weights / present  # (M S, G, P)
    # A group that is a part alone has no error.
    own = errors * np.sqrt(effective / (effective + PRIOR) / np.where(weights < 1, 1 - weights, 1.0))
    within = outcomes - ratios[:, None]
    between = ratios - ratios.mean(axis=1, keepdims=True)
    together = np.einsum("agp,bgp,gp->ab", within, within, weights) / max((1 - 1 / kish).sum(), np.finfo(float).tiny)
    together = together + between @ between.T / present
    settled = ratios.mean(axis=1)
    if bounds is not None:
        (least, most), samples = bounds, counts.weights.sum()
        unseen = np.kron(np.eye(methods), np.ones((seeds, seeds))) * ((most - least) / 2) ** 2
        together = (samples * together + unseen) / (samples + 1)
        settled = (samples * settled + (least + most) / 2) / (samples + 1)
    shares = PRIOR / (effective + PRIOR) * (weights**2).sum(axis=0) / present**2  # (P,)
    by_part = np.einsum("agp,bgp->pab", own, own)
    whole = np.einsum("ag,bg->ab", own.sum(axis=2), own.sum(axis=2))
    parts = np.concatenate([by_part, shares[:, None, None] * together, (whole - by_part.sum(axis=0))[None]])
    parts[:, ~known, :] = parts[:, :, ~known] = 0
    freedom = np.concatenate([np.maximum(effective, 1), np.full(present, float(present)), [np.inf]])
    shape = (len(parts), methods, seeds, methods, seeds)
    reason = "" if groups >= LEAST_GROUPS else f"{groups} groups in the test set; an interval needs {LEAST_GROUPS}"
    return Estimate(
        cells,
        np.where(known, settled, np.nan).reshape(methods, seeds).mean(axis=1),
        parts.sum(axis=0),
        parts.reshape(shape).mean(axis=(2, 4)),
        freedom,
        bounds,
        reason,
    )


def mean_of(estimates: Mapping[str, Estimate]) -> Estimate:
    """The mean of independent estimates of the same methods and seeds, by name, each with the same weight."""
    found, count = list(estimates.values()), len(estimates)
    bounds = [one.bounds for one in found if one.bounds is not None]
    least, most = (float(np.mean(ends)) for ends in zip(*bounds, strict=True)) if bounds else (np.nan, np.nan)
    return Estimate(
        np.mean([one.cells for one in found], axis=0),
        np.mean([one.settled for one in found], axis=0),
        np.sum([one.noise for one in found], axis=0) / count**2,
        np.concatenate([one.parts for one in found]) / count**2,
        np.concatenate([one.freedom for one in found]),
        (least, most) if len(bounds) == count else None,
        "; ".join(f"{name}: {one.reason}" for name, one in estimates.items() if one.reason),
    )


def moderated(cells: Floats) -> Floats:
    """The covariance (M, M) of methods from seed to seed, drawn towards what all methods have in common.

    From scores by method and seed, (M, S), it is the mean of the methods' own covariance, with the weight S - 1, and
    one variance and one correlation for all, with the weight `PRIOR`. Zero with one seed, and for a method with NaN,
    which is left out.
    """
    methods, seeds = cells.shape
    found = np.zeros((methods, methods))
    known = ~np.isnan(cells).any(axis=1)
    if seeds < 2 or not known.any():
        return found
    away = cells[known] - cells[known].mean(axis=1, keepdims=True)
    own = away @ away.T / (seeds - 1)
    count = len(own)
    variance = own.trace() / count
    shared = (own.sum() - own.trace()) / (count * (count - 1)) if count > 1 else 0.0
    common = np.full(own.shape, max(shared, 0.0))
    np.fill_diagonal(common, variance)
    found[np.ix_(known, known)] = ((seeds - 1) * own + PRIOR * common) / (seeds - 1 + PRIOR)
    return found


def wilson(value: Floats, settled: Floats, variance: Floats, quantile: Floats) -> tuple[Floats, Floats]:
    """Wilson's interval of proportions whose variance is known otherwise than from a number of samples.

    Args:
        value: Estimates in [0, 1], (M,).
        settled: Estimates in (0, 1) that the variance belongs to, (M,).
        variance: Their variances, (M,).
        quantile: Student's, (M,).

    Returns:
        Low and high ends in [0, 1], (M,) each.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        samples = settled * (1 - settled) / variance
        share = quantile**2 / samples
        half = np.sqrt(share * value * (1 - value) + share**2 / 4)
        low, high = ((value + share / 2 + side * half) / (1 + share) for side in (-1, 1))
    return np.clip(low, 0, 1), np.clip(high, 0, 1)


def simultaneous(covariance: Floats, generator: np.random.Generator) -> float:
    """What the largest of all standardised differences of two methods stays below, in `CONFIDENCE` of all draws.

    From the covariance of M methods, (M, M): a critical value for normal differences. For two methods it is the normal
    quantile, nearly.
    """
    variances = np.diagonal(covariance)
    errors = np.sqrt(np.maximum(variances[:, None] + variances - 2 * covariance, 0))
    return largest(generator.standard_normal((DRAWS, len(covariance))) @ root(covariance).T, errors)


def largest(draws: Floats, errors: Floats) -> float:
    """The `CONFIDENCE` quantile of the largest |difference of two| / error in each of B draws, (B, M) and (M, M)."""
    found = np.zeros(len(draws))
    for m in range(draws.shape[1] - 1):
        error = errors[m, m + 1 :]
        away = np.abs(draws[:, [m]] - draws[:, m + 1 :])[:, error > 0] / error[error > 0]
        found = np.maximum(found, away.max(axis=1, initial=0))
    return float(np.quantile(found, CONFIDENCE))


def beyond(critical: float, freedom: Floats) -> Floats:
    """What is as rare among Student's numbers as a critical value is among normal ones, of the freedom's shape."""
    # Of `scipy.special` throughout: `scipy.stats` takes a second to start, in every job that reads an estimate.
    found: Floats = -special.stdtrit(freedom, special.ndtr(-critical))
    return found if np.isfinite(critical) else np.full_like(found, np.inf)


def root(covariance: Floats) -> Floats:
    """A matrix whose product with its transpose is the covariance."""
    values, vectors = np.linalg.eigh(covariance)
    found: Floats = vectors * np.sqrt(np.maximum(values, 0))
    return found


def _outcomes(counts: Counts) -> tuple[Floats, Floats, npt.NDArray[np.bool_]]:
    """What groups are worth in each cell, (M S, G, P), their weights in each part, (G, P), and which cells count."""
    above = counts.task.ratios(counts.values)[0]
    methods, seeds, units, parts = above.shape
    above = above.reshape(methods * seeds, units, parts)
    known = np.array([not np.isnan(one).any() for one in above])
    sums = np.zeros((len(counts.groups), methods * seeds, parts))
    np.add.at(sums, counts.unit_groups, above.swapaxes(0, 1))
    weights = counts.weights
    shown = weights.sum(axis=0) > 0
    weights = weights[:, shown]
    held = weights > 0
    outcomes: Floats = np.where(held & known[:, None, None], sums.swapaxes(0, 1)[..., shown], 0.0) / np.where(
        held, weights, 1.0
    )
    return outcomes, weights / weights.sum(axis=0), known


def _added(summands: Floats, freedom: Floats) -> tuple[Floats, Floats]:
    """Variances that are sums, (J, ...) -> (...), and their degrees of freedom by Satterthwaite, one at least."""
    degrees = freedom.reshape(-1, *[1] * (summands.ndim - 1))
    variance = np.maximum(summands.sum(axis=0), 0.0)
    below = (summands**2 / degrees).sum(axis=0)
    return variance, np.maximum(variance**2 / np.where(below > 0, below, 1.0), 1.0)


def _spread(summands: Floats, freedom: Floats) -> tuple[Floats, Floats]:
    """Variances that are sums, and Student's quantile for them."""
    variance, degrees = _added(summands, freedom)
    return variance, special.stdtrit(degrees, (1 + CONFIDENCE) / 2)
