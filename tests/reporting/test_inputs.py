"""Reading results."""

from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import pytest

from benchmark.evaluation.collect import read_manifests
from benchmark.files import write_json
from benchmark.reporting.inputs import Results, check
from tests.reporting import synthetic
from tests.reporting.conftest import read


def test_what_there_is_comes_from_the_runs(results: Results) -> None:
    assert results.datasets == ["toy_lesions", "toy_slides"]
    assert set(results.methods) == {"fedit", "fedpal", "fedopal_r", "local"}
    assert results.controls == ["local"]
    assert results.seeds == [0, 1]
    assert results.score == "balanced accuracy"
    assert not results.cells["missing"].any()


def test_runs_that_cannot_stand_in_one_report_are_refused(results: Results) -> None:
    other = deepcopy(dict(results.runs[0]))
    other["task"] = {"name": "segmentation", "score": "dice", "higher_is_better": True}
    with pytest.raises(ValueError, match="different tasks"):
        check([*results.runs, other], results.manifests)
    with pytest.raises(ValueError, match="'toy_lesions', but manifests only of"):
        check(results.runs, {"toy_slides": results.manifests["toy_slides"]})
    stranger = {**results.runs[0], "clients": ["bcn", "elsewhere"]}
    with pytest.raises(ValueError, match="elsewhere"):
        check([stranger], results.manifests)


def test_a_manifest_can_be_given_for_a_federation_of_another_name(tmp_path: Path) -> None:
    path = tmp_path / "a=b" / "manifest.json"
    write_json(path, synthetic.manifest("toy_lesions", ["x"], ["0"]))
    assert list(read_manifests([str(path), f"without_msk={path}"])) == ["toy_lesions", "without_msk"]


def test_a_federation_of_another_name_says_so_in_its_title(results: Results) -> None:
    manifests = {"without_msk": results.manifests["toy_lesions"]}
    found = Results(results.metrics, results.runs, results.selected, manifests)
    assert found.title("without_msk") == "Toy lesions (without_msk)"
    assert results.title("toy_lesions") == "Toy lesions"


def test_a_selection_without_runs_is_left_out(tree: synthetic.Tree) -> None:
    runs = [run for run in tree.runs if "/fedit/" in str(run)]
    found = read(replace(tree, runs=runs))
    assert {method for _, method in found.selected} == set(found.methods) == {"fedit"}
