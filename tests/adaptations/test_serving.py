"""A hospital outside is adapted to without its labels, and then tested: its jobs, in this process."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, get_origin

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file, save_file

from benchmark.adaptation import Adaptation
from benchmark.adaptations import adaptation_file
from benchmark.config import ServingJob, TrainingJob
from benchmark.evaluation import adapt, outside
from benchmark.evaluation.reading import DESCRIBED
from benchmark.federation.adapting import Bank, side_by_side
from benchmark.federation.client import Lane
from benchmark.federation.job import Inputs, Job
from benchmark.federation.methods import made
from benchmark.files import read_json, sha256, write_json
from benchmark.job import run
from benchmark.methods import method_file
from benchmark.plan import Plan
from tests.federation.jobs import CONFIGURATION, Workplace, workplace
from tests.federation.small import ROOT, same

INSIDE = {"hospitals": {"dataset": "toy_lesions", "image_size": 32, "clients": ["north", "south"], "outside": ["east"]}}
CHANGES: dict[str, Any] = {"federations": INSIDE, "rates": ["1e-1"], "seeds": [0], "rounds": 2, "methods": ["fedit"]}
TENT = {"passes": 3, "rate": 1e-2, "batch_size": 5}


@dataclass(frozen=True)
class Served:
    """A workplace whose hospital in the east is outside; packs may be replaced by others.

    Attributes:
        place: Pack, backbone and method.
        runs: What was trained.
        pack: The pack that is served from.
        settings: What was trained, as JSON.
    """

    place: Workplace
    runs: Path
    pack: Path
    settings: str

    def job(
        self, work: Callable[..., None], output: Path, /, adapting: str = "transductive", **own: dict[str, Any]
    ) -> int:
        """Run a job with adaptations, by name or file, and their settings; returns its exit status."""
        files = {name if "/" in name else str(ROOT / adaptation_file(name)): given for name, given in own.items()}
        serving = ServingJob.model_validate({"client": "east", "adapting": adapting, "adaptations": files, "code": ""})
        given = [
            *(str(self.runs), "--selected", str(self.runs / "selected.json")),
            *("--settings", self.settings),
            *("--serving", serving.model_dump_json(), "--method", str(self.place.method), "--pack", str(self.pack)),
            *("--backbone", str(self.place.folder / "backbone"), "--output", str(output), "--device", "cpu"),
        ]
        return run(work, given)

    def with_pack(self, folder: Path, change: Callable[[Path], None]) -> "Served":
        """The same with a changed copy of the pack."""
        shutil.copytree(self.pack, folder)
        change(folder)
        return replace(self, pack=folder)


def with_tests(place: Workplace) -> None:
    """Give a workplace's pack a test part: the mirrored images of all hospitals, brighter ones of the last."""
    pack = place.folder / "pack"
    table = pd.read_parquet(pack / "train.parquet").assign(split="test")
    table = table.assign(sample="t" + table["sample"], group="t" + table["group"])
    np.save(pack / "test.npy", np.load(pack / "train.npy")[:, ::-1])
    shutil.copy(pack / "train.targets.npy", pack / "test.targets.npy")
    table.to_parquet(pack / "test.parquet")
    manifest = read_json(pack / "manifest.json")
    hashes = {name: sha256(pack / name) for name in ("test.npy", "test.targets.npy", "test.parquet")}
    write_json(pack / "manifest.json", {**manifest, "hashes": {**manifest["hashes"], **hashes}})


def trained(folder: Path, method: str) -> Served:
    """Two hospitals have trained, with the model that both made."""
    place = workplace(folder, ROOT / method_file(method))
    with_tests(place)
    assert place.train(folder / "runs", "--common", **CHANGES) == 0
    write_json(folder / "runs/selected.json", {"rate": "1e-1"})
    settings = Plan.of({**CONFIGURATION, **CHANGES}).training("hospitals", method)
    return Served(place, folder / "runs", folder / "pack", settings)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Served:
    return trained(tmp_path_factory.mktemp("served"), "fedit")


def without_targets(pack: Path) -> None:
    """Neither a file nor a column is left that says what is to be predicted."""
    for split in ("train", "test"):
        (pack / f"{split}.targets.npy").unlink()
        pd.read_parquet(pack / f"{split}.parquet").drop(columns="label").to_parquet(pack / f"{split}.parquet")


def permuted(pack: Path) -> None:
    """The hospital's labels, all of them others."""
    for split in ("train", "test"):
        table, targets = pd.read_parquet(pack / f"{split}.parquet"), np.load(pack / f"{split}.targets.npy")
        own = (table["client"] == "east").to_numpy()
        targets[own] = (targets[own] + 1) % 4
        table.loc[own, "label"] = (table.loc[own, "label"] + 1) % 4
        np.save(pack / f"{split}.targets.npy", targets)
        table.to_parquet(pack / f"{split}.parquet")


def leaves(folder: Path) -> dict[str, dict[str, torch.Tensor]]:
    """What every adaptation has learned, by its name."""
    files = {path.parts[-3]: load_file(path) for path in folder.glob(f"*/seed=*/{adapt.ADAPTED}")}
    return {name: {leaf: own.clone() for leaf, own in held.items()} for name, held in files.items()}


def equal(left: dict[str, dict[str, torch.Tensor]], right: dict[str, dict[str, torch.Tensor]]) -> bool:
    return left.keys() == right.keys() and all(
        left[a].keys() == right[a].keys() and all(torch.equal(left[a][n], right[a][n]) for n in left[a]) for a in left
    )


def test_labels_change_no_adapted_leaf_and_no_prediction(served: Served, tmp_path: Path) -> None:
    """Adapting opens none: it ends with the same bits where they are others, and where there are none at all."""
    own: dict[str, dict[str, Any]] = {"none": {}, "mean": {}, "each": {}, "norm": TENT}
    packs = {
        "as it is": served,
        "permuted": served.with_pack(tmp_path / "permuted", permuted),
        "none": served.with_pack(tmp_path / "none", without_targets),
    }
    for name, there in packs.items():
        assert there.job(adapt.main, tmp_path / name / "out", **own) == 0
    found = {name: leaves(tmp_path / name / "out") for name in packs}
    assert len(found["as it is"]["norm"]) > 0
    assert not found["as it is"]["mean"]
    assert equal(found["as it is"], found["permuted"])
    assert equal(found["as it is"], found["none"])

    for name in ("as it is", "permuted"):
        assert packs[name].job(outside.main, tmp_path / name / "out", **own) == 0
    assert packs["none"].job(outside.main, tmp_path / "none/out", **own) == 1, "targets are opened here"
    for name in own:
        one, other = (tmp_path / pack / f"out/{name}/seed=0" for pack in ("as it is", "permuted"))
        assert (one / DESCRIBED).read_text() != ""
        told, again = (read_json(folder / DESCRIBED)["models"] for folder in (one, other))
        assert told == again, "neither entropy nor what is predicted"
        kept, kept_again = (pd.read_parquet(folder / "predictions.parquet") for folder in (one, other))
        pd.testing.assert_frame_equal(kept, kept_again)
        counts, others = (pd.read_parquet(folder / "counts.parquet") for folder in (one, other))
        assert (counts["predicted"] == others["predicted"]).all()
        assert (counts["true"] != others["true"]).any()


def test_what_is_tested_is_told(served: Served, tmp_path: Path) -> None:
    """All images of the hospital and no other's; of an oracle every expert; counts and shares by hand."""
    own: dict[str, dict[str, Any]] = {"none": {}, "each": {}, "norm": TENT}
    for work in (adapt.main, outside.main):
        assert served.job(work, tmp_path, **own) == 0
    tables = [pd.read_parquet(served.pack / f"{split}.parquet") for split in ("train", "test")]
    hospital = pd.concat([table[table["client"] == "east"] for table in tables])
    each = pd.read_parquet(tmp_path / "each/seed=0/counts.parquet")
    assert list(each["model"].unique()) == ["north", "south", "common"]
    for _, rows in each.groupby("model"):
        assert rows.loc[rows["true"] == 1, "sample"].tolist() == hospital["sample"].tolist()
        assert rows.loc[rows["true"] == 1, "class"].tolist() == hospital["label"].tolist()
    none = pd.read_parquet(tmp_path / "none/seed=0/counts.parquet")
    columns = [name for name in none if name != "model"]
    common = each[each["model"] == "common"].reset_index(drop=True)
    pd.testing.assert_frame_equal(none[columns], common[columns])

    kept = pd.read_parquet(tmp_path / "norm/seed=0/predictions.parquet").filter(like="probability_").to_numpy()
    told = read_json(tmp_path / "norm/seed=0" / DESCRIBED)
    (model,) = told["models"].values()
    entropy = -(kept * np.log(kept)).sum(1).mean() / np.log(4)
    assert model["entropy"]["after"] == pytest.approx(entropy, rel=1e-4)
    assert model["entropy"]["after"] < model["entropy"]["before"]
    shares = np.bincount(kept.argmax(1), minlength=4) / len(kept)
    assert list(model["predicted"]["after"].values()) == pytest.approx(shares.tolist())
    assert told["images"] == {"adapted": len(hospital), "tested": len(hospital)}
    assert told["adaptation"]["settings"] == {**TENT, "batch_statistics": True}
    assert read_json(tmp_path / "none/seed=0" / DESCRIBED)["adaptation"]["settings"]["passes"] == 0


def test_settings_are_told_as_they_are_in_force() -> None:
    """Whether the configuration gives one or the file does; all that a step depends on."""
    given = made(ROOT / adaptation_file("iop"), Adaptation, "adaptation", {"passes": 1})
    assert outside.in_force(given) == {
        **{"batch_statistics": True, "passes": 1, "rate": 1e-3, "batch_size": 5},
        **{"gate": "softmax", "router": "two_layers", "noise": 0.5},
    }
    said = {name for name, kind in Adaptation.__annotations__.items() if get_origin(kind) is not ClassVar}
    assert set(outside.OF_ALL) == said


def test_split_adapts_to_one_part_and_tests_the_other(served: Served, tmp_path: Path) -> None:
    """Other test images change no leaf; the training part is not tested."""

    def mirrored(pack: Path) -> None:
        np.save(pack / "test.npy", 255 - np.load(pack / "test.npy"))

    other = served.with_pack(tmp_path / "pack", mirrored)
    for place, name in ((served, "one"), (other, "other")):
        for work in (adapt.main, outside.main):
            assert place.job(work, tmp_path / name, "split", norm=TENT) == 0
    assert equal(leaves(tmp_path / "one"), leaves(tmp_path / "other"))
    counts = pd.read_parquet(tmp_path / "one/norm/seed=0/counts.parquet")
    assert counts["sample"].str.startswith("t").all()
    told = read_json(tmp_path / "one/norm/seed=0" / DESCRIBED)
    assert told["images"]["tested"] == counts["sample"].nunique()


def test_the_common_model_is_that_before_clients_train_for_themselves(served: Served, tmp_path: Path) -> None:
    """FedAvg with fine-tuning has FedAvg's, to the bit, though its clients predict with others."""
    tuned = trained(tmp_path / "tuned", "fedavg_ft")
    run_of = "lr=1e-1/seed=0"
    common, expected = (load_file(place.runs / run_of / "common.safetensors") for place in (tuned, served))
    assert equal({"": common}, {"": expected})
    state = load_file(tuned.runs / run_of / "state.safetensors")
    assert any((leaf[0] != common[name]).any() for name, leaf in state.items())
    assert served.place.train(tmp_path / "runs", store=served.runs / "store", **CHANGES) == 0
    assert not list((tmp_path / "runs").rglob("common.safetensors")), "only where it is asked for"


@pytest.mark.parametrize("method", ["iop_fl", "fedper"])
def test_experts_are_those_of_the_last_round(tmp_path: Path, method: str) -> None:
    """What a run's files hold is what an engine that is stepped has after two rounds, to the bit, and not after one.

    The released code of IOP-FL picks each client's expert by hand, from rounds 50 to 99 of 500.
    """
    there = trained(tmp_path, method)
    inputs = Inputs(
        TrainingJob.model_validate_json(there.settings), there.place.method, there.pack, tmp_path / "backbone"
    )
    engine, lanes = Job.of(inputs, "cpu").engine, [Lane("1e-1", 0)]
    read = Bank.read(there.runs / "lr=1e-1/seed=0", engine.model, inputs.settings.clients, torch.device("cpu"))
    state, stepped = engine.start(lanes), list[Bank]()
    for _ in range(2):
        state, _ = engine.round(state, lanes)
        stepped.append(Bank.of(engine, state))
    first, last = stepped
    assert list(read.experts) == ["north", "south", "common"]
    for name, leaves in read.experts.items():
        assert same(leaves, last.experts[name])
        assert not same(leaves, first.experts[name])
        assert all(not same(leaves, other) for own, other in read.experts.items() if own != name)


def test_what_is_there_is_left_and_what_is_damaged_is_made_anew(served: Served, tmp_path: Path) -> None:
    """So an adaptation more, or a kill between two, costs no other; the bits are the same."""
    assert served.job(adapt.main, tmp_path, norm=TENT, mean={}) == 0
    files = {name: tmp_path / f"{name}/seed=0" / adapt.ADAPTED for name in ("norm", "mean", "none")}
    first, times = leaves(tmp_path), {name: files[name].stat().st_ino for name in ("norm", "mean")}
    assert served.job(adapt.main, tmp_path, norm=TENT, mean={}, none={}) == 0
    assert {name: files[name].stat().st_ino for name in times} == times
    files["norm"].write_bytes(files["norm"].read_bytes()[:-7])
    files["mean"].unlink()
    assert served.job(adapt.main, tmp_path, norm=TENT, mean={}, none={}) == 0
    assert equal({name: leaves(tmp_path)[name] for name in first}, first)
    assert served.job(adapt.main, tmp_path, norm={**TENT, "passes": 1}) == 0
    assert not equal({"norm": leaves(tmp_path)["norm"]}, {"norm": first["norm"]})


def test_seeds_side_by_side_are_what_each_is_alone_whatever_is_there_or_fits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """As on a GPU: to rounding, which a file that is lost, and was made in company, does not change."""
    place, changes = workplace(tmp_path / "place", ROOT / method_file("fedit")), {**CHANGES, "seeds": [0, 1, 2]}
    with_tests(place)
    runs = tmp_path / "runs"
    assert place.train(runs, "--common", **changes) == 0
    write_json(runs / "selected.json", {"rate": "1e-1"})
    settings = Plan.of({**CONFIGURATION, **changes}).training("hospitals", "fedit")
    served = Served(place, runs, place.folder / "pack", settings)

    def adapted(output: Path) -> list[dict[str, torch.Tensor]]:
        assert served.job(adapt.main, output, norm=TENT) == 0
        return [load_file(output / f"norm/seed={seed}" / adapt.ADAPTED) for seed in range(3)]

    alone = adapted(tmp_path / "alone")
    monkeypatch.setattr(adapt, "groups", lambda seeds, device: [seeds])
    together = adapted(tmp_path / "together")
    (tmp_path / "together/norm/seed=1" / adapt.ADAPTED).unlink()
    again = adapted(tmp_path / "together")

    def full(adaptation: Adaptation, mixtures: Any, *others: Any) -> Any:
        if len(mixtures) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return side_by_side(adaptation, mixtures, *others)

    monkeypatch.setattr(adapt, "side_by_side", full)
    halved = adapted(tmp_path / "halved")
    assert "3 seeds do not fit into memory; going on with 1" in capfd.readouterr().err
    for seed in range(3):
        assert any(not torch.equal(own, alone[seed - 1][leaf]) for leaf, own in alone[seed].items())
        for leaf, own in alone[seed].items():
            torch.testing.assert_close(together[seed][leaf], own, rtol=1e-4, atol=1e-5)
            assert torch.equal(again[seed][leaf], together[seed][leaf])
            assert torch.equal(halved[seed][leaf], own)


def test_seeds_adapt_side_by_side_on_a_gpu_alone() -> None:
    assert adapt.groups([3, 1], torch.device("cuda")) == [[3, 1]]
    assert adapt.groups([3, 1], torch.device("cpu")) == [[3], [1]]


def outlines(images: np.ndarray) -> np.ndarray:
    """Maps of three classes: thirds of grey values."""
    grey = images[..., 0]
    return np.searchsorted(np.quantile(grey, [1 / 3, 2 / 3]), grey).astype(np.uint8)


def outlined(folder: Path) -> Served:
    """The same where what is grey or light is outlined, and two images are a case."""
    place = workplace(folder, ROOT / method_file("fedit"))
    with_tests(place)
    pack = folder / "pack"
    for split in ("train", "test"):
        table = pd.read_parquet(pack / f"{split}.parquet")
        cases = split + table["client"] + (table.groupby("client").cumcount() // 2).astype(str)
        table.assign(case=cases).to_parquet(pack / f"{split}.parquet")
        np.save(pack / f"{split}.targets.npy", outlines(np.load(pack / f"{split}.npy")))
    hashes = {path.name: sha256(path) for path in pack.iterdir() if path.name != "manifest.json"}
    content = {**read_json(pack / "manifest.json"), "task": "segmentation", "classes": ["none", "grey", "light"]}
    write_json(pack / "manifest.json", {**content, "hashes": hashes})
    changes = {**CHANGES, "federations": {"hospitals": {**INSIDE["hospitals"], "dataset": "toy_volumes"}}, "rounds": 1}
    assert place.train(folder / "runs", "--common", **changes) == 0
    write_json(folder / "runs/selected.json", {"rate": "1e-1"})
    return Served(place, folder / "runs", pack, Plan.of({**CONFIGURATION, **changes}).training("hospitals", "fedit"))


def test_the_cases_that_are_shown_are_those_of_none_by_rule(tmp_path: Path) -> None:
    """The median and the worst by Dice, from counts by hand; what is kept of every adaptation is what was counted."""
    served = outlined(tmp_path)
    for work in (adapt.main, outside.main):
        assert served.job(work, tmp_path / "out", each={}, mean={}, none={}, norm=TENT) == 0
    with np.load(tmp_path / "out" / outside.SHOWN) as file:
        shown = dict(file)
    assert shown["adaptation"].tolist() == ["none", "mean", "norm"], "an oracle is not shown"
    assert shown["title"].tolist() == ["Common model", "Mean of experts", "TENT"]
    for place, name in enumerate(shown["adaptation"]):
        counts = pd.read_parquet(tmp_path / f"out/{name}/seed=0/counts.parquet")
        light = counts[counts["class"] > 0].groupby(["case", "class"])[["hit", "predicted", "true"]].sum()
        dice = (2 * light["hit"] / (light["predicted"] + light["true"])).fillna(1).groupby("case").mean()
        assert shown["value"][place] == pytest.approx(dice[shown["case"]].to_numpy())
        if name == "none":
            order = sorted(dice.index, key=lambda case: (round(dice[case], 12), case))
            assert dict(zip(shown["place"], shown["case"], strict=True)) == {
                "median": order[len(order) // 2],
                "worst": order[0],
            }
        for number, sample in enumerate(shown["sample"]):
            found, true = shown["predicted"][place, number], shown["target"][number]
            expected = counts[counts["sample"] == sample].set_index("class")
            assert [(found == c).sum() for c in range(3)] == expected["predicted"].tolist()
            assert [((found == c) & (true == c)).sum() for c in range(3)] == expected["hit"].tolist()
    assert (shown["predicted"][0] != shown["predicted"][2]).any(), "TENT changes something"
    for number, sample in enumerate(shown["sample"]):
        split = "test" if sample.startswith("t") else "train"
        row = pd.read_parquet(served.pack / f"{split}.parquet")["sample"].tolist().index(sample)
        for name, end in (("image", ".npy"), ("target", ".targets.npy")):
            assert (shown[name][number] == np.load(served.pack / f"{split}{end}")[row]).all()


def test_an_adaptation_that_diverges_is_a_row_of_no_numbers(served: Served, tmp_path: Path) -> None:
    """And no end of the others."""
    for work in (adapt.main, outside.main):
        assert served.job(work, tmp_path, norm={**TENT, "rate": 1e30}, none={}) == 0
    told = {name: read_json(tmp_path / f"{name}/seed=0" / DESCRIBED)["models"]["common"] for name in ("norm", "none")}
    assert told["norm"]["diverged"]
    assert told["norm"]["entropy"]["after"] is None
    assert told["norm"]["entropy"]["before"] == pytest.approx(told["none"]["entropy"]["after"])
    assert pd.read_parquet(tmp_path / "norm/seed=0/counts.parquet")["hit"].isna().all()
    assert pd.read_parquet(tmp_path / "none/seed=0/counts.parquet")["hit"].notna().all()


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("expert", "no expert of south; it has north: train again"),
        ("network", "the expert north is of another network or method, whose head/bias is (5,); expected (4,)"),
        ("common", "of another network or method, without head/bias; train again"),
        ("images", "federations.hospitals.outside: east has 1 image(s) to adapt to (transductive)"),
    ],
)
def test_what_cannot_be_served_is_one_line(
    served: Served, tmp_path: Path, fault: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    there = served
    if fault == "images":

        def alone(pack: Path) -> None:
            for split, count in (("train", 1), ("test", 0)):
                table = pd.read_parquet(pack / f"{split}.parquet")
                own = table.index[table["client"] == "east"]
                table.loc[own[count:], "client"] = "north"
                table.to_parquet(pack / f"{split}.parquet")

        there = served.with_pack(tmp_path / "pack", alone)
    else:
        shutil.copytree(served.runs, tmp_path / "runs")
        there = replace(served, runs=tmp_path / "runs")
        path = there.runs / "lr=1e-1/seed=0" / ("common.safetensors" if fault == "common" else "state.safetensors")
        held, names = load_file(path), ["north", "south"]
        if fault == "expert":
            held, names = {name: leaf[:1] for name, leaf in held.items()}, names[:1]
        elif fault == "network":
            held["head/bias"] = torch.zeros(2, 5)
        else:
            del held["head/bias"]
        save_file({name: leaf.contiguous() for name, leaf in held.items()}, path, {"clients": json.dumps(names)})
    assert there.job(adapt.main, tmp_path / "out", none={}) == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert said in line


def test_a_split_without_test_images_is_one_line_before_anything_is_adapted(
    served: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def untested(pack: Path) -> None:
        table = pd.read_parquet(pack / "test.parquet")
        table.assign(client=table["client"].replace("east", "north")).to_parquet(pack / "test.parquet")

    there = served.with_pack(tmp_path / "pack", untested)
    for work in (adapt.main, outside.main):
        assert there.job(work, tmp_path / "out", "split", norm=TENT) == 1
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert "federations.hospitals.outside: east has no image to test (split) in " in line
        assert line.endswith("; leave it out, or set `adapting: transductive`")
    assert not list(tmp_path.rglob(adapt.ADAPTED))
    assert there.job(adapt.main, tmp_path / "all", norm=TENT) == 0, "all of its images are in the training part"


def test_a_fault_in_an_adaptation_names_its_line(
    served: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.py"
    text = (ROOT / adaptation_file("norm")).read_text(encoding="utf-8")
    path.write_text(text.replace("return entropy(batch(params)", "return entropy(batch(parms)"), encoding="utf-8")
    assert served.job(adapt.main, tmp_path, **{str(path): {}}) == 1
    assert f"{path}:" in (said := capsys.readouterr().err.strip().splitlines()[-1])
    assert "parms" in said
    assert not list(tmp_path.rglob(adapt.ADAPTED))
