"""What the jobs write, read back: the barrier before the test split, adapters in PEFT, resumed runs."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import timm
import torch
from peft import PeftModel
from safetensors.torch import load_file
from sklearn.metrics import balanced_accuracy_score
from timm.models.vision_transformer import checkpoint_filter_fn

from benchmark.plan import Plan
from tests.workflow.conftest import SMALL, Project

pytestmark = pytest.mark.workflow

METRICS = "results/small/runs/toy_lesions/fedit/lr=1e-2/seed=0/metrics.parquet"


def train(project: Project, output: Path, *arguments: str, pack: Path | None = None, **changes: object) -> None:
    """Run one `train` job by hand, as the Snakefile does."""
    plan = Plan.of({**SMALL, **changes})
    command = [sys.executable, "-m", "benchmark.federation.train", "--settings", plan.training("toy_lesions", "fedit")]
    command += ["--running", plan.running, "--method", "methods/fedopal/fedit.py", "--backbone", plan.backbone]
    packed = pack or f"results/packs/{plan.pack('toy_lesions')}"
    command += ["--pack", str(packed), "--output", str(output), *arguments]
    if "--store" not in arguments:
        command += ["--store", str(output / "store")]
    environment = {**os.environ, "PYTHONPATH": str(project.folder)}
    done = subprocess.run(command, cwd=project.folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_training_cannot_read_test_images(finished: Project, tmp_path: Path) -> None:
    """With the test split's files gone, training gives the very same leaves; with training images gone, it cannot."""
    packed = finished.folder / "results/packs" / Plan.of(SMALL).pack("toy_lesions")
    bare = tmp_path / "pack"
    bare.mkdir()
    for name in ("train.npy", "train.targets.npy", "train.parquet", "manifest.json"):
        shutil.copy(packed / name, bare)
    train(finished, tmp_path / "out", pack=bare)
    found = load_file(tmp_path / "out/lr=1e-2/seed=0/state.safetensors")
    expected = load_file(finished.folder / Path(METRICS).with_name("state.safetensors"))
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in found)
    (bare / "train.npy").unlink()
    with pytest.raises(AssertionError, match=r"train\.npy"):
        train(finished, tmp_path / "none", pack=bare)


def test_deployed_adapters_load_with_peft_and_predict_what_was_tested(finished: Project) -> None:
    """Timm's unchanged model with `PeftModel.from_pretrained` gives predictions.parquet's probabilities."""
    results, plan = finished.folder / "results/small", Plan.of(SMALL)
    rate = json.loads((results / "selected/toy_lesions/fedit.json").read_text())["rate"]
    predictions = pd.read_parquet(results / "test/toy_lesions/fedit/seed=0/predictions.parquet")
    pack = finished.folder / "results/packs" / plan.pack("toy_lesions")
    images, rows = np.load(pack / "test.npy"), pd.read_parquet(pack / "test.parquet")
    settings = plan.config.backbone
    for client in ("0", "3"):
        model = timm.create_model(settings.name, img_size=24, num_classes=8, **settings.arguments)
        frozen = load_file(finished.folder / plan.backbone / "model.safetensors")
        model.load_state_dict(checkpoint_filter_fn(frozen, model), strict=False)
        folder = results / f"runs/toy_lesions/fedit/lr={rate}/seed=0/adapters/{client}"
        model = PeftModel.from_pretrained(model, folder).eval()
        own = rows["client"] == client
        pixels = (torch.from_numpy(images[own]).permute(0, 3, 1, 2).float() / 255 - 0.5) / 0.5
        with torch.no_grad():
            found = model(pixels).softmax(-1).numpy()
        expected = predictions[predictions["client"] == client]
        assert expected["sample"].tolist() == rows.loc[own, "sample"].tolist()
        np.testing.assert_allclose(found, expected.filter(like="probability_").to_numpy(), atol=1e-6)


def test_tables_say_what_the_predictions_say(finished: Project) -> None:
    """Balanced accuracy per client, by scikit-learn from predictions and the pack's targets, is the table's cell."""
    results = finished.folder / "results/small"
    clients = pd.read_parquet(results / "clients.parquet")
    predictions = pd.read_parquet(results / "test/toy_lesions/local/seed=0/predictions.parquet")
    pack = finished.folder / "results/packs" / Plan.of(SMALL).pack("toy_lesions")
    labels = dict(
        zip(pd.read_parquet(pack / "test.parquet")["sample"], np.load(pack / "test.targets.npy"), strict=True)
    )
    for client, rows in predictions.groupby("client"):
        guess, true = rows.filter(like="probability_").to_numpy().argmax(1), rows["sample"].map(labels)
        expected = balanced_accuracy_score(true, np.where(np.isin(guess, true), guess, -1))
        own = clients[(clients["method"] == "local") & (clients["client"] == client)]
        mine = own[own["metric"] == "balanced_accuracy"]
        assert mine["value"].item() == pytest.approx(expected)


def test_more_rounds_continue_and_equal_an_uninterrupted_run(finished: Project, tmp_path: Path) -> None:
    """Two rounds, then four from the same store, equal four at once: leaves and metrics, to the bit."""
    store = tmp_path / "store"
    train(finished, tmp_path / "two", "--store", str(store), rounds=2)
    train(finished, tmp_path / "resumed", "--store", str(store), checkpoint_every=1, rounds=4)
    train(finished, tmp_path / "whole", rounds=4)
    for rate in SMALL["rates"]:
        resumed, whole = (tmp_path / kind / f"lr={rate}/seed=0" for kind in ("resumed", "whole"))
        assert json.loads((resumed / "run.json").read_text())["origin"] == "resumed"
        assert json.loads((whole / "run.json").read_text())["origin"] == "trained"
        found, expected = (load_file(run / "state.safetensors") for run in (resumed, whole))
        assert all(torch.equal(found[name], expected[name]) for name in expected)
        pd.testing.assert_frame_equal(*(pd.read_parquet(run / "metrics.parquet") for run in (resumed, whole)))


def test_another_packing_of_lanes_gives_the_same_within_rounding(finished: Project, tmp_path: Path) -> None:
    """One lane at a time against both together: float32, a few steps."""
    train(finished, tmp_path / "alone", lanes=1)
    found = load_file(tmp_path / "alone/lr=1e-2/seed=0/state.safetensors")
    expected = load_file(finished.folder / Path(METRICS).with_name("state.safetensors"))
    assert all(torch.allclose(found[name], expected[name], atol=1e-6) for name in expected)


def test_a_damaged_checkpoint_is_set_aside_and_the_one_before_it_used(finished: Project, tmp_path: Path) -> None:
    """A flipped byte and a truncated file are both found; the result is that of an undisturbed run."""
    store = tmp_path / "store"
    train(finished, tmp_path / "three", "--store", str(store), checkpoint_every=1, rounds=3)
    for newest in store.glob("*/*/round=000003.safetensors"):
        content = bytearray(newest.read_bytes())
        content[-1] ^= 1
        newest.write_bytes(content[:-7] if newest.parent.name < "8" else content)
    train(finished, tmp_path / "resumed", "--store", str(store), rounds=4)
    train(finished, tmp_path / "whole", rounds=4)
    assert len(list(store.glob("*/*/round=000003.damaged"))) == 2
    for rate in SMALL["rates"]:
        found, expected = (
            load_file(tmp_path / kind / f"lr={rate}/seed=0/state.safetensors") for kind in ("resumed", "whole")
        )
        assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_some_clients_of_a_dataset_are_another_federation_over_the_same_pack(project: Project) -> None:
    """Leaving clients out changes no packed image; the tables hold the clients that are left, whatever their order."""
    small = SMALL["federations"]["toy_lesions"]
    some = {"some": {**small, "dataset": "toy_lesions", "clients": ["3", "0"]}}
    project.configure(federations=some, methods=["fedit", "local"])
    printed = project.snakemake("results/small/clients.parquet", "results/small/tables/some.csv")
    assert "Pack" not in printed
    clients = pd.read_parquet(project.folder / "results/small/clients.parquet")
    assert set(clients["federation"]) == {"some"}
    assert set(clients["client"]) == {"0", "3"}
    table = (project.folder / "results/small/tables/some.csv").read_text()
    assert "vidir_molemax" not in table
