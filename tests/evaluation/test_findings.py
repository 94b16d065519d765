"""Findings, each on results that deserve one and on results that do not."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmark.evaluation import findings
from benchmark.evaluation.counts import Counts
from benchmark.evaluation.ranks import CELLS
from benchmark.evaluation.reading import OUTSIDE_COLUMNS
from benchmark.evaluation.statistics import COMPARISONS, INTERVALS, Statistics
from benchmark.tasks.classification import Classification
from tests.evaluation.distance import Distance


def cells(values: dict[str, list[float]]) -> pd.DataFrame:
    """Cells of one federation from each method's scores on clients 0, 1, ...; None of them missing."""
    rows = [
        ("d", method, 0, str(client), value, False, True)
        for method, scores in values.items()
        for client, value in enumerate(scores)
    ]
    return pd.DataFrame(rows, columns=CELLS)


def choice(scores: dict[str, bool], rate: str, edge: bool) -> dict[str, object]:
    details = {r: {"diverged": diverged} for r, diverged in scores.items()}
    return {"federation": "d", "method": "a", "rate": rate, "at_grid_edge": edge, "scores": details}


def test_a_chosen_rate_at_the_edge_is_a_warning() -> None:
    (finding,) = findings.selection([choice({"1e-3": False, "1e-2": False}, "1e-2", True)])
    assert (finding["severity"], finding["check"], finding["value"]) == ("warning", "edge of grid", 0.01)
    assert findings.selection([choice({"1e-3": False}, "1e-3", False)]) == []


@pytest.mark.parametrize(("chosen", "severity"), [("1e-3", "note"), ("1e-2", "error")])
def test_a_diverged_rate_is_a_note_and_an_error_where_it_was_chosen(chosen: str, severity: str) -> None:
    (finding,) = findings.selection([choice({"1e-3": False, "1e-2": True}, chosen, False)])
    assert (finding["severity"], finding["check"], finding["value"]) == (severity, "diverged", 0.01)


def test_chance_is_each_clients_own() -> None:
    # Client 0 has two classes (1/2), client 1 has four (1/4), client 2 has one and no chance level.
    metrics = pd.DataFrame(
        [("d", "a", 0, "0", "chance", 1 / 2), ("d", "a", 0, "1", "chance", 1 / 4)],
        columns=["federation", "method", "seed", "client", "metric", "value"],
    )
    (finding,) = findings.below_chance(cells({"a": [0.4, 0.4, 0.0]}), metrics)
    assert (finding["client"], finding["value"]) == ("0", 0.4)
    assert findings.below_chance(cells({"a": [0.5, math.nan, 0.0]}), metrics) == []
    less = cells({"a": [0.4, 0.4, 0.0]}).assign(higher_is_better=False)
    assert [finding["client"] for finding in findings.below_chance(less, metrics)] == ["1"]


def test_a_mean_worse_than_locals_is_a_warning() -> None:
    table = cells({"local": [0.5, 0.7], "a": [0.9, 0.2], "b": [0.6, 0.6], "c": [0.1, math.nan]})
    (finding,) = findings.worse_than_local(table)
    assert (finding["method"], finding["value"]) == ("a", pytest.approx((0.9 + 0.2) / 2))
    assert findings.worse_than_local(table.assign(higher_is_better=False)) == []
    assert findings.worse_than_local(table[table["method"] != "local"]) == []


def test_a_missing_cell_is_an_error() -> None:
    table = cells({"a": [0.5, 0.5]})
    assert findings.missing_cells(table) == []
    table.loc[1, "missing"] = True
    (finding,) = findings.missing_cells(table)
    assert (finding["severity"], finding["client"]) == ("error", "1")
    assert "[0]" in finding["message"]


def test_a_missing_client_is_a_warning() -> None:
    (finding,) = findings.missing_clients({"d": {"missing_clients": ["4"]}, "e": {"missing_clients": []}})
    assert (finding["severity"], finding["federation"], finding["client"]) == ("warning", "d", "4")


def seeds(values: dict[str, list[list[float]]]) -> pd.DataFrame:
    """Cells of one federation from one matrix (seeds, clients) per method."""
    parts = [
        cells({method: matrix[seed] for method, matrix in values.items()}).assign(seed=seed)
        for seed in range(len(next(iter(values.values()))))
    ]
    return pd.concat(parts, ignore_index=True)


def test_ranks_that_vary_more_over_seeds_than_they_differ_are_one_warning_per_federation() -> None:
    # Ranks by seed: a 1, 2; b 2, 1; c 3, 3. Means 1.5, 1.5, 3; sd of a and b 0.71; a is ahead of b by 0, b of c by 1.5.
    table = seeds({"a": [[0.9], [0.5]], "b": [[0.5], [0.9]], "c": [[0.1], [0.1]], "local": [[1.0], [0.0]]})
    (finding,) = findings.seed_spread(table, ["local"])
    assert (finding["severity"], finding["federation"]) == ("warning", "d")
    assert finding["value"] == pytest.approx(math.sqrt(0.5))
    assert "1 of 3 methods" in finding["message"]
    assert "a (± 0.71, ahead by 0.00)" in finding["message"]
    steady = seeds({"a": [[0.9], [0.9]], "b": [[0.5], [0.5]]})
    assert findings.seed_spread(steady, []) == []
    assert findings.seed_spread(table[table["seed"] == 0], ["local"]) == []


def intervals(rows: list[tuple[object, ...]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=INTERVALS)


def test_neighbours_that_their_difference_does_not_tell_apart_are_one_note() -> None:
    ranks = {"c": 3.0, "a": 1.0, "b": 2.0}
    table = [("d", "mean", m, "average_rank", rank, 0, 9, 99, 99, "", "") for m, rank in ranks.items()]
    apart = {("a", "b"): True, ("b", "c"): False, ("a", "c"): True}
    pairs = [("d", "mean", "average_rank", *pair, 1.0, 0.0, 2.0, 0.9, found) for pair, found in apart.items()]
    given = Statistics(intervals(table), pd.DataFrame(pairs, columns=COMPARISONS))
    (finding,) = findings.within_noise(given, ["d"])
    assert (finding["severity"], finding["check"], finding["value"]) == ("note", "within noise", 1)
    assert "2 neighbours among 3 ranked methods 1" in finding["message"]
    assert finding["message"].endswith("clear: a before b")
    assert findings.within_noise(Statistics(), ["d"]) == []


def test_small_classes_are_one_note_and_clients_without_intervals_one_warning() -> None:
    rows: list[tuple[object, ...]] = [
        ("d", client, "a", "score", 0.5, 0.5, 0.5, groups, fewest, "AK", reason)
        for client, groups, fewest, reason in [("0", 300, 1, ""), ("1", 2, 2, "2 groups"), ("2", 99, 10, "")]
    ]
    without, few = findings.few_groups(Statistics(intervals(rows)), {"d": "lesions", "e": "patients"})
    assert (without["severity"], without["value"]) == ("warning", 2)
    assert without["message"] == "too few lesions in the test set for intervals, also of means: clients 1 (2)"
    assert (few["severity"], few["value"]) == ("note", 1)
    assert few["message"].endswith("clients 0 (AK 1)")
    assert "fewer than 10 lesions" in few["message"]


def test_a_score_or_a_rate_that_is_not_the_committed_one_is_a_warning() -> None:
    own = cells({"a": [0.5, 0.7], "b": [0.5, 0.7], "c": [0.5, math.nan], "e": [0.5, 0.7]})
    committed = cells({"a": [0.5, 0.7 + 4e-7], "b": [0.7, 0.5], "c": [0.5, 0.7], "e": [0.5, 0.7], "gone": [0, 0]})
    rates = {("d", method): "1e-3" for method in "abce"}
    found = findings.drift(own, rates, committed, {**rates, ("d", "a"): "0.001", ("d", "e"): "1e-2"}, [])
    # a: rounded to six decimals, and the same rate; b: the same mean of other scores; c diverged; e: another rate.
    assert [(f["severity"], f["check"], f["method"]) for f in found] == [
        ("warning", "drift from reference", method) for method in "bce"
    ]
    assert found[0]["message"].startswith("its scores on 0, 1 are not the committed ones")
    assert found[2]["message"] == "its rate 1e-3 is not the committed 1e-2"
    assert findings.drift(own, rates, own, {}, []) == []
    other = committed[committed["client"] == "0"]
    assert findings.drift(own, rates, other, {}, []) == [], "other clients, another mean"


def trained(method: str, rate: str, update: float | None, seed: int = 0) -> dict[str, Any]:
    """A run that says how far its adapters moved."""
    moved = {"head": {"head": 3.0}, **({} if update is None else {"update": {"all": update}})}
    return {"federation": "d", "method": {"name": method}, "rate": rate, "seed": seed, "moved": moved}


def test_adapters_that_hardly_moved_at_the_chosen_rate_are_a_warning() -> None:
    """Of the seeds the largest update counts; heads alone have none, and runs from before say nothing."""
    runs = [trained("a", "1e-3", 1e-3), trained("a", "1e-3", 2e-3, 1), trained("a", "1e-2", 0.1)]
    runs += [trained("b", "1e-3", 1e-3), trained("b", "1e-3", 0.02, 1), trained("head_shared", "1e-3", None)]
    runs += [{key: value for key, value in trained("old", "1e-3", 0).items() if key != "moved"}]
    choices = [{"federation": "d", "method": name, "rate": "1e-3"} for name in ("a", "b", "head_shared", "old")]
    (finding,) = findings.hardly_moved(runs, choices)
    assert (finding["severity"], finding["method"], finding["value"]) == ("warning", "a", 2e-3)
    assert "rate 1e-3" in finding["message"]
    assert findings.hardly_moved(runs, [{**choices[0], "rate": "1e-2"}, *choices[1:]]) == []


def test_rows_that_are_equal_on_every_client_are_a_warning() -> None:
    """Equal means hide differences, and a missing or diverged cell equals nothing."""
    table = cells({"a": [0.5, 0.7], "b": [0.7, 0.5], "local": [0.5, 0.7], "c": [math.nan] * 2, "d": [math.nan] * 2})
    (finding,) = findings.same_rows(table)
    assert (finding["severity"], finding["method"], finding["value"]) == ("warning", "a", 2)
    assert finding["message"] == "equal on every client: a, local: what they share changes nothing"
    (finding,) = findings.same_rows(table[table["method"] != "local"].replace({"method": {"d": "e"}}).assign(value=0.5))
    assert finding["message"].startswith("equal on every client: a, b, c, e: they cannot")
    other_seed = table.assign(seed=1, value=table["value"] + (table["method"] == "a") * 0.1)
    assert findings.same_rows(pd.concat([table, other_seed])) == []


def seen(client: str, predicted: dict[str, list[str]], shown: str = "abb", federation: str = "d") -> Counts:
    """A client of classes a to d, with images of those in `shown`: what every seed's model of a row takes them for.

    A letter that is no class is a model that diverged.
    """
    names, images = list("abcd"), list(shown)
    eye = np.array([[name == one for name in names] for one in images], dtype=float)
    rows = [[[[letter == name for name in names] for letter in line] for line in lines] for lines in predicted.values()]
    taken = np.array(rows, dtype=float)
    taken[~taken.any(axis=-1)] = np.nan
    values = np.stack([taken * eye, taken, np.broadcast_to(eye, taken.shape)], axis=-1)
    task, seeds = Classification(names), list(range(values.shape[1]))
    groups = [str(image) for image in range(len(images))]
    there = np.zeros(values.shape[:2], dtype=bool)
    return Counts(federation, client, task, groups, np.arange(len(images)), list(predicted), seeds, values, there)


LESIONS = {"d": "lesions", "e": "patients"}


def test_a_class_that_no_image_is_taken_for_although_some_show_it() -> None:
    """Neither c nor d, of which there is no image, counts; nor does a class that one of two seeds predicts."""
    one = seen("0", {"fedit": ["aaa", "aac"], "local": ["aaa", "aba"], "other": ["abb", "abb"]})
    (finding,) = findings.never_predicted([one], LESIONS)
    assert (finding["severity"], finding["check"], finding["federation"]) == ("warning", "never predicted", "d")
    assert (finding["method"], finding["client"], finding["value"]) == ("fedit", "0", 1)
    assert finding["message"] == "never predicted: b at client 0 (lesions that show it: 2) by fedit"
    assert findings.never_predicted([seen("0", {"fedit": ["baa"]})], LESIONS) == []


def test_rows_that_never_predict_a_class_are_counted_and_named_where_there_is_one_class() -> None:
    """A row that diverged is passed over, and one that is not there too."""
    rows = {"fedit": ["aaa"], "fedper": ["aaa"], "local": ["abb"], "lost": ["aax"], "gone": ["aaa"]}
    one = seen("0", rows)
    one = replace(one, missing=np.array([[name == "gone"] for name in rows]))
    (finding,) = findings.never_predicted([one], LESIONS)
    assert (finding["method"], finding["client"], finding["value"]) == ("", "0", 2)
    assert finding["message"].endswith("b at client 0 (lesions that show it: 2) by 2 of 3 rows: fedit, fedper")
    assert findings.never_predicted([seen("0", {"lost": ["xxx"]})], LESIONS) == []


def test_what_is_never_predicted_is_one_line_for_each_federation_with_the_most_rows_first() -> None:
    first = seen("0", {"fedit": ["aaa"], "local": ["abb"]})
    second = seen("1", {"fedit": ["aaa"], "local": ["aaa"]}, "abd")
    third = seen("0", {"fedit": ["bbb"]}, federation="e")
    found = findings.never_predicted([first, second, third], LESIONS)
    assert [(one["federation"], one["method"], one["client"], one["value"]) for one in found] == [
        ("d", "", "", 2),
        ("e", "fedit", "0", 1),
    ]
    assert found[0]["message"] == (
        "never predicted: b at client 1 (lesions that show it: 1) by 2 of 2 rows,"
        " d at client 1 (lesions that show it: 1) by 2 of 2 rows, b at client 0 (lesions that show it: 2) by fedit"
    )


def test_where_targets_show_nothing_nothing_is_found_missing() -> None:
    own = replace(seen("0", {"fedit": ["aaa"]}), task=Distance(["e"]), values=np.ones((1, 1, 3, 1, 1)))
    assert findings.never_predicted([own], LESIONS) == []


def test_committed_numbers_of_other_settings_are_not_compared_and_a_note_says_so() -> None:
    (finding,) = findings.drift(cells({"a": [0.1]}), {}, cells({"a": [0.9]}), {}, ["rounds"])
    assert (finding["severity"], finding["message"].endswith("rounds")) == ("note", True)


def outside(rows: list[tuple[object, ...]]) -> pd.DataFrame:
    """What is known of hospitals outside: client, adaptation, quantity, value, and difference with its interval."""
    names = ["client", "adaptation", "quantity", "value", "difference", "difference_low", "difference_high"]
    table = pd.DataFrame(rows, columns=names).reindex(columns=OUTSIDE_COLUMNS)
    return table.assign(family="d", method="a", oracle=table["adaptation"] == "each")


def test_who_is_reliably_worse_outside_than_with_the_common_model() -> None:
    """In the mean a warning, at one of several clients a note; an interval that holds 0 says nothing, nor an oracle."""
    scored = [
        ("x", "norm", "score", 0.5, -0.2, -0.3, -0.1),
        ("y", "norm", "score", 0.5, -0.2, -0.4, 0.0),
        ("mean", "norm", "mean", 0.5, -0.2, -0.3, -0.15),
        ("mean", "mean", "mean", 0.5, 0.2, 0.1, 0.3),
        ("mean", "each", "mean", 0.5, -0.2, -0.3, -0.1),
        ("mean", "none", "mean", 0.5, math.nan, math.nan, math.nan),
    ]
    found = findings.worse_than_common(outside(scored), True)
    assert [(f["severity"], f["method"], f["client"], f["value"]) for f in found] == [
        ("note", "a with norm", "x", -0.2),
        ("warning", "a with norm", "", -0.2),
    ]
    assert found[1]["message"].endswith("than the common model as it is: -0.200 (-0.300 to -0.150)")
    turned = findings.worse_than_common(outside(scored), False)
    assert [(f["severity"], f["method"]) for f in turned] == [("warning", "a with mean")]
    alone = [row for row in scored if row[0] != "y"]
    assert [f["severity"] for f in findings.worse_than_common(outside(alone), True)] == ["warning"], "x is the mean"


def test_predictions_that_are_all_of_one_class() -> None:
    rows = [("x", "norm", "one_class", share, math.nan, math.nan, math.nan) for share in (1.0, 0.99)]
    (finding,) = findings.one_class(outside([*rows, ("mean", *rows[0][1:])]))
    assert (finding["severity"], finding["client"], finding["value"]) == ("warning", "x", 1.0)


@pytest.mark.parametrize(
    ("entropy", "score", "higher", "found"),
    [(-0.4, -0.1, True, 1), (-0.4, 0.1, True, 0), (0.1, -0.1, True, 0), (-0.4, 0.1, False, 1), (-0.4, 0.0, True, 0)],
)
def test_predictions_that_became_surer_and_worse(entropy: float, score: float, higher: bool, found: int) -> None:
    rows = [("x", "norm", "score", 0.5, score, -1.0, 1.0), ("x", "norm", "entropy", 0.3, entropy, math.nan, math.nan)]
    told = findings.surer_and_worse(outside(rows), higher)
    assert len(told) == found
    assert all("fell from 0.700 to 0.300" in one["message"] for one in told)
