"""Cutting whole groups: what must hold for any data, and the best subset against brute force."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmark.data.splits import cut, folds


def some_images(seed: int, groups: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Images of groups of one to five, each group mostly of one class."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 6, groups)
    group = np.repeat([f"g{number}" for number in range(groups)], sizes)
    label = np.repeat(rng.integers(classes, size=groups), sizes)
    noisy = rng.random(len(label)) < 0.1
    return group, np.where(noisy, rng.integers(classes, size=len(label)), label)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 60), st.integers(1, 5), st.sampled_from([0.1, 0.15, 0.2, 0.4]))
def test_groups_stay_whole_and_both_sides_hold_every_class(
    seed: int, groups: int, classes: int, fraction: float
) -> None:
    group, label = some_images(seed, groups, classes)
    held = cut(group, label, fraction, seed)
    assert not set(group[held]) & set(group[~held])
    assert held.any()
    assert not held.all()
    order = np.random.default_rng(seed).permutation(len(group))
    np.testing.assert_array_equal(cut(group[order], label[order], fraction, seed), held[order])


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("fraction", [0.15, 0.2])
def test_every_class_in_proportion_where_groups_are_many(seed: int, fraction: float) -> None:
    group, label = some_images(seed, 400, 5)
    held = cut(group, label, fraction, seed)
    for value in range(5):
        share = held[label == value].mean()
        assert share == pytest.approx(fraction, abs=0.03)
    # Large groups are as likely to be held out as small ones.
    sizes = np.unique(group, return_counts=True)[1]
    taken = np.unique(group[held], return_counts=True)[1]
    assert taken.mean() == pytest.approx(sizes.mean(), rel=0.25)


def test_rare_class_of_two_groups_stands_on_both_sides() -> None:
    group = np.arange(102)
    label = np.array([0] * 100 + [1, 1])
    held = cut(group, label, 0.1, 0)
    assert held[label == 1].sum() == 1


def test_class_of_one_image_stays_in_training() -> None:
    label = np.array([0] * 100 + [1])
    assert not cut(np.arange(101), label, 0.1, 0)[-1]


@pytest.mark.parametrize("seed", range(8))
def test_few_groups_get_the_best_of_all_subsets(seed: int) -> None:
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, 60, (7, 2))
    group = np.repeat(np.repeat(np.arange(7), 2), counts.ravel())
    label = np.repeat(np.tile([0, 1], 7), counts.ravel())

    def cost(chosen: tuple[int, ...]) -> float:
        return float(np.abs(counts[list(chosen)].sum(0) / counts.sum(0) - 0.2).mean())

    best = min(cost(chosen) for size in range(1, 7) for chosen in combinations(range(7), size))
    held = cut(group, label, 0.2, seed)
    assert cost(tuple(set(group[held]))) == pytest.approx(best)


def test_seed_decides_between_equals_and_clients_differ() -> None:
    group, label = np.arange(300), np.arange(300) % 3
    assert (cut(group, label, 0.2, 0) == cut(group, label, 0.2, 0)).all()
    assert (cut(group, label, 0.2, 0) != cut(group, label, 0.2, 1)).any()
    assert (cut(group, label, 0.2, 0) != cut(group + 1000, label, 0.2, 0)).any()


def test_single_group_is_not_cut() -> None:
    assert not cut(["a", "a"], [0, 1], 0.2, 0).any()


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1])
def test_fraction_out_of_range(fraction: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        cut(["a", "b"], [0, 1], fraction, 0)


def test_lengths_differ() -> None:
    with pytest.raises(ValueError, match="2 groups, but 3 strata"):
        cut(["a", "b"], [0, 1, 0], 0.2, 0)


@pytest.mark.parametrize("count", [2, 3, 4])
def test_folds_partition_groups_evenly(count: int) -> None:
    """Every group is whole, in one fold; folds differ by one group at most, and by no more images than the largest."""
    sizes = [40, 31, 17, 9, 9, 4, 1]
    groups = np.repeat([f"p{k}" for k in range(len(sizes))], sizes)
    fold = folds(groups, count)
    of_group = {name: set(fold[groups == name]) for name in set(groups)}
    assert all(len(found) == 1 for found in of_group.values())
    held = [sum(found == {k} for found in of_group.values()) for k in range(count)]
    assert sum(held) == len(sizes)
    assert max(held) - min(held) <= 1
    assert np.ptp(np.bincount(fold, minlength=count)) <= max(sizes)
    order = np.random.default_rng(0).permutation(len(groups))
    np.testing.assert_array_equal(folds(groups[order], count), fold[order])


def test_folds_are_dealt_there_and_back_again() -> None:
    """Seven groups of falling size to three folds: 0 1 2, 2 1 0, 0."""
    groups = np.repeat(list("abcdefg"), [7, 6, 5, 4, 3, 2, 1])
    fold = folds(groups, 3)
    assert [int(fold[groups == name][0]) for name in "abcdefg"] == [0, 1, 2, 2, 1, 0, 0]


def test_more_folds_than_groups_are_refused() -> None:
    with pytest.raises(ValueError, match="2 groups cannot be dealt to 3 folds"):
        folds(["a", "b"], 3)
