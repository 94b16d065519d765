"""Reading results."""

from dataclasses import replace
from pathlib import Path

import pytest

from benchmark.files import read_json, write_json
from benchmark.reporting.inputs import Results, load
from tests.evaluation.distance import Distance
from tests.reporting import synthetic


def test_what_there_is_comes_from_the_runs(results: Results) -> None:
    assert results.federations == ["toy_lesions", "toy_slides"]
    assert set(results.methods) == {"fedit", "fedpal", "fedopal_r", "local"}
    assert results.controls == ["local"]
    assert results.seeds == [0, 1]
    assert results.scores == results.score("toy_lesions") == "balanced accuracy"
    assert not results.cells["missing"].any()


def test_scores_that_differ_are_named_with_their_federations(results: Results, monkeypatch: pytest.MonkeyPatch) -> None:
    tasks = {"toy_lesions": results.task("toy_lesions"), "toy_slides": Distance([])}
    monkeypatch.setattr(Results, "task", lambda self, name: tasks[name])
    assert not results.one_score
    assert results.scores == "balanced accuracy (toy_lesions), mean distance (toy_slides)"
    assert [results.best(name) for name in results.federations] == ["max", "min"]


def test_groups_are_called_what_each_federation_calls_them(results: Results) -> None:
    assert results.groups(["toy_lesions"]) == "lesions"
    assert results.groups(results.federations) == "lesions or patients"


def test_runs_that_cannot_stand_in_the_comparison_are_refused(tmp_path: Path) -> None:
    tree = synthetic.write(tmp_path, methods=["fedit"], diverged=())
    path = tree.root / "rows.json"
    rows = read_json(path)
    rows[0]["runs"][0]["clients"] = ["bcn", "elsewhere"]
    write_json(path, rows)
    with pytest.raises(ValueError, match=r"fedit on toy_lesions: its federation has no clients \['elsewhere'\]"):
        load(tree.comparison)


def test_a_federation_of_another_name_says_so_in_its_title(results: Results) -> None:
    comparison = replace(results.comparison, manifests={"without_msk": results.manifests["toy_lesions"]})
    assert replace(results, comparison=comparison).title("without_msk") == "Toy lesions (without_msk)"
    assert results.title("toy_lesions") == "Toy lesions"


def test_what_is_not_asked_for_is_not_read(tree: synthetic.Tree) -> None:
    bare = load(tree.comparison)
    assert bare.overlap.empty
    assert bare.statistics.intervals.empty
