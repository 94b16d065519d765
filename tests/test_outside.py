"""Federations with an outside: how they are named, and that nothing is learned from who stands there."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from benchmark import adaptations
from benchmark.adaptations import discovered
from benchmark.config import ConfigError
from benchmark.files import read_json, sha256, write_json
from benchmark.methods import method_file
from benchmark.plan import Plan
from tests.federation.jobs import CONFIGURATION, assert_equal_runs, workplace
from tests.federation.small import ROOT

TOY = {"image_size": 48, "validation": 0.25, "clients": ["0", "1", "2"]}
VALUES: dict[str, Any] = {
    "name": "small",
    "federations": {"toy_lesions": TOY, "toy_slides": {}},
    "methods": ["fedit"],
    "own": [],
    "rates": ["1e-3"],
    "rounds": 2,
}


def planned(**changes: Any) -> Plan:
    return Plan.of({**VALUES, **changes})


def test_one_federation_for_each_client_that_is_left_out_stands_in_place_of_all() -> None:
    plan = planned(leave_one_out=["toy_lesions"])
    left = [f"toy_lesions_without_{client}" for client in "012"]
    assert plan.federations == [*left, "toy_slides"]
    assert {name: json.loads(plan.training(name, "fedit"))["clients"] for name in left} == {
        left[0]: ["1", "2"],
        left[1]: ["0", "2"],
        left[2]: ["0", "1"],
    }
    assert [plan.config.federations[name].outside for name in left] == [("0",), ("1",), ("2",)]
    assert all(plan.dataset(name) == "toy_lesions" for name in left)


def test_all_of_them_share_one_pack_with_the_federation_of_all() -> None:
    """Which clients take part decides nothing about images."""
    plan = planned(leave_one_out=["toy_lesions"])
    assert len(plan.packs) == 2
    assert {plan.pack(name) for name in plan.federations[:3]} == {planned().pack("toy_lesions")}
    assert list(plan.folders) == list(planned().folders)


def test_a_client_is_left_out_of_every_draw() -> None:
    """Draws without one client count as one federation, as draws of all do."""
    drawn = {**TOY, "protocol": "lesion_disjoint", "draws": 2}
    plan = planned(federations={"toy_lesions": drawn}, leave_one_out=["toy_lesions"])
    left = [f"toy_lesions_without_{client}" for client in "012"]
    assert plan.federations == [f"{name}_draw{number}" for name in left for number in (1, 2)]
    settings = plan.config.federations
    assert [settings[name].draw_of for name in plan.federations] == [name for name in left for _ in range(2)]
    assert [settings[name].split_seed for name in plan.federations] == [0, 1] * 3
    assert [settings[name].outside for name in plan.federations] == [(client,) for client in "012" for _ in range(2)]
    assert len(plan.packs) == 2
    assert Plan.of(plan.config.model_dump(mode="json")).targets == plan.targets, (
        "a publication writes what was resolved"
    )


def test_adaptations_are_those_named_and_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of the project's where none is named; none where nobody is outside."""
    outside = {"toy_lesions": {**TOY, "outside": ["5"]}}
    assert planned().adaptations == {}
    assert set(planned(federations=outside).adaptations) == set(discovered())
    files = {**discovered(), "mine": "adaptations/mine.py"}
    monkeypatch.setattr(adaptations, "discovered", lambda: files)
    plan = planned(federations=outside, adaptations=["none"], adaptation_settings={"norm": {"passes": 2}})
    assert plan.adaptations == {name: files[name] for name in ("mine", "none")}
    served = [path for path in plan.targets if "/outside/" in path]
    assert "results/small/outside/toy_lesions/5/fedit/mine/seed=0/counts.parquet" in served
    assert {path.split("/")[6] for path in served} == {"mine", "none"}


@pytest.mark.parametrize(("name", "hospitals"), [("iop_vessels", 4), ("iop_lesions", 4), ("iop_fl", 10)])
def test_configurations_of_iop_fl_leave_every_hospital_out_once(name: str, hospitals: int) -> None:
    """IOP-FL stands beside what it is compared with, and every adaptation that differs there serves with each."""
    plan = Plan.of(yaml.safe_load((ROOT / f"config/{name}.yaml").read_text(encoding="utf-8")))
    left = [(plan.dataset(name), *plan.config.federations[name].outside) for name in plan.served]
    assert len(set(left)) == len(left) == hospitals
    assert {"fedit", "iop_fl", "local"} <= set(plan.methods)
    same_as_none = {"statistics"} if plan.config.backbone.network == "vit" else set()
    assert set(plan.adaptations) == set(discovered()) - same_as_none


def test_cases_of_hospitals_outside_are_shown_where_masks_are_predicted() -> None:
    """As `none` serves them: without it, without an outside, and of a classification there is no such figure."""
    volumes = {"toy_volumes": {"clients": ["0", "1"], "outside": ["2"]}}
    plan = planned(federations={**volumes, "toy_lesions": {**TOY, "outside": ["5"]}})
    assert plan.pictured == ["toy_volumes"]
    assert "figures/small/overlays_outside.svg" in plan.targets
    assert plan.all_shown_outside == [
        f"results/small/outside/toy_volumes/2/{method}/shown.npz" for method in plan.methods
    ]
    for without in (
        planned(federations={"toy_lesions": {**TOY, "outside": ["5"]}}),
        planned(federations={"toy_volumes": {"clients": ["0", "1"]}}),
        planned(federations=volumes, adaptations=["mean"]),
    ):
        assert without.pictured == without.all_shown_outside == []
        assert "overlays_outside" not in without.figure_names


def test_a_row_that_serves_a_hospital_outside_is_not_taken_from_the_reference() -> None:
    """No archive keeps models."""
    plan = planned(federations={"toy_lesions": {**TOY, "outside": ["5"]}}, baselines="reference")
    assert plan.baselines.taken == []
    assert "its models serve a hospital outside" in plan.baselines.announcement[0]


def test_an_outside_that_is_named_stays_outside_where_others_are_left_out_too() -> None:
    plan = planned(federations={"toy_lesions": {**TOY, "outside": ["5"]}}, leave_one_out=["toy_lesions"])
    assert plan.config.federations["toy_lesions_without_1"].outside == ("1", "5")
    assert plan.config.federations["toy_lesions_without_1"].clients == ("0", "2")


def test_who_stands_outside_is_no_setting_of_a_training() -> None:
    """So a federation is not trained again where an outside is added to it."""
    outside = planned(federations={"toy_lesions": {**TOY, "outside": ["5"]}})
    without = planned(federations={"toy_lesions": TOY})
    assert outside.training("toy_lesions", "fedit") == without.training("toy_lesions", "fedit")


def test_a_name_is_made_of_any_client() -> None:
    """Letters of other scripts, signs and blanks become one `_` each run."""
    federations = {"toy_lesions": {**TOY, "clients": ["UCL", "I2CVB (a)", "b"]}}
    assert planned(federations=federations, leave_one_out=["toy_lesions"]).federations == [
        "toy_lesions_without_ucl",
        "toy_lesions_without_i2cvb_a",
        "toy_lesions_without_b",
    ]


@pytest.mark.parametrize(
    ("federations", "leave", "said"),
    [
        ({"toy_lesions": {"outside": ["1"]}}, [], "federations.toy_lesions: `outside` needs `clients`"),
        (
            {"toy_lesions": {**TOY, "outside": ["1", "4"]}},
            [],
            "federations.toy_lesions: 1 both in `clients`, which take part, and `outside`, which do not",
        ),
        ({"toy_lesions": TOY}, ["toy_lesion"], r"leave_one_out: there is no federation toy_lesion; did you mean toy_l"),
        ({"toy_lesions": {}}, ["toy_lesions"], "leave_one_out: toy_lesions needs two or more `clients`"),
        ({"toy_lesions": {"clients": ["1"]}}, ["toy_lesions"], "leave_one_out: toy_lesions needs two or more"),
        ({"toy_lesions": TOY}, ["toy_lesions"] * 2, "leave_one_out names a value twice"),
        (
            {"toy_lesions": {**TOY, "draws": 2}},
            ["toy_lesions"],
            "federations.toy_lesions.draws: toy_lesions with the protocol flamby has one test set, which all 2 draws",
        ),
        (
            {"toy_lesions": {"clients": ["a b", "A.B"]}},
            ["toy_lesions"],
            "leave_one_out: toy_lesions: two of its clients would both be called toy_lesions_without_a_b",
        ),
        (
            {"toy_lesions": TOY, "toy_lesions_without_1": {"dataset": "toy_lesions"}},
            ["toy_lesions"],
            "leave_one_out: toy_lesions: there is a federation toy_lesions_without_1 already",
        ),
    ],
)
def test_what_cannot_be_expanded_is_one_line(federations: Any, leave: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=f"^configuration: {said}") as refused:
        planned(federations=federations, leave_one_out=leave)
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"adaptations": ["nrm"]}, r"adaptations: there is no adaptation nrm; did you mean norm\?"),
        ({"adaptations": ["none", "none"]}, r"adaptations names a value twice"),
        ({"adaptation_settings": {"tent": {}}}, "adaptation_settings: there is no adaptation tent; there are each, "),
        (
            {"adaptation_settings": {"norm": {"steps": 3}}},
            "adaptation_settings.norm.steps: there is no such setting; allowed: passes, rate, batch_size",
        ),
        ({"adapting": "inductive"}, "adapting: Input should be 'transductive' or 'split'"),
    ],
)
def test_an_adaptation_that_there_is_not_is_one_line(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=f"^configuration: {said}") as refused:
        planned(**changes)
    assert len(str(refused.value).splitlines()) == 1


def test_nothing_of_an_outside_client_reaches_training_or_selection(tmp_path: Path) -> None:
    """With other images and labels of its own, the others end alike to the bit, and alone are measured."""
    place = workplace(tmp_path / "as it is", ROOT / method_file("fedit"))
    other = workplace(tmp_path / "other", place.method)
    pack = other.folder / "pack"
    table = pd.read_parquet(pack / "train.parquet")
    outside = (table["client"] == "east").to_numpy()
    images, targets = np.load(pack / "train.npy"), np.load(pack / "train.targets.npy")
    images[outside], targets[outside] = 255 - images[outside], 3 - targets[outside]
    table.loc[outside, "label"] = 3 - table.loc[outside, "label"]
    np.save(pack / "train.npy", images)
    np.save(pack / "train.targets.npy", targets)
    table.to_parquet(pack / "train.parquet")
    hashes = {name: sha256(pack / name) for name in ("train.npy", "train.targets.npy", "train.parquet")}
    write_json(pack / "manifest.json", {**read_json(pack / "manifest.json"), "hashes": hashes})

    federation = {**CONFIGURATION["federations"]["hospitals"], "clients": ["north", "south"], "outside": ["east"]}
    for where in (place, other):
        assert where.train(where.folder / "runs", federations={"hospitals": federation}) == 0
    assert_equal_runs(other.folder / "runs", place.folder / "runs")
    for file in (place.folder / "runs").glob("lr=*/seed=*/metrics.parquet"):
        assert set(pd.read_parquet(file)["client"]) == {"north", "south"}
    everybody = {**federation, "clients": ["north", "south", "east"], "outside": []}
    for where in (place, other):
        assert where.train(where.folder / "all", federations={"hospitals": everybody}) == 0
    with pytest.raises(AssertionError):
        assert_equal_runs(other.folder / "all", place.folder / "all")
