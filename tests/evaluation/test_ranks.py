"""Ranks that can be checked by hand."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import rankdata

from benchmark.evaluation.ranks import CELLS, client_ranks, expected_cells, federation_ranks, overall_ranks
from tests.reporting import synthetic


def cells(values: dict[str, list[float]], federation: str = "d", seed: int = 0) -> pd.DataFrame:
    """One federation's cells from each method's scores on clients 0, 1, ..."""
    rows = [
        (federation, method, seed, str(client), value, False, True)
        for method, scores in values.items()
        for client, value in enumerate(scores)
    ]
    return pd.DataFrame(rows, columns=CELLS)


# Six clients. Ranks of a: 1, 1, 2, 1, 3, 2.5 -> 10.5/6; b: 2, 3, 1, 2.5, 1, 2.5 -> 12/6; c: 3, 2, 3, 2.5, 2,
# 1 -> 13.5/6. On client 3 b and c are equal and share (2 + 3)/2; on client 5 a and b share (2 + 3)/2.
BY_HAND = {
    "a": [0.9, 0.9, 0.5, 0.9, 0.1, 0.5],
    "b": [0.8, 0.1, 0.6, 0.3, 0.3, 0.5],
    "c": [0.7, 0.2, 0.4, 0.3, 0.2, 0.6],
}
RANKS = {"a": 10.5 / 6, "b": 12 / 6, "c": 13.5 / 6}


def average(ranks: "pd.Series[float]") -> dict[str, float]:
    return {str(method): float(value) for method, value in ranks.items()}


def test_average_ranks_are_those_by_hand() -> None:
    ranks = client_ranks(cells(BY_HAND), [])
    assert average(federation_ranks(ranks).loc["d"]) == pytest.approx(RANKS)
    assert average(overall_ranks(ranks)) == pytest.approx(RANKS)


def test_where_less_is_better_ranks_turn_round() -> None:
    # Of three methods, rank r from above is rank 4 - r from below; ties stay ties.
    ranks = client_ranks(cells(BY_HAND).assign(higher_is_better=False), [])
    assert average(overall_ranks(ranks)) == pytest.approx({method: 4 - rank for method, rank in RANKS.items()})


def test_each_federation_has_its_own_direction() -> None:
    up, down = cells(BY_HAND), cells(BY_HAND, federation="e").assign(higher_is_better=False)
    ranks = client_ranks(pd.concat([up, down], ignore_index=True), [])
    assert average(overall_ranks(ranks)) == pytest.approx(dict.fromkeys("abc", 2))


def test_permuting_clients_permutes_ranks_and_changes_nothing_else() -> None:
    order = [3, 0, 5, 1, 4, 2]
    permuted = {method: [scores[i] for i in order] for method, scores in BY_HAND.items()}
    before, after = client_ranks(cells(BY_HAND), []), client_ranks(cells(permuted), [])
    for place, origin in enumerate(order):
        pd.testing.assert_series_equal(after.loc[("d", str(place))], before.loc[("d", str(origin))], check_names=False)
    pd.testing.assert_series_equal(overall_ranks(after), overall_ranks(before), rtol=1e-12)


def test_a_control_is_not_ranked_and_changes_no_rank() -> None:
    with_control = cells({**BY_HAND, "local": [1.0, 0.0, 1.0, 0.0, 1.0, 0.55]})
    pd.testing.assert_frame_equal(client_ranks(with_control, ["local"]), client_ranks(cells(BY_HAND), []))
    assert average(overall_ranks(client_ranks(with_control, []))) != pytest.approx(RANKS)


def test_diverged_models_share_the_last_ranks() -> None:
    ranks = client_ranks(cells({"a": [math.nan], "b": [0.1], "c": [math.nan], "e": [0.2]}), [])
    assert dict(ranks.loc[("d", "0")]) == {"e": 1, "b": 2, "a": 3.5, "c": 3.5}


def test_scores_that_differ_by_rounding_alone_are_ties() -> None:
    assert 0.1 + 0.2 != 0.3
    assert dict(client_ranks(cells({"a": [0.1 + 0.2], "b": [0.3]}), []).loc[("d", "0")]) == {
        "a": 1.5,
        "b": 1.5,
    }


def test_a_method_that_lacks_a_cell_has_no_average_rank() -> None:
    table = cells(BY_HAND)
    table.loc[(table["method"] == "b") & (table["client"] == "5"), ["value", "missing"]] = [math.nan, True]
    found = average(overall_ranks(client_ranks(table, [])))
    assert math.isnan(found["b"])
    # On client 5 a is now second of two: 2 instead of 2.5. c keeps its first place there.
    assert {m: found[m] for m in "ac"} == pytest.approx({"a": RANKS["a"] - 0.5 / 6, "c": RANKS["c"]})
    # A second seed that is complete does not make up for it.
    both = pd.concat([table, cells(BY_HAND, seed=1)], ignore_index=True)
    assert math.isnan(average(overall_ranks(client_ranks(both, [])))["b"])


def test_seeds_and_clients_are_averaged_within_a_federation_and_federations_weigh_the_same() -> None:
    generator = np.random.default_rng(0)
    scores = {(d, s): generator.random((3, n)) for d, n in (("one", 5), ("two", 2)) for s in (0, 1)}
    table = pd.concat(
        [
            cells(dict(zip("abc", matrix, strict=True)), federation, seed)
            for (federation, seed), matrix in scores.items()
        ]
    ).reset_index(drop=True)
    by_federation = {
        d: np.mean([rankdata(-scores[d, s], axis=0).mean(axis=1) for s in (0, 1)], axis=0) for d in ("one", "two")
    }
    ranks = client_ranks(table, [])
    for federation, expected in by_federation.items():
        assert list(federation_ranks(ranks).loc[federation]) == pytest.approx(list(expected))
    expected = (by_federation["one"] + by_federation["two"]) / 2
    assert list(overall_ranks(ranks)) == pytest.approx(list(expected))


def test_cells_are_expected_from_the_runs() -> None:
    runs = [synthetic.run("d", "fedit", rate, seed, ["x", "y"]) for rate in ("1e-3", "1e-2") for seed in (0, 1)]
    columns = ["federation", "method", "seed", "client", "metric", "value"]
    found = pd.DataFrame(
        [
            ("d", "fedit", 0, "x", "balanced_accuracy", 0.7),
            ("d", "fedit", 0, "x", "accuracy", 0.9),
            ("d", "fedit", 0, "y", "balanced_accuracy", math.nan),
            ("d", "fedit", 1, "x", "balanced_accuracy", 0.6),
            ("d", "unplanned", 1, "x", "balanced_accuracy", 0.6),
        ],
        columns=columns,
    )
    table = expected_cells(found, runs).set_index(["method", "seed", "client"])
    assert len(table) == 4
    assert table.loc[("fedit", 0, "x"), "value"] == 0.7
    assert math.isnan(table.loc[("fedit", 0, "y"), "value"])
    assert list(table[table["missing"]].index) == [("fedit", 1, "y")]
