"""Predictions as counts."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import balanced_accuracy_score

from benchmark.evaluation import counts
from tests.evaluation import hand


def test_counts_give_the_scores_by_hand(tmp_path: Path) -> None:
    found = counts.read(hand.write(tmp_path), hand.cells())
    assert [(c.dataset, c.client) for c in found] == [("d", client) for client in hand.CLIENTS]
    for place, client in enumerate(found):
        assert client.totals.tolist() == [[1, 0], [1, 0], [0, 1], [0, 1]]
        scores = counts.score(client.hits.sum(axis=2), client.totals.sum(axis=0))
        expected = [[hand.score(hand.HITS[m, s][place]) for s in hand.SEEDS] for m in hand.METHODS]
        assert scores.tolist() == expected


def test_the_order_of_rows_and_files_decides_nothing(tmp_path: Path) -> None:
    first = counts.read(hand.write(tmp_path / "1"), hand.cells())
    second = counts.read(reversed(hand.write(tmp_path / "2", order=hand.CLIENTS[::-1])), hand.cells())
    for one, other in zip(first, second, strict=True):
        assert one.groups == other.groups
        assert (one.hits == other.hits).all()


def test_groups_of_several_images_are_added_up(tmp_path: Path) -> None:
    paths = hand.write(tmp_path)
    for path in paths:
        pd.read_parquet(path).assign(group="one").to_parquet(path)
    first = counts.read(paths, hand.cells())[0]
    assert first.totals.tolist() == [[2, 2]]
    assert first.hits[0, 0].tolist() == [[2, 2]]


def test_the_score_is_scikit_learns() -> None:
    generator = np.random.default_rng(0)
    labels, guesses = generator.integers(0, 3, 40), generator.integers(0, 3, 40)
    totals = np.array([(labels == c).sum() for c in range(4)], dtype=float)
    hits = np.array([((labels == c) & (guesses == c)).sum() for c in range(4)], dtype=float)
    assert counts.score(hits, totals) == pytest.approx(balanced_accuracy_score(labels, guesses))


def test_a_diverged_model_counts_as_nan_and_a_missing_one_is_said_to_be(tmp_path: Path) -> None:
    paths = hand.write(tmp_path)
    lost = pd.read_parquet(paths[0])
    lost.loc[lost["client"] == "x", "probability_0"] = [np.nan, 0, 0, 0]
    lost.to_parquet(paths[0])
    first, second, _ = counts.read(paths[:-1], hand.cells())
    assert np.isnan(first.hits[0, 0]).all()
    assert not np.isnan(second.hits[0, 0]).any()
    assert first.missing.tolist() == [[False, False], [False, False], [False, True]]


def test_models_that_were_tested_on_different_samples_are_refused(tmp_path: Path) -> None:
    paths = hand.write(tmp_path)
    pd.read_parquet(paths[1]).iloc[1:].to_parquet(paths[1])
    with pytest.raises(ValueError, match="client x was tested on other samples"):
        counts.read(paths, hand.cells())
