"""The report's tables of uncertainty and stability."""

from dataclasses import replace

import pytest

from benchmark.evaluation.statistics import Statistics
from benchmark.reporting import confidence
from benchmark.reporting.inputs import Results


def test_the_sentence_says_what_was_found_or_why_not(results: Results) -> None:
    test = results.statistics.significance
    text = confidence.friedman(results)
    assert f"p = {test['p_value']:.2g}" in text
    assert "over 5 clients and 3 ranked methods" in text
    assert "of 3 pairs apart" in text
    assert "with 5 clients its smallest p-value is 0.062, for each of 3 pairs" in text
    lost = replace(results.statistics, significance={"computed": False, "reason": "there are 2 clients"})
    assert confidence.friedman(replace(results, statistics=lost)).endswith("not computed: there are 2 clients.")


def test_places_and_rates_are_those_of_the_stability_table(results: Results) -> None:
    places = confidence.places(results)
    assert places is not None
    shares = results.statistics.places()
    for row, name in zip(places.rows, results.order, strict=False):
        assert row[1].text == f"{100 * shares.loc[name, 1]:.0f} %"
    assert [column.head for column in places.columns[-2:]] == [
        "Average rank, seed 0 alone",
        "Average rank, seed 1 alone",
    ]
    for federation in results.federations:
        grid = confidence.rates(results, federation)
        assert [row[1].text for row in grid.rows] == [
            results.selected[federation, name]["rate"] for name in results.order[:3]
        ]


def test_without_statistics_there_are_no_tables(results: Results) -> None:
    bare = replace(results, statistics=Statistics())
    assert confidence.places(bare) is None
    assert "not computed" in confidence.friedman(bare)


@pytest.mark.parametrize(("chosen", "text"), [(["a", "a"], "a"), (["a", "b", "a"], "a (2 of 3), b (1 of 3)")])
def test_rates_are_counted_where_they_differ(chosen: list[str], text: str) -> None:
    assert confidence._counted(dict(zip("123", chosen, strict=False))) == text


def test_places_on_small_test_sets_are_said_to_be_rough(results: Results) -> None:
    statistics = results.statistics
    small = statistics.intervals.assign(reason="too few")
    found = [
        confidence.places(replace(results, statistics=replace(statistics, intervals=table)))
        for table in (statistics.intervals, small)
    ]
    assert [grid is not None and "these shares are rough" in grid.caption for grid in found] == [False, True]
