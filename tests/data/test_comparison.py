"""The job that says which rows there are and what their federations hold."""

import json
from pathlib import Path

import pytest

from benchmark.baselines.rows import Baselines
from benchmark.comparison import Comparison
from benchmark.data.comparison import describe
from benchmark.files import write_json
from benchmark.job import run
from benchmark.plan import Plan

VALUES = {
    "name": "two",
    "federations": {
        "all": {"dataset": "toy_lesions"},
        "some": {"dataset": "toy_lesions", "clients": ["2", "0"], "outside": ["1"]},
    },
    "methods": ["fedit", "local"],
    "rates": ["1e-3", "5e-4"],
    "seeds": [0, 7],
    "rounds": 3,
    "selection": {"last_rounds": 2},
}


def described(folder: Path, plan: Plan) -> tuple[int, Path]:
    """Run the job as the rule does, in a folder with a pack of three clients."""
    for pack in plan.packs:
        clients = {client: {"name": client} for client in "012"}
        write_json(folder / "results/packs" / pack / "manifest.json", {"title": "Toy", "clients": clients})
    output = Path(plan.places.of("comparison.json"))
    status = run(describe, ["--plan", plan.described, "--packs", plan.packed_at, "--output", str(output)])
    return status, output


def test_what_is_written_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    plan = Plan.of(VALUES)
    status, output = described(tmp_path, plan)
    assert status == 0
    found = Comparison.read(output)
    assert found == Comparison.read(output.parent)
    assert (found.name, found.title, found.rates, found.seeds) == ("two", "two", ["1e-3", "5e-4"], [0, 7])
    assert found.rows == plan.rows == found.appendix
    assert (found.last_rounds, found.unused, found.taken) == (2, [], [])
    assert {name: sorted(manifest["clients"]) for name, manifest in found.manifests.items()} == {
        "all": ["0", "1", "2"],
        "some": ["0", "2"],
    }
    assert {name: manifest["outside"] for name, manifest in found.manifests.items()} == {
        "all": {},
        "some": {"1": {"name": "1"}},
    }
    # Where it says that results stand is where the plan puts them.
    assert [found.places.selected(*row) for row in found.rows] == plan.every(plan.selected)


@pytest.mark.parametrize(
    ("part", "parts"), [("clients", {"clients": ["0", "5"]}), ("outside", {"clients": ["0"], "outside": ["5"]})]
)
def test_a_client_that_the_pack_lacks_is_named(
    part: str,
    parts: dict[str, list[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    federations = {"some": {"dataset": "toy_lesions", **parts}}
    status, output = described(tmp_path, Plan.of({**VALUES, "federations": federations}))
    assert status == 1
    assert f"federations.some.{part}: 5 not in its pack, which holds 0, 1, 2" in capsys.readouterr().err
    assert not output.exists()


def test_what_decides_nothing_changes_nothing() -> None:
    """It is a parameter: what it says must not follow from how jobs run."""
    other = Plan.of({**VALUES, "device": "cpu", "lanes": 2, "threads": 3, "local_files": "/elsewhere"})
    assert other.described == Plan.of(VALUES).described
    assert json.loads(other.described)["clients"] == {"all": None, "some": ["2", "0"]}


def test_it_says_which_rows_are_taken_from_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    """No model of theirs is here, so that nothing is pictured; where none are asked for, none are taken."""
    monkeypatch.setattr(Baselines, "unused", {("all", "fedit"): "the engine has changed"})
    described = json.loads(Plan.of({**VALUES, "baselines": "reference"}).described)
    assert described["taken"] == [["all", "local"], ["some", "fedit"], ["some", "local"]]
    assert described["unused"] == [["all", "fedit", "the engine has changed"]]
    assert json.loads(Plan.of(VALUES).described)["taken"] == []
