"""Counts of clients, made of hits: what tests of estimates and standings are given."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import product

import numpy as np

from benchmark.evaluation.counts import Counts
from benchmark.tasks.classification import Classification
from benchmark.tasks.task import Floats
from tests.evaluation.hand import CLIENTS, HITS, METHODS, SEEDS


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


def client(name: str, methods: Sequence[str] = METHODS, federation: str = "d", copies: int = 3) -> Counts:
    """A client of the example, whose every lesion is a group of one image, so many times over."""
    hits = np.zeros((len(methods), len(SEEDS), 4 * copies, 2))
    for (m, method), (s, seed) in product(enumerate(methods), enumerate(SEEDS)):
        for image, right in enumerate(HITS[method, seed][CLIENTS.index(name)] * copies):
            hits[m, s, image, image % 4 // 2] = right == "1"
    return counted(hits, np.tile(np.repeat(np.eye(2), 2, axis=0), (copies, 1)), methods, name, federation)


def drawn(seed: int, groups: int, classes: int, methods: int = 3, seeds: int = 1) -> Counts:
    """Random counts of groups with several images of several classes."""
    generator = np.random.default_rng(seed)
    totals = generator.integers(0, 3, (groups, classes)).astype(float)
    hits = generator.binomial(totals.astype(int), 0.6, (methods, seeds, groups, classes)).astype(float)
    return counted(hits, totals, [f"method {m}" for m in range(methods)], client=f"drawn {seed}")


def lost(counts: Counts, *cell: int) -> Counts:
    """The same, but for a model that diverged: of what it was tested on all is known, of what it predicted nothing."""
    values = counts.values.copy()
    values[(*cell, ..., slice(0, 2))] = np.nan
    return replace(counts, values=values)
