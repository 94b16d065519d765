"""The paired bootstrap, on results that are checked by hand or by a loop."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from benchmark.evaluation.bootstrap import draws, group_draws, interval, quantities, resample
from benchmark.evaluation.counts import Counts
from benchmark.evaluation.ranks import client_ranks, overall_ranks
from benchmark.evaluation.statistics import ALL
from benchmark.tasks.classification import Classification
from benchmark.tasks.task import Floats
from tests.evaluation import hand
from tests.evaluation.distance import Distance
from tests.evaluation.hand import AVERAGE_RANKS, CLIENTS, HITS, METHODS, SEEDS

B = 300


def counted(
    hits: Floats, totals: Floats, methods: Sequence[str] = METHODS, client: str = "x", federation: str = "d"
) -> Counts:
    """One client's counts from hits (M, S, G, C) and totals (G, C); what was predicted plays no part here."""
    true = np.broadcast_to(totals, hits.shape)
    task = Classification([f"class {c}" for c in range(totals.shape[1])])
    groups = [str(group) for group in range(len(totals))]
    values = np.stack([hits, np.where(np.isnan(hits), np.nan, 0), true], axis=-1)
    there = np.zeros(hits.shape[:2], dtype=bool)
    seeds = list(range(hits.shape[1]))
    return Counts(federation, client, task, groups, np.arange(len(groups)), list(methods), seeds, values, there)


def client(name: str, methods: Sequence[str] = METHODS, federation: str = "d") -> Counts:
    """A client of the example: every lesion is a group of one image."""
    hits = np.zeros((len(methods), len(SEEDS), 4, 2))
    for (m, method), (s, seed) in product(enumerate(methods), enumerate(SEEDS)):
        for image, right in enumerate(HITS[method, seed][CLIENTS.index(name)]):
            hits[m, s, image, image // 2] = right == "1"
    return counted(hits, np.repeat(np.eye(2), 2, axis=0), methods, name, federation)


def drawn(seed: int, groups: int, classes: int) -> Counts:
    """Random counts of groups with several images of several classes."""
    generator = np.random.default_rng(seed)
    totals = generator.integers(0, 3, (groups, classes)).astype(float)
    hits = generator.binomial(totals.astype(int), 0.6, (3, 2, groups, classes)).astype(float)
    return counted(hits, totals, client=f"drawn {seed}")


def lost(counts: Counts, *cell: int) -> Counts:
    """The same, but for a model that diverged: of what it was tested on all is known, of what it predicted nothing."""
    values = counts.values.copy()
    values[(*cell, ..., slice(0, 2))] = np.nan
    return replace(counts, values=values)


class Falling(Classification):
    """Classification where a small balanced accuracy is the better one."""

    higher_is_better = False


def test_without_resampling_all_is_as_by_hand() -> None:
    found = resample([client(name) for name in CLIENTS], [], resamples=B)
    assert dict(zip(found.ranked, found.average_rank("d")[0], strict=True)) == pytest.approx(AVERAGE_RANKS)
    assert found.mean("d")[0] == pytest.approx([2.25 / 3, 2.125 / 3, 1 / 3])
    assert found.scores["d", "x"][0] == pytest.approx([1, 0.625, 0.375])


def test_the_first_row_is_what_the_tables_say() -> None:
    found = resample([client(name) for name in CLIENTS], ["b"], resamples=1)
    ranks = overall_ranks(client_ranks(hand.cells(), ["b"]))
    assert found.ranked == list(ranks.index)
    assert found.average_rank(ALL)[0] == pytest.approx(ranks.to_numpy())


def test_resampled_scores_are_those_of_a_loop() -> None:
    """Every image is written down as often as its group is drawn; recalls are then counted one by one."""
    counts = drawn(0, groups=7, classes=3)
    found = resample([counts], [], resamples=20)
    weights = group_draws(counts, 20)
    seeds = draws(("d",), 2, 20)
    for b, m in product(range(21), range(3)):
        scores = []
        for s in range(2):
            images: dict[int, list[int]] = {}
            for g, c in product(range(7), range(3)):
                right, _, total = map(int, counts.values[m, s, g, c])
                images.setdefault(c, []).extend(([1] * right + [0] * (total - right)) * int(weights[b, g]))
            scores.append(np.mean([np.mean(hits) for hits in images.values() if hits]))
        assert found.scores["d", "drawn 0"][b, m] == pytest.approx(np.dot(seeds[b], scores) / 2)


def test_a_client_whose_groups_are_all_alike_has_an_interval_without_width() -> None:
    alike = np.tile([[1.0, 2.0]], (3, 2, 5, 1))
    values = resample([counted(alike, np.full((5, 2), 2.0))], [], resamples=B).scores["d", "x"]
    assert (values == 0.75).all()


def test_the_interval_of_one_class_is_that_of_a_mean() -> None:
    """One class of n lesions of which a share p is right: a resampled recall has the standard deviation sqrt(pq/n)."""
    n, p, resamples = 50, 0.3, 4000
    hits = np.tile((np.arange(n) < p * n).astype(float)[:, None], (1, 1, 1, 1))
    values = resample([counted(hits, np.ones((n, 1)), ["a"])], [], resamples=resamples).scores["d", "x"][1:, 0]
    assert values.mean() == pytest.approx(p, abs=0.01)
    assert values.std() == pytest.approx(np.sqrt(p * (1 - p) / n), rel=0.05)


def test_every_class_keeps_as_many_groups_as_it_has() -> None:
    """Lesions of a class are drawn among themselves, so that none drops out."""
    weights = group_draws(client("x"), B)
    assert (weights[:, :2].sum(axis=1) == 2).all()
    assert (weights[:, 2:].sum(axis=1) == 2).all()
    assert len(np.unique(weights[1:], axis=0)) == 9, "each pair is drawn as (2, 0), (1, 1) or (0, 2)"


def test_permuting_clients_and_methods_permutes_and_changes_nothing_else() -> None:
    before = resample([client(name) for name in CLIENTS], [], resamples=B)
    order = ("c", "a", "b")
    after = resample([client(name, order) for name in reversed(CLIENTS)], [], resamples=B)
    places = [METHODS.index(method) for method in order]
    for key, values in before.scores.items():
        assert (after.scores[key] == values[:, places]).all()
        assert (after.ranks[key] == before.ranks[key][:, places]).all()
    np.testing.assert_allclose(after.average_rank(ALL), before.average_rank(ALL)[:, places], rtol=1e-12)


def test_another_method_or_client_changes_no_score_of_the_others() -> None:
    both, all_three = (resample([client("x", methods)], [], resamples=B) for methods in (("a", "b"), METHODS))
    assert (both.scores["d", "x"] == all_three.scores["d", "x"][:, :2]).all()
    together = resample([client(name) for name in CLIENTS], [], resamples=B)
    assert (together.scores["d", "x"] == all_three.scores["d", "x"]).all()


def test_clients_of_the_same_name_in_two_federations_are_drawn_independently() -> None:
    first, second = (group_draws(client("x", federation=federation), B) for federation in ("d", "e"))
    assert not (first == second).all()


def test_a_diverged_model_is_last_in_every_resample() -> None:
    found, without = (resample([counts], [], resamples=B) for counts in (lost(client("x"), 0), client("x")))
    assert np.isnan(found.scores["d", "x"][:, 0]).all()
    assert (found.scores["d", "x"][:, 1:] == without.scores["d", "x"][:, 1:]).all(), "it changes no other"
    assert (found.ranks["d", "x"][:, 0] == 3).all()


def test_a_model_that_diverged_in_one_seed_has_no_score_but_a_rank() -> None:
    found = resample([lost(client("x"), 0, 1)], [], resamples=B)
    assert np.isnan(found.scores["d", "x"][:, 0]).all()
    # First in seed 0, last in seed 1.
    assert found.ranks["d", "x"][0, 0] == 2


def test_a_missing_cell_makes_the_methods_rank_missing_and_no_other() -> None:
    counts = client("x")
    missing = counts.missing.copy()
    missing[0, 0] = True
    counts.values[0, 0] = np.nan
    ranks = resample([replace(counts, missing=missing)], [], resamples=B).ranks["d", "x"]
    assert np.isnan(ranks[:, 0]).all()
    assert not np.isnan(ranks[:, 1:]).any()


def test_a_client_that_nothing_is_there_of_is_missing() -> None:
    nothing, task = np.full((3, 2, 0, 0, 0), np.nan), client("x").task
    absent = np.ones((3, 2), dtype=bool)
    counts = Counts("d", "w", task, [], np.arange(0), list(METHODS), list(SEEDS), nothing, absent)
    found = resample([client("x"), counts], [], resamples=B)
    assert np.isnan(found.average_rank("d")).all()


def test_federations_weigh_the_same() -> None:
    found = resample([client("x"), client("y"), client("z", federation="e")], [], resamples=B)
    expected = (found.average_rank("d") + found.average_rank("e")) / 2
    np.testing.assert_array_equal(found.average_rank(ALL), expected)


def test_where_less_is_better_ranks_turn_round() -> None:
    own = client("x")
    up, down = (resample([counts], [], resamples=B) for counts in (own, replace(own, task=Falling(own.task.classes))))
    np.testing.assert_allclose(down.ranks["d", "x"], 4 - up.ranks["d", "x"])


def test_cases_are_drawn_with_the_group_that_they_belong_to() -> None:
    """Three cases of two patients; a score for each case, averaged as often as its patient is drawn."""
    values = np.array([1.0, 3.0, 8.0]).reshape(1, 1, 3, 1, 1)
    counts = Counts(
        "d", "x", Distance(["e"]), ["a", "b"], np.array([0, 0, 1]), ["m"], [0], values, np.zeros((1, 1), dtype=bool)
    )
    weights = group_draws(counts, B)
    assert weights.shape == (B + 1, 2)
    expected = (4 * weights[:, 0] + 8 * weights[:, 1]) / (2 * weights[:, 0] + weights[:, 1])
    assert resample([counts], [], resamples=B).scores["d", "x"][:, 0] == pytest.approx(expected)


def test_means_over_federations_with_different_scores_do_not_exist() -> None:
    other = replace(client("x", federation="e"), task=Distance(["e"]))
    together, apart = (resample([client("x"), one], [], resamples=B) for one in (client("x", federation="e"), other))
    wanted = {(ALL, "mean"), (ALL, "average_rank")}
    assert {(f, quantity) for f, _, quantity, *_ in quantities(together)} >= wanted
    assert {(f, quantity) for f, _, quantity, *_ in quantities(apart)} & wanted == {(ALL, "average_rank")}


def test_draws_hold_the_whole_first_and_their_number_after() -> None:
    counted = draws(("d", "x"), 5, B)
    assert (counted[0] == 1).all()
    assert (counted.sum(axis=1) == 5).all()
    assert (draws(("d", "x"), 1, B) == 1).all()


def test_the_interval_is_of_the_resamples_alone() -> None:
    values = np.concatenate([[[1e9]], np.arange(1001.0)[:, None]])
    assert [float(end[0]) for end in interval(values)] == pytest.approx([25, 975])
