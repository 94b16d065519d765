"""Cutting a part off a client's images: whole groups only, every stratum (a class, say) in proportion.

A group (a lesion, a patient) is what must not be torn apart: images of one lesion on both sides of a split
make a model look better than it is.
"""

import hashlib
import math

import numpy as np
import numpy.typing as npt

EXHAUSTIVE = 12  # Up to this many groups, all subsets are tried: 4096 of them.


def cut(groups: npt.ArrayLike, strata: npt.ArrayLike, fraction: float, seed: int) -> npt.NDArray[np.bool_]:
    """Choose whole groups that together hold about `fraction` of the images of every stratum.

    Groups (N,) are what must stay together, compared as text; a stratum (N,) int is an image's class, where classes are
    learned. Returns (N,) bool, true for what is held out; with a single group nothing is. The seed decides between
    subsets that are equally good, and the order of the rows nothing. A ValueError refuses a fraction outside (0, 1), or
    lengths that differ.

    What is minimised is the mean over strata of |n_held / n - fraction|, n being a stratum's images: it is small only
    when both the share of images and the balance of strata are right. Before it comes the number of strata that one
    side lacks although two groups or more have them. Up to `EXHAUSTIVE` groups all subsets are compared; beyond, groups
    are taken in random order whenever that brings the held-out counts nearer to their targets, which favours neither
    large groups nor small ones.
    """
    names, group = np.unique(np.asarray(groups).astype(str), return_inverse=True)
    kinds, stratum = np.unique(np.asarray(strata), return_inverse=True)
    if not 0 < fraction < 1:
        raise ValueError(f"the fraction to hold out must lie between 0 and 1, got {fraction}")
    if len(group) != len(stratum):
        raise ValueError(f"{len(group)} groups, but {len(stratum)} strata: one of each per image")
    if len(names) < 2:
        return np.zeros(len(group), dtype=bool)
    counts = np.zeros((len(names), len(kinds)), dtype=np.int64)
    np.add.at(counts, (group, stratum), 1)
    order = np.random.default_rng([seed, _number(names)]).permutation(len(names))
    choose = _best_subset if len(names) <= EXHAUSTIVE else _greedy
    held = np.zeros(len(names), dtype=bool)
    held[order] = choose(counts[order], fraction)
    return held[group]


def folds(groups: npt.ArrayLike, count: int) -> npt.NDArray[np.int64]:
    """Deal whole groups to folds, so that testing on one fold after the other tests every group once.

    Groups are dealt from the largest to the smallest, one to each fold in turn, there and back again: folds differ by
    at most one in their number of groups, and little in their number of images. Nothing is random, and the order of the
    rows changes nothing; of equally large groups the first by name is dealt first.

    Groups (N,) are compared as text. Returns the fold of every row, (N,), from 0. A ValueError says that there are
    fewer groups than folds, or fewer than two folds.
    """
    names, group, sizes = np.unique(np.asarray(groups).astype(str), return_inverse=True, return_counts=True)
    if not 2 <= count <= len(names):
        raise ValueError(f"{len(names)} groups cannot be dealt to {count} folds: 2 folds or more, and a group for each")
    turn = np.arange(len(names)) % (2 * count)
    fold = np.empty(len(names), dtype=np.int64)
    fold[np.argsort(-sizes, kind="stable")] = np.minimum(turn, 2 * count - 1 - turn)
    return fold[group]


def _best_subset(counts: npt.NDArray[np.int64], fraction: float) -> npt.NDArray[np.bool_]:
    """The best of all subsets of G groups with `counts` (G, C); the first of equals."""
    size = len(counts)
    subsets = (np.arange(1, 2**size - 1)[:, None] >> np.arange(size)) & 1
    held, total = subsets @ counts, counts.sum(0)
    spread = (counts > 0).sum(0) > 1
    lacking = (((held == 0) | (held == total)) & spread).sum(1)
    # Added one after another: numpy's own sums may add in another order on another CPU.
    cost = sum(np.abs(held / total - fraction).T) / len(total)
    best = np.lexsort((np.arange(len(subsets)), cost.round(12), lacking))[0]
    return subsets[best].astype(bool)


def _greedy(counts: npt.NDArray[np.int64], fraction: float) -> npt.NDArray[np.bool_]:
    """Groups in the order given, each taken if it brings the held-out counts (C,) nearer to their targets."""
    total = counts.sum(0)
    # A stratum of few images still needs one on each side.
    target = np.clip(fraction * total, np.minimum(1, total - 1), np.maximum(total - 1, 0))
    held, taken = np.zeros_like(total), np.zeros(len(counts), dtype=bool)
    for number, group in enumerate(counts):
        if math.fsum(group * (2 * (held - target) + group) / total) < 0:
            held, taken[number] = held + group, True
    _mend(counts, taken)
    return taken


def _mend(counts: npt.NDArray[np.int64], taken: npt.NDArray[np.bool_]) -> None:
    """Give a side that lacks a stratum the smallest group that has it, unless the other side then lacks one."""
    spread = np.flatnonzero((counts > 0).sum(0) > 1)
    for lacking in (True, False):
        for stratum in spread:
            if counts[taken == lacking, stratum].any():
                continue
            donors = np.flatnonzero((taken != lacking) & (counts[:, stratum] > 0))
            for group in donors[np.argsort(counts[donors].sum(1), kind="stable")]:
                rest = counts[(taken != lacking) & (np.arange(len(counts)) != group)].sum(0)
                if (rest[spread] > 0)[counts[group, spread] > 0].all():
                    taken[group] = lacking
                    break


def _number(names: npt.NDArray[np.str_]) -> int:
    """A number that depends on the groups, so that equal seeds do not draw alike for every client."""
    return int.from_bytes(hashlib.sha256("\n".join(names).encode()).digest()[:8], "big")
