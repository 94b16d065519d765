"""How sure scores are: against closed forms, loops and scipy."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from scipy.stats import binomtest

from benchmark.evaluation import estimate as estimates
from benchmark.evaluation.counts import Counts
from benchmark.evaluation.estimate import (
    LEAST_GROUPS,
    PRIOR,
    Estimate,
    mean_of,
    moderated,
    of_client,
    over_trainings,
    weighed,
)
from benchmark.tasks.task import Floats
from tests.evaluation.distance import Distance
from tests.evaluation.given import client, counted, drawn, lost


def total(estimate: Estimate) -> Floats:
    """The whole covariance of the methods' scores."""
    found: Floats = estimate.summands[0].sum(axis=0)
    return found


def single(hits: Sequence[Sequence[int]]) -> Counts:
    """One client, one method: a class for each list, whose lesions of one image are hit or not."""
    classes = len(hits)
    right = [(c, hit) for c, own in enumerate(hits) for hit in own]
    totals, values = np.zeros((len(right), classes)), np.zeros((1, 1, len(right), classes))
    for group, (c, hit) in enumerate(right):
        totals[group, c], values[0, 0, group, c] = 1, hit
    return counted(values, totals, ["a"])


def test_the_variance_of_two_classes_is_that_by_hand() -> None:
    """Recalls 3/4 of four lesions and 1/2 of two: s2 / n is 3/16 / 3 and 1/4, S is 1.25/(3/4 + 1/2) + 1/64.

    The squares within classes are 3/4 and 1/2, as means 3/16 and 1/4; their sum over sum (1 - 1/n) is 7/20. Seven is
    the sample more, which is worth 1/4. Each class weighs 1/2, and has n - 1 against 2 degrees of freedom.
    """
    found = of_client(single([[1, 1, 1, 0], [1, 0]]))
    assert found.value.tolist() == [0.625]
    within = (3 / 16 + 1 / 4) / (3 / 4 + 1 / 2)
    together = (6 * (within + (1 / 8) ** 2) + 1 / 4) / 7
    own = [(3 / 16) / 3, (1 / 4) / 1]
    expected = sum(((n - 1) * v + PRIOR * together / n) / (n - 1 + PRIOR) / 4 for n, v in zip((4, 2), own, strict=True))
    assert total(found)[0, 0] == pytest.approx(expected, rel=1e-12)
    assert found.settled[0] == pytest.approx((6 * 0.625 + 0.5) / 7)


def test_many_lesions_of_one_class_have_wilsons_interval() -> None:
    """As scipy's for a proportion; what is moderated and Student's quantile differ by little."""
    hits = [1] * 280 + [0] * 120
    low, high = of_client(single([hits])).interval()
    expected = binomtest(280, 400).proportion_ci(0.95, "wilson")
    assert (low[0], high[0]) == pytest.approx((expected.low, expected.high), abs=1e-3)


def test_a_difference_has_the_error_of_a_paired_t_test() -> None:
    generator = np.random.default_rng(0)
    hits = (generator.random((2, 1, 300, 1)) < 0.6).astype(float)
    difference, error, freedom = of_client(counted(hits, np.ones((300, 1)), "ab")).differences()
    found = stats.ttest_rel(hits[0, 0, :, 0], hits[1, 0, :, 0])
    assert difference[0, 1] / error[0, 1] == pytest.approx(found.statistic, rel=0.01)
    assert freedom[0, 1] > 250
    assert difference[1, 0] == -difference[0, 1]


def test_groups_that_weigh_differently_are_corrected_as_by_a_loop() -> None:
    """Bell and McCaffrey's correction and Kish's number, part by part and group by group."""
    counts = drawn(1, 9, 3)
    hits, totals = counts.values[:, 0, :, :, 0], counts.values[0, 0, :, :, 2]
    found, groups = of_client(counts), range(9)
    weights = totals / totals.sum(axis=0)
    kish = [1 / sum(weights[g, p] ** 2 for g in groups) for p in range(3)]
    ratios = hits.sum(axis=1) / totals.sum(axis=0)
    own = np.zeros((3, 3))
    for g in groups:
        error = np.zeros(3)
        for p in range(3):
            if totals[g, p]:
                away = hits[:, g, p] / totals[g, p] - ratios[:, p]
                factor = (kish[p] - 1) / (kish[p] - 1 + PRIOR) / (1 - weights[g, p])
                error += weights[g, p] / 3 * away * np.sqrt(factor)
        own += np.outer(error, error)
    within = sum(
        weights[g, p] * np.outer(*[hits[:, g, p] / totals[g, p] - ratios[:, p]] * 2)
        for g in groups
        for p in range(3)
        if totals[g, p]
    ) / sum(1 - 1 / n for n in kish)
    between = np.cov(ratios, bias=True)
    together = (totals.sum() * (within + between) + np.eye(3) / 4) / (totals.sum() + 1)
    shared = sum(PRIOR / (n - 1 + PRIOR) / n / 9 for n in kish)
    np.testing.assert_allclose(total(found), own + shared * together, rtol=1e-10)


def test_a_class_of_one_lesion_and_a_model_that_is_always_right_have_a_width() -> None:
    low, high = of_client(single([[1] * 8, [1]])).interval()
    assert high[0] == pytest.approx(1)
    assert low[0] < 0.85


def test_two_methods_that_always_agree_are_not_held_for_equal() -> None:
    hits = np.tile(single([[1, 1, 0, 0, 1], [1, 0, 1]]).values[:1, :, :, :, 0], (2, 1, 1, 1))
    difference, error, _ = of_client(counted(hits, np.eye(2)[[0] * 5 + [1] * 3], "ab")).differences()
    assert difference[0, 1] == 0
    assert 0 < error[0, 1] < 0.3


@pytest.mark.parametrize("groups", [1, 2, LEAST_GROUPS - 1])
def test_with_few_groups_there_is_no_interval_and_it_says_why(groups: int) -> None:
    found = of_client(single([[1, 0] * 3][:1]) if groups > 5 else single([[1, 0, 1, 1][:groups]]))
    assert found.reason == f"{groups} groups in the test set; an interval needs {LEAST_GROUPS}"
    assert np.isnan(found.interval()).all()
    assert np.isnan(found.differences()[1]).all()
    whole = mean_of({"x": of_client(single([[1, 0] * 4])), "y": found})
    assert whole.reason == f"y: {found.reason}"
    assert np.isnan(whole.interval()).all()


def test_means_are_of_independent_clients() -> None:
    found = [of_client(drawn(seed, 9, 3)) for seed in range(3)]
    whole = mean_of(dict(zip("xyz", found, strict=True)))
    np.testing.assert_allclose(whole.value, np.mean([one.value for one in found], axis=0))
    np.testing.assert_allclose(total(whole), sum(total(one) for one in found) / 9)


def test_scores_without_bounds_have_students_interval_over_groups() -> None:
    """Cases of patients: the mean's error is that of patients' sums, as a loop has it; less is better or not."""
    generator = np.random.default_rng(0)
    errors, places = generator.gamma(2, size=12), np.repeat(np.arange(6), 2)
    values = errors.reshape(1, 1, 12, 1, 1)
    absent = np.zeros((1, 1), dtype=bool)
    counts = Counts("d", "x", Distance(["e"]), list("abcdef"), places, ["m"], [0], values, absent)
    found = of_client(counts)
    means = errors.reshape(6, 2).mean(axis=1)
    low, high = found.interval()
    assert found.value[0] == pytest.approx(errors.mean())
    assert total(found)[0, 0] == pytest.approx(means.var(ddof=1) / 6)
    variance, freedom = found.summands
    own = variance[:, 0, 0]
    degrees = own.sum() ** 2 / (own**2 / freedom).sum()
    assert 4 < degrees < 6
    assert high[0] - low[0] == pytest.approx(2 * stats.t.ppf(0.975, degrees) * np.sqrt(own.sum()))


def test_errors_that_are_all_equal_have_no_interval() -> None:
    values = np.ones((1, 1, 9, 1, 1))
    absent = np.zeros((1, 1), dtype=bool)
    counts = Counts("d", "x", Distance(["e"]), list("abcdefghi"), np.arange(9), ["m"], [0], values, absent)
    assert np.isnan(of_client(counts).interval()).all()


def test_seeds_add_their_variance_and_one_seed_none() -> None:
    """Two methods, three seeds: the methods' own covariance with the weight 2, and what is common to all with 2."""
    cells = np.array([[0.5, 0.6, 0.7], [0.4, 0.4, 0.1]])
    own = np.cov(cells)
    common = np.array([[own.trace() / 2, 0], [0, own.trace() / 2]])
    np.testing.assert_allclose(moderated(cells), (2 * own + PRIOR * common) / (2 + PRIOR))
    assert (moderated(cells[:, :1]) == 0).all()
    assert (moderated(np.array([[0.1, np.nan]])) == 0).all()
    whole = of_client(drawn(0, 9, 3, seeds=3))
    np.testing.assert_allclose(total(whole), whole.parts.sum(axis=0) + moderated(whole.cells) / 3)


def test_a_model_that_diverged_has_no_interval_and_changes_no_other() -> None:
    found, without = of_client(lost(client("x"), 0)), of_client(client("x"))
    low, high = found.interval()
    assert np.isnan(low).tolist() == np.isnan(high).tolist() == [True, False, False]
    np.testing.assert_allclose(found.noise[2:, 2:], without.noise[2:, 2:], rtol=1e-12)


def test_another_scale_moves_values_and_ends_alike() -> None:
    before = of_client(drawn(0, 12, 3))
    after = before.scaled(0.25, 1.0)
    np.testing.assert_allclose(after.value, (before.value - 0.25) / 0.75)
    np.testing.assert_allclose(after.interval(), (np.array(before.interval()) - 0.25) / 0.75)
    assert after.bounds == pytest.approx((-1 / 3, 1))


def test_the_critical_value_of_all_pairs_is_the_studentized_ranges() -> None:
    """Of independent methods with equal variance, the largest difference is a studentized range (Tukey)."""
    generator = np.random.default_rng(0)
    for methods in (2, 5):
        expected = stats.studentized_range.ppf(0.95, methods, np.inf) / np.sqrt(2)
        assert estimates.simultaneous(np.eye(methods), generator) == pytest.approx(expected, rel=0.02)


def test_a_client_that_nothing_is_there_of_has_no_score() -> None:
    absent = np.ones((3, 2), dtype=bool)
    counts = Counts(
        "d", "w", client("x").task, [], np.arange(0), list("abc"), [0, 1], np.full((3, 2, 0, 0, 0), np.nan), absent
    )
    found = of_client(counts)
    assert np.isnan(found.value).all()
    assert found.reason == "there is no test result"


def test_a_missing_cell_is_no_score() -> None:
    counts = client("x")
    missing = counts.missing.copy()
    missing[0, 0] = True
    counts.values[0, 0] = np.nan
    assert np.isnan(of_client(replace(counts, missing=missing)).value).tolist() == [True, False, False]


def test_sums_of_methods_have_the_variance_of_sums() -> None:
    """They are w' Sigma w, of scores and of cells; a method that no sum has may have diverged."""
    whole = of_client(drawn(3, 30, 3, methods=3, seeds=2))
    weights = np.array([[0.25, 0.75, 0], [0.5, 0.5, 0]])
    sums = weighed(whole, weights)
    assert sums.value == pytest.approx(weights @ whole.value)
    np.testing.assert_allclose(sums.parts.sum(axis=0), weights @ whole.parts.sum(axis=0) @ weights.T)
    by_seed = np.array([[w if s == t else 0 for w in row for t in (0, 1)] for row in weights for s in (0, 1)])
    np.testing.assert_allclose(sums.noise, by_seed @ whole.noise @ by_seed.T)
    weights_of_all = np.array([[0.25, 0.75], [0.5, 0.5]])
    np.testing.assert_allclose(
        moderated(sums.cells), moderated(weights_of_all @ whole.cells[:2])
    )  # The third plays no part.
    apart = weighed(of_client(lost(drawn(3, 30, 3, methods=3, seeds=2), 2)), weights)
    assert apart.value == pytest.approx(sums.value)
    assert np.isfinite(apart.interval()).all()


def test_trainings_are_averaged_with_what_they_differ_by() -> None:
    """Value and interval stay, and clients with other numbers of trainings can be averaged."""
    whole, other = (of_client(drawn(seed, 30, 3, seeds=seeds)) for seed, seeds in ((1, 2), (2, 3)))
    alone = over_trainings(whole)
    assert alone.cells.shape == (3, 1)
    np.testing.assert_allclose([alone.value, *alone.interval()], [whole.value, *whole.interval()])
    mean = mean_of({"x": alone, "y": over_trainings(other)})
    np.testing.assert_allclose(mean.value, (whole.value + other.value) / 2)
    np.testing.assert_allclose(total(mean), (total(whole) + total(other)) / 4)
