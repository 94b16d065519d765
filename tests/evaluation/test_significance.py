"""Tests of significance, against scipy and by hand."""

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.stats import chi2, friedmanchisquare

from benchmark.evaluation.significance import cliques, critical_difference, powerless, significance
from tests.evaluation import hand


def test_friedman_is_that_by_hand_and_scipys() -> None:
    found = significance(hand.cells(), [])
    assert found["computed"]
    assert found["statistic"] == pytest.approx(hand.FRIEDMAN)
    assert found["p_value"] == pytest.approx(chi2.sf(hand.FRIEDMAN, df=2))
    means = hand.cells().pivot_table(index="client", columns="method", values="value")
    assert found["statistic"] == pytest.approx(friedmanchisquare(*means.to_numpy().T).statistic)
    assert found["average_ranks"] == pytest.approx({"a": 4 / 3, "b": 5 / 3, "c": 9 / 3})
    assert (found["methods"], found["blocks"]) == (["a", "b", "c"], [["d", client] for client in hand.CLIENTS])


def test_the_critical_difference_is_demsars() -> None:
    # Demsar (2006), table 5(a): q is 2.343 for three methods, 2.569 for four, 3.164 for ten.
    for methods, quantile in [(3, 2.343), (4, 2.569), (10, 3.164)]:
        expected = quantile * math.sqrt(methods * (methods + 1) / (6 * 14))
        assert critical_difference(methods, 14) == pytest.approx(expected, abs=1e-3)


def test_pairs_that_nemenyi_tells_apart_are_on_no_common_bar() -> None:
    generator = np.random.default_rng(0)
    rows = [
        ("d", f"m{m}", 0, str(client), min(1.0, 0.1 * m + 0.05 * generator.random()), False, True)
        for m in range(6)
        for client in range(12)
    ]
    found = significance(pd.DataFrame(rows, columns=hand.cells().columns), [])
    apart = {(a, b) for a in found["methods"] for b in found["methods"] if found["nemenyi"][a][b] < found["alpha"]}
    joined = {(a, b) for clique in found["cliques"] for a in clique for b in clique}
    assert apart
    assert not apart & joined
    assert apart | joined | {(a, a) for a in found["methods"]} == {
        (a, b) for a in found["methods"] for b in found["methods"]
    }


def test_bars_are_as_long_as_can_be() -> None:
    ranks = pd.Series({"a": 1.0, "b": 2.0, "c": 2.5, "d": 4.0, "e": 6.0})
    assert cliques(ranks, 1.8) == [["a", "b", "c"], ["c", "d"]]
    assert cliques(ranks, 0.4) == []
    assert cliques(ranks, 9) == [["a", "b", "c", "d", "e"]]


def test_equal_methods_are_told_apart_by_nothing() -> None:
    table = pd.concat([hand.cells(), hand.cells().query("method == 'a'").assign(method="same")], ignore_index=True)
    found = significance(table, [])
    assert found["wilcoxon_holm"]["a"]["same"] == found["nemenyi"]["a"]["same"] == 1


def test_a_diverged_model_is_last() -> None:
    """Also where less is better, and scores lie beyond 1."""
    for higher, factor in ((True, 1), (False, 1), (False, 9)):
        table = hand.cells(higher_is_better=higher).assign(value=lambda t, factor=factor: factor * t["value"])
        table.loc[table["method"] == "a", "value"] = math.nan
        assert significance(table, [])["average_ranks"]["a"] == 3


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda table: table[table["method"] != "a"], "2 ranked methods"),
        (lambda table: table[table["client"] != "x"], "2 clients"),
        (lambda table: table.assign(value=0.5), "equal scores"),
        (lambda table: table.assign(missing=table["method"] == "b"), "2 ranked methods"),
        (lambda table: table.drop(index=0), "2 ranked methods"),
    ],
)
def test_where_it_cannot_be_computed_it_says_why(change: Any, reason: str) -> None:
    found = significance(change(hand.cells()), [])
    assert not found["computed"]
    assert reason in found["reason"]


def test_controls_take_no_part() -> None:
    assert significance(hand.cells(), ["a"])["methods"] == ["b", "c"]


def test_a_test_that_can_find_nothing_says_so() -> None:
    """With four clients Wilcoxon's smallest p-value is 2/16; Nemenyi finds nothing among two ranks 2 apart at most."""
    assert powerless(3, 4)["wilcoxon_holm"] == "with 4 clients its smallest p-value is 0.12, for each of 3 pairs"
    assert "wilcoxon_holm" not in powerless(3, 8), "2/256 for each of three pairs is below 0.05"
    assert "wilcoxon_holm" in powerless(20, 11)
    assert "nemenyi" in powerless(8, 2)
    assert "nemenyi" not in powerless(8, 11)
    assert significance(hand.cells(), [])["powerless"]["wilcoxon_holm"].startswith("with 3 clients")
