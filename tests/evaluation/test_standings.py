"""Where methods stand, on results that are checked by hand or by the Monte Carlo method."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from scipy.stats import rankdata

from benchmark.evaluation.counts import Counts
from benchmark.evaluation.estimate import Estimate
from benchmark.evaluation.ranks import client_ranks, overall_ranks
from benchmark.evaluation.standings import drawn_together, places, rank_differences, rank_interval, standings
from benchmark.evaluation.statistics import ALL
from benchmark.tasks.classification import Classification
from benchmark.tasks.segmentation import Segmentation
from tests.evaluation import hand
from tests.evaluation.distance import Distance
from tests.evaluation.given import client, counted, lost
from tests.evaluation.hand import AVERAGE_RANKS, CLIENTS, METHODS

B = 300
FREE = np.inf


class Falling(Classification):
    """Classification where a small balanced accuracy is the better one."""

    higher_is_better = False


def test_what_is_observed_is_as_by_hand() -> None:
    found = standings([client(name) for name in CLIENTS], [], B)
    assert dict(zip(found.ranked, found.average_rank("d")[0], strict=True)) == pytest.approx(AVERAGE_RANKS)
    assert found.mean("d").value == pytest.approx([2.25 / 3, 2.125 / 3, 1 / 3])
    assert found.sites["d", "x"].scores.value == pytest.approx([1, 0.625, 0.375])


def test_observed_ranks_are_what_the_tables_say() -> None:
    found = standings([client(name) for name in CLIENTS], ["b"], 1)
    ranks = overall_ranks(client_ranks(hand.cells(), ["b"]))
    assert found.ranked == list(ranks.index)
    assert found.average_rank(ALL)[0] == pytest.approx(ranks.to_numpy())


def test_equal_methods_have_ranks_that_spread_as_friedman_has_them() -> None:
    """Without ties, the average of K clients' ranks among R has the variance (R^2 - 1) / 12 K."""
    generator = np.random.default_rng(0)
    own = [
        counted((generator.random((4, 1, 80, 1)) < 0.5).astype(float), np.ones((80, 1)), "abcd", client=name)
        for name in "xyz"
    ]
    # Equal scores of all, so that nothing is further apart than noise has it.
    ranks = standings(own, [], 4000).average_rank("d")
    assert ranks[1:].var(axis=0).mean() == pytest.approx(15 / 12 / 3, rel=0.15)
    assert np.array_equal(places(ranks, FREE * np.ones((ranks.shape[1],) * 2)), [[1] * 4, [4] * 4])


def test_methods_that_are_clearly_apart_have_their_places() -> None:
    hits = np.stack([np.arange(200) < right for right in (195, 120, 40)]).astype(float)[:, None, :, None]
    own = [
        counted(hits[:, :, np.random.default_rng(k).permutation(200)], np.ones((200, 1)), client=str(k))
        for k in range(4)
    ]
    ranks = standings(own, [], B).average_rank("d")
    assert np.array_equal(places(ranks, FREE * np.ones((ranks.shape[1],) * 2)), [[1, 2, 3]] * 2)
    low, high = rank_interval(ranks)
    assert (low <= ranks[0]).all()
    assert (high - low < 0.5).all()


def test_places_follow_from_all_pairs_at_once() -> None:
    """Independent average ranks with standard deviation 0.1: all 28 pairs need the studentized range's 0.43."""
    generator = np.random.default_rng(0)
    observed = np.array([2.0, 2.2, 2.3, 4.5, 4.6, 5.0, 7.0, 8.0])
    ranks = np.concatenate([observed[None], 4 + 0.1 * generator.standard_normal((20_000, 8))])
    critical = rank_differences(ranks)[2]
    assert critical * 0.1 * np.sqrt(2) == pytest.approx(0.1 * stats.studentized_range.ppf(0.95, 8, np.inf), rel=0.02)
    assert np.array_equal(
        places(ranks, FREE * np.ones((ranks.shape[1],) * 2)), [[1, 1, 1, 4, 4, 5, 7, 8], [3, 3, 3, 5, 6, 6, 7, 8]]
    )


def test_scores_are_drawn_together_as_far_as_noise_explains_their_spread() -> None:
    def estimate(value: list[float], variance: float) -> Estimate:
        count = len(value)
        parts = variance * np.eye(count)[None]
        return Estimate(np.array(value)[:, None], np.array(value), parts[0], parts, np.array([np.inf]), (0, 1))

    close = drawn_together(estimate([0.5, 0.52, 0.54], 0.01), [0, 1, 2])
    assert close == pytest.approx([0.52] * 3)
    # 3 scores have two degrees of freedom: noise of variance v explains v chi2(0.95, 2) of the sum of squares, 0.32.
    wide = drawn_together(estimate([0.1, 0.5, 0.9], 0.01), [0, 1, 2])
    kept = 1 - 0.01 * stats.chi2.ppf(0.95, 2) / 0.32
    assert wide == pytest.approx([0.5 - 0.4 * kept, 0.5, 0.5 + 0.4 * kept])


def test_another_client_changes_no_draw_and_order_changes_nothing() -> None:
    all_three, alone = (standings([client(name) for name in names], [], B) for names in (CLIENTS, "x"))
    assert (all_three.sites["d", "x"].ranks == alone.sites["d", "x"].ranks).all()
    turned = standings([client(name) for name in reversed(CLIENTS)], [], B)
    np.testing.assert_allclose(turned.average_rank(ALL), all_three.average_rank(ALL), rtol=1e-12)
    other = standings([client("x", federation="e")], [], B)
    assert not (other.sites["e", "x"].ranks == alone.sites["d", "x"].ranks).all()


def test_a_diverged_model_is_last_in_every_draw() -> None:
    found = standings([lost(client("x"), 0)], [], B)
    assert (found.sites["d", "x"].ranks[:, 0] == 3).all()
    # First in seed 0, last in seed 1.
    once = standings([lost(client("x"), 0, 1)], [], B)
    assert once.sites["d", "x"].ranks[0, 0] == 2


def test_a_missing_cell_makes_the_methods_rank_missing_and_no_other() -> None:
    counts = client("x")
    missing = counts.missing.copy()
    missing[0, 0] = True
    counts.values[0, 0] = np.nan
    ranks = standings([replace(counts, missing=missing)], [], B).sites["d", "x"].ranks
    assert np.isnan(ranks[:, 0]).all()
    assert not np.isnan(ranks[:, 1:]).any()


def test_a_client_that_nothing_is_there_of_is_missing() -> None:
    nothing, absent = np.full((3, 2, 0, 0, 0), np.nan), np.ones((3, 2), dtype=bool)
    counts = Counts("d", "w", client("x").task, [], np.arange(0), list(METHODS), [0, 1], nothing, absent)
    found = standings([client("x"), counts], [], B)
    assert np.isnan(found.average_rank("d")).all()
    assert found.reason(ALL) == "w: there is no test result"


def test_federations_weigh_the_same() -> None:
    found = standings([client("x"), client("y"), client("z", federation="e")], [], B)
    expected = (found.average_rank("d") + found.average_rank("e")) / 2
    np.testing.assert_array_equal(found.average_rank(ALL), expected)


def test_where_less_is_better_ranks_turn_round() -> None:
    own = client("x")
    up, down = (standings([counts], [], B) for counts in (own, replace(own, task=Falling(own.task.classes))))
    np.testing.assert_allclose(down.sites["d", "x"].ranks, 4 - up.sites["d", "x"].ranks)


def test_corrected_scores_are_above_chance_and_a_score_without_bounds_has_none() -> None:
    found = standings([client(name) for name in CLIENTS], [], B)
    expected = (found.mean("d").value - 0.5) / 0.5
    corrected = found.corrected(ALL)
    assert corrected is not None
    assert corrected.value == pytest.approx(expected)
    other = replace(client("x", federation="e"), task=Distance(["e"]))
    assert standings([client("x"), other], [], B).corrected(ALL) is None


def test_the_rarest_class_is_named() -> None:
    totals = np.eye(3)[[0, 0, 0, 1, 1]]
    site = standings([counted(np.ones((3, 1, 5, 3)) * totals, totals)], [], B).sites["d", "x"]
    assert (site.groups, site.fewest, site.rarest) == (5, 2, "class 1")


def test_a_class_is_counted_where_targets_show_it_though_every_case_has_a_score_of_it() -> None:
    """Six cases of five patients: all show the organ, two cases of one patient the lesion, and none the cyst."""
    values = np.zeros((3, 1, 6, 4, 3))
    values[..., 1, 2], values[..., :2, 2, 2] = 7, 5
    task = Segmentation(("background", "organ", "lesion", "cyst"))
    patients, of = list("pqrst"), np.array([0, 0, 1, 2, 3, 4])
    held = Counts("d", "x", task, patients, of, list(METHODS), [0], values, np.zeros((3, 1), dtype=bool))
    assert (held.weights > 0).all(), "every case counts in every class"
    assert held.support.tolist() == [5, 1, 0]
    site = standings([held], [], B).sites["d", "x"]
    assert (site.groups, site.fewest, site.rarest) == (5, 0, "cyst")
    two = replace(held, task=Segmentation(task.classes[:3]), values=values[..., :3, :])
    site = standings([two], [], B).sites["d", "x"]
    assert (site.groups, site.fewest, site.rarest) == (5, 1, "lesion")


def test_ranks_of_a_draw_are_those_of_its_scores() -> None:
    """Every row of ranks adds up to 1 + 2 + 3, whatever is drawn."""
    ranks = standings([client(name) for name in CLIENTS], [], B).average_rank("d")
    assert ranks.sum(axis=1) == pytest.approx(np.full(B + 1, rankdata([1, 2, 3]).sum()))
