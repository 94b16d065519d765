"""The numbers that the page draws, its verdict, and what was tested."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmark.evaluation.statistics import ALL, Statistics
from benchmark.reporting import page, verdict
from benchmark.reporting.inputs import Difference, Results, load
from benchmark.reporting.tested import ClientTest, client_tests, confusions
from tests.reporting import synthetic
from tests.reporting.test_tables import NOTHING, scores


@pytest.fixture(scope="module")
def drawn(results: Results) -> page.Numbers:
    return page.numbers(results, client_tests(results), NOTHING)


def federation(drawn: page.Numbers, name: str) -> page.Numbers:
    return next(one for one in drawn["federations"] if one["name"] == name)


def test_every_cell_is_there_and_its_neighbours_agree(
    drawn: page.Numbers, results: Results, tree: synthetic.Tree
) -> None:
    for name in results.federations:
        one, oracle = federation(drawn, name), scores(tree, name)
        clients = [client["id"] for client in one["clients"]]
        for method, row in one["rows"].items():
            own = oracle.loc[method]
            assert row["score"] == pytest.approx(own.mean()[clients].tolist(), abs=5e-5)
            assert row["sd"] == pytest.approx(own.std()[clients].tolist(), abs=5e-5)
            assert [np.mean(each) for each in row["each"]] == pytest.approx(row["score"], abs=1e-4)
            assert row["mean"][0] == pytest.approx(own.to_numpy().mean(), abs=5e-5)
            # Balanced accuracy is the mean of its parts, and its parts are shares of whole images.
            for parts, client, score in zip(row["parts"], one["clients"], row["score"], strict=True):
                known = [(part, n) for part, n in zip(parts, client["of"], strict=True) if part is not None]
                assert np.mean([part for part, _ in known]) == pytest.approx(score, abs=1e-4)
                assert all(part * n * 2 == pytest.approx(round(part * n * 2), abs=0.02) for part, n in known)
                assert client["of"] == results.manifests[name]["clients"][client["id"]]["counts"]["test"]


def test_ranks_and_differences_from_training_alone_are_those_of_the_statistics(
    drawn: page.Numbers, results: Results
) -> None:
    one = federation(drawn, "toy_lesions")
    for place, client in enumerate(one["clients"]):
        for method, row in one["rows"].items():
            ranks = results.ranks.loc["toy_lesions", client["id"]]
            assert row["ranks"][place] == (None if method == "local" else pytest.approx(ranks[method]))
            alone = one["rows"]["local"]["score"][place]
            if method == "local":
                assert row["local"][place] is None
            else:
                value, low, high = row["local"][place]
                assert value == pytest.approx(row["score"][place] - alone, abs=2e-4)
                assert low <= value <= high


def test_the_chance_corrected_score_is_zero_at_chance_and_one_at_best(drawn: page.Numbers) -> None:
    for one in drawn["federations"]:
        for place, client in enumerate(one["clients"]):
            chance = client["chance"]
            for row in one["rows"].values():
                expected = (row["score"][place] - chance) / (1 - chance)
                assert row["corrected"][place] == pytest.approx(expected, abs=5e-4)


def test_every_pair_stands_once_with_its_sign(drawn: page.Numbers, results: Results) -> None:
    whole = next(one for one in drawn["pairs"] if (one["quantity"], one["federation"]) == ("corrected_mean", ALL))
    assert [row[:2] for row in whole["of"]] == [[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]]
    table = results.statistics.comparisons.set_index(["federation", "quantity", "method", "other"])["difference"]
    for a, b, value, low, high in whole["of"]:
        expected = table[ALL, "corrected_mean", results.order[a], results.order[b]].item()
        assert value == pytest.approx(expected, abs=5e-5)
        assert low <= value <= high
    ranks = next(one for one in drawn["pairs"] if one["quantity"] == "average_rank")
    assert not ranks["higher"]
    assert {place for row in ranks["of"] for place in row[:2]} == {0, 1, 2}, "controls are not ranked"


def test_what_was_tested_is_counted_from_the_samples(results: Results) -> None:
    """Every sample is a group of its own here: a class is shown by as many groups as it has images."""
    for name, own in client_tests(results).items():
        for client, tested in own.items():
            counts = results.manifests[name]["clients"][client]["counts"]["test"]
            assert tested.samples == tested.groups == sum(counts)
            assert tested.support is not None
            assert tested.support.tolist() == counts


def test_what_was_taken_for_what_counts_every_image_once_a_seed(drawn: page.Numbers, results: Results) -> None:
    for client, matrix in confusions(results, "toy_slides", "fedit").items():
        counts = results.manifests["toy_slides"]["clients"][client]["counts"]["test"]
        assert matrix.sum(axis=1).tolist() == [len(results.seeds) * n for n in counts]
    one = federation(drawn, "toy_slides")
    for taken, parts, client in zip(
        one["rows"]["fedit"]["taken"], one["rows"]["fedit"]["parts"], one["clients"], strict=True
    ):
        hits = np.diag(np.reshape(taken, (2, 2)))
        assert hits == pytest.approx(2 * np.array(parts) * client["of"], abs=0.1)


def test_the_verdict_parts_the_methods_by_their_difference_from_the_leader(results: Results) -> None:
    """Built by hand: of all pairs together, the leader is told apart from the second, and not from the third."""
    leader, second, third = results.order[:3]
    rows = [
        (ALL, "mean", "average_rank", leader, second, -1.0, -2.0, -0.5, 1.0, True),
        (ALL, "mean", "average_rank", leader, third, -1.0, -2.0, -0.5, 0.9, False),
        ("toy_slides", "0", "score", leader, "local", 0.2, 0.1, 0.3, 1.0, True),
        ("toy_slides", "1", "score", leader, "local", -0.2, -0.3, -0.1, 0.0, True),
        ("toy_lesions", "bcn", "score", leader, "local", 0.0, -0.1, 0.1, 0.5, False),
    ]
    own = Statistics(comparisons=pd.DataFrame(rows, columns=results.statistics.comparisons.columns))
    found = verdict.verdict(replace(results, statistics=own))
    assert found is not None
    assert found.leader.name == leader
    assert [[method.name for method in part] for part in (found.behind, found.alike, found.unknown)] == [
        [second],
        [third],
        [],
    ]
    assert (found.helped, found.hurt, found.compared) == (1, 1, 3)
    said = f"Against training alone, {found.leader.title} reliably helps 1 of 3 clients and reliably hurts 1."
    assert found.against_alone.startswith(
        f"{said} The others are undecided. Here each client is looked at alone: of twenty"
    )
    everywhere = replace(found, helped=3, hurt=0).against_alone
    assert "reliably helps 3 of 3 clients and reliably hurts none. Here each client" in everywhere
    rows[1] = (*rows[1][:6], np.nan, np.nan, *rows[1][8:])
    open_ended = Statistics(comparisons=pd.DataFrame(rows, columns=results.statistics.comparisons.columns))
    unsure = verdict.verdict(replace(results, statistics=open_ended))
    assert unsure is not None
    assert ([m.name for m in unsure.behind], unsure.alike, [m.name for m in unsure.unknown]) == ([second], [], [third])
    bare = verdict.verdict(replace(results, statistics=Statistics()))
    assert bare is not None
    assert [method.name for method in bare.unknown] == [second, third]


def test_controls_alone_have_no_verdict(tmp_path: Path) -> None:
    results = load(synthetic.write(tmp_path, methods=["local", "pooled"], diverged=()).comparison)
    assert verdict.verdict(results) is None


def test_the_evidence_counts_small_classes(results: Results) -> None:
    tested = {"toy_lesions": {"a": ClientTest(30, 20, np.array([12, 9, 0]), None), "b": ClientTest(5, 4, None, None)}}
    sentences = verdict.evidence(replace(results, runs=results.runs), tested)
    assert sentences[0].startswith("35 test images of 24 lesions or patients, at 2 clients of 1 federation.")
    assert sentences[1].startswith("2 seeds")
    assert sentences[2].startswith("1 of 2 classes at a client are tested on fewer than 10 lesions:")


def test_the_evidence_counts_cases_where_cases_are_scored(results: Results) -> None:
    tested = {"toy_lesions": {"a": ClientTest(30, 4, None, 6), "b": ClientTest(20, 4, None, 5)}}
    sentences = verdict.evidence(results, tested)
    assert sentences[2:] == ["Toy lesions: a score is the mean over a client's test cases, 11 at all clients."]


def test_the_verdict_names_those_that_share_the_best_rank(results: Results) -> None:
    """Two methods whose scores are equal everywhere, and better than all others, lead together."""
    best = results.metrics[results.metrics["method"] == "fedit"].assign(value=1.0)
    others = results.metrics[~results.metrics["method"].isin(["fedit", "fedpal"])]
    equal = [best, best.assign(method="fedpal"), others]
    found = verdict.verdict(replace(results, metrics=pd.concat(equal, ignore_index=True)))
    assert found is not None
    assert {found.leader.name, *(method.name for method in found.tied)} == {"fedit", "fedpal"}
    assert found.rank == 1.5
    alone = verdict.verdict(results)
    assert alone is not None
    assert alone.tied == []


def test_the_verdict_says_why_there_is_no_interval(results: Results) -> None:
    """Clients whose difference has none are counted, and their federation is named once."""
    leader, second = results.order[:2]
    rows = [
        (ALL, "mean", "average_rank", leader, second, -1.0, np.nan, np.nan, 1.0, False),
        ("toy_slides", "0", "score", leader, "local", 0.2, np.nan, np.nan, 1.0, False),
        ("toy_slides", "1", "score", leader, "local", 0.2, 0.1, 0.3, 1.0, True),
    ]
    table = results.statistics.intervals
    small = table.assign(groups=3, reason=table["federation"].eq("toy_slides").map({True: "3 groups", False: ""}))
    columns = results.statistics.comparisons.columns
    found = verdict.verdict(
        replace(results, statistics=Statistics(intervals=small, comparisons=pd.DataFrame(rows, columns=columns)))
    )
    assert found is not None
    assert (found.helped, found.hurt, found.compared, found.unsure) == (1, 0, 2, 1)
    why = "because their test sets are too small for an interval"
    assert f"undecided, 1 of them {why}. Here each client" in found.against_alone
    assert replace(found, helped=0, unsure=2).against_alone.endswith(f"undecided, all of them {why}.")
    assert found.too_few == (
        "An interval, and so a place, needs 5 patients or more in the test set of every client;"
        " 2 clients of Toy slides have fewer (3)."
    )


@pytest.mark.parametrize(
    ("low", "high", "higher", "sign"), [(0.1, 0.2, True, 1), (-0.2, -0.1, True, -1), (-0.2, -0.1, False, 1)]
)
def test_a_difference_is_reliable_where_its_interval_holds_no_zero(
    low: float, high: float, higher: bool, sign: int
) -> None:
    assert Difference(0.1, low, high, higher).sign == sign
    assert Difference(0.1, -high, high, higher).sign == Difference(0.1, np.nan, np.nan, higher).sign == 0
