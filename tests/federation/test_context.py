"""Slices beside a slice, as channels of one image or as images of one step: against images that are written out."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from benchmark.config import ServingJob, TrainingJob
from benchmark.counted import ABOUT
from benchmark.data.augmentation import to_float
from benchmark.data.dataset import DataError
from benchmark.data.neighbours import neighbours
from benchmark.data.packed import open_test
from benchmark.evaluation.serving import Outside
from benchmark.evaluation.testing import every_client
from benchmark.federation.client import ClientData, Lane, Samples
from benchmark.federation.engine import Engine
from benchmark.federation.job import Inputs, Job, in_context
from benchmark.federation.packed_images import PackedImages
from benchmark.files import sha256, write_json
from benchmark.methods import method_file
from benchmark.models.unet import build
from benchmark.plan import Plan
from benchmark.settings import AugmentationSettings
from tests.federation.small import CLASSES, ROOT, SIZE, TRAINING, apart, engine, method, predictions, train

LANES = [Lane("1e-1", 0), Lane("2e-2", 0)]
STILL = AugmentationSettings(flip=False, rotate=False, brightness=0, contrast=0)
CASES = {"north": (5, 3), "east": (4, 6)}
"""By client, how many slices each of its cases has."""


def slices(client: str, side: int = SIZE) -> tuple[Tensor, pd.DataFrame]:
    """Grey noise (n, side, side, 1), and the table of its slices."""
    rows = [(f"{client}{case}", n) for case, count in enumerate(CASES[client]) for n in range(count)]
    source = torch.Generator().manual_seed(len(client))
    images = torch.randint(256, (len(rows), side, side, 1), generator=source, dtype=torch.uint8)
    return images, pd.DataFrame(rows, columns=["case", "position"])


def hospitals(context: Sequence[int] = (), stack: int = 1, *, written: bool = False) -> list[ClientData]:
    """Hospitals with slices; contexts and stacks are found by number or, where `written`, written out as images."""
    found = []
    for name in CASES:
        images, table = slices(name)
        labels = torch.randint(len(CLASSES), (len(table),), generator=torch.Generator().manual_seed(1))
        beside = torch.from_numpy(neighbours(table, context)) if context else None
        stacks = torch.from_numpy(neighbours(table, range(-(stack // 2), stack // 2 + 1))) if stack > 1 else None
        shown = PackedImages.of(images)
        if written and beside is not None:
            shown = PackedImages.of(torch.cat([images[beside[:, place]] for place in range(len(context))], -1))
        elif beside is not None:
            shown = in_context(images, table, context)
        own = Samples(shown, labels, stacks=stacks)
        if written and stacks is not None:
            own = Samples(PackedImages.of(images[stacks.flatten()]), labels[stacks.flatten()])
        found.append(ClientData(name, own, Samples(shown, labels)))
    return found


def ours(clients: Sequence[ClientData], **changes: Any) -> Engine:
    """FedIT on these hospitals."""
    return engine(method("fedit"), clients, training=TRAINING.model_copy(update=changes))


def leaves(made: Engine) -> Mapping[str, Tensor]:
    """After two rounds."""
    return train(made, LANES, 2).params


@pytest.mark.parametrize("name", ["fedit", "pooled"])
def test_training_in_context_is_training_on_images_that_are_written_out(name: str) -> None:
    """Changed images, two rounds, two lanes. No slice is copied for it."""
    found, expected = (engine(method(name), hospitals([-1, 0, 1], written=written)) for written in (False, True))
    assert apart(leaves(found), leaves(expected)) < 1e-11
    assert found.clients[0].training.images.pack.shape[-1] == 1


def test_a_context_of_the_slice_alone_is_the_grey_image() -> None:
    """As images and in what is predicted, to the bit; trained on, but for the rounding of an image's mean."""
    grey, thrice = (ours(hospitals(context)) for context in ((), (0, 0, 0)))
    for own, other in zip(grey.clients, thrice.clients, strict=True):
        assert torch.equal(own.training.images[:].expand(-1, -1, -1, 3), other.training.images[:])
    state = grey.start(LANES)
    for own, other in zip(predictions(grey, state), predictions(thrice, state), strict=True):
        assert torch.equal(own, other)
    assert apart(leaves(grey), leaves(thrice)) < 1e-10


def test_a_stack_is_its_slices_as_images_of_a_step() -> None:
    """In one step of all images, against the same images in a list: each slice as often as it is in a stack."""
    batch = 3 * max(map(sum, CASES.values()))
    found = replace(ours(hospitals(stack=3), batch_size=batch, stack=3), augmentation=STILL)
    expected = replace(
        ours(hospitals(stack=3, written=True), batch_size=batch), augmentation=STILL, averaging="uniform"
    )
    assert apart(leaves(replace(found, averaging="uniform")), leaves(expected)) < 1e-12


@pytest.mark.parametrize("name", ["fedit", "pooled"])
def test_slices_of_a_stack_are_moved_alike(name: str) -> None:
    """Where each slice is a case of its own, its stack is itself thrice: one image, and the loss is a mean."""
    clients, alone = hospitals(), []
    for own in clients:
        thrice = torch.arange(len(own.training)).view(-1, 1).expand(-1, 3)
        alone.append(replace(own, training=replace(own.training, stacks=thrice)))
    stacked = engine(method(name), alone, training=TRAINING.model_copy(update={"stack": 3}))
    assert apart(leaves(stacked), leaves(engine(method(name), clients))) < 1e-12


def test_predicting_in_stacks_would_change_nothing() -> None:
    """Slices do not meet in a network: a slice's mean prediction over the stacks it is in is its own."""
    made = ours(hospitals(stack=3))
    client = made.clients[0]
    stacks, images = client.training.stacks, client.training.images
    assert stacks is not None
    params = {name: leaf[0, 0] for name, leaf in made.start(LANES).params.items()}

    def predicted(pixels: Tensor) -> Tensor:
        return made.model.network(to_float(pixels, torch.float64), params, {"head": 1.0}, {"global": 1.0}).prediction

    alone = predicted(images[:])
    summed = torch.zeros_like(alone)
    for stack in stacks:
        summed.index_add_(0, stack, predicted(images[stack]))
    times = torch.bincount(stacks.flatten(), minlength=len(images))
    assert torch.allclose(summed / times[:, None], alone, atol=1e-12, rtol=0)


# A job, from the pack on.

SIDE = 16
VALUES: dict[str, Any] = {
    "name": "small",
    "federations": {"toy_volumes": {"image_size": SIDE, "context": [-1, 0, 1, 0, -2]}},
    "methods": ["fedavg_ft"],
    "rates": ["1e-1"],
    "rounds": 1,
    "trains": ["all"],
    "backbone": {
        "network": "unet",
        "weights": "drawn",
        "arguments": {"channels": 2, "levels": 2, "norm": "group", "inputs": 5},
    },
}


def job(folder: Path, values: Mapping[str, Any] = VALUES, drop: Sequence[str] = ()) -> Job:
    """The job of a pack that is written by hand."""
    pack, weights = folder / "pack", folder / "weights"
    pack.mkdir(parents=True)
    weights.mkdir()
    parts = [(*slices(client, SIDE), client) for client in sorted(CASES)]
    images = torch.cat([own for own, _, _ in parts]).numpy()
    table = pd.concat([own.assign(client=client) for _, own, client in parts], ignore_index=True)
    table = table.assign(sample=table["case"] + "/" + table["position"].astype(str), group=table["case"])
    table["split"] = np.where(table["case"].str.endswith("0"), "train", "validation")
    for split in ("train", "test"):
        np.save(pack / f"{split}.npy", images)
        np.save(pack / f"{split}.targets.npy", (images[..., 0] > 127).astype(np.uint8))
        table.drop(columns=list(drop)).to_parquet(pack / f"{split}.parquet")
    hashes = {path.name: sha256(path) for path in pack.iterdir()}
    about = {"task": "segmentation", "classes": ["background", "bright"], "image_size": SIDE, "hashes": hashes}
    write_json(pack / "manifest.json", about)
    plan = Plan.of(values)
    body = build(plan.config.backbone.arguments)
    save_file(dict(body.state_dict()), weights / "model.safetensors")
    write_json(weights / "backbone.json", {"sha256": sha256(weights / "model.safetensors")})
    settings = TrainingJob.model_validate_json(plan.training("toy_volumes", "fedavg_ft"))
    return Job.of(Inputs(settings, ROOT / method_file("fedavg_ft"), pack, weights), "cpu")


def test_a_job_trains_validates_and_tests_in_context(tmp_path: Path) -> None:
    """A U-Net of five channels; of the shown cases' slices, neighbours that are not shown themselves are seen."""
    made = job(tmp_path)
    client = made.engine.clients[0]
    images, table = slices("east", SIDE)
    beside = neighbours(table, [-1, 0, 1, 0, -2])
    written = np.concatenate([images.numpy()[beside[:, place]] for place in range(5)], -1)
    validated = table["case"] == "east1"
    np.testing.assert_array_equal(client.validation.images[:].numpy(), written[validated])

    lanes = [Lane("1e-1", 0)]
    state, measured = made.engine.round(made.engine.start(lanes), lanes)
    assert torch.isfinite(measured.objectives).all()
    deployed = made.engine.deployed(state)
    names = ["east", "north"]
    stacked = {name: torch.stack([own[name][0] for own in deployed]) for name in deployed[0]}
    save_file(stacked, tmp_path / "state.safetensors", {"clients": '["east", "north"]'})
    test = open_test(tmp_path / "pack")
    whole = list(every_client(made, test, [tmp_path / "state.safetensors"]))
    assert [tested.rows["client"].iloc[0] for tested in whole] == names
    wanted = ["east0/0", "east0/3", "north1/2"]
    shown = list(every_client(made, test, [tmp_path / "state.safetensors"], shown=wanted))
    for one, all_of_it in zip(shown, whole, strict=True):
        chosen = all_of_it.rows["sample"].isin(wanted).to_numpy()
        assert one.rows[ABOUT].equals(all_of_it.rows.loc[chosen, ABOUT])
        np.testing.assert_array_equal(one.worth[0].counts, all_of_it.worth[0].counts[chosen])
        assert len(one.shown[0]) == chosen.sum()


@pytest.mark.parametrize("adapting", ["transductive", "split"])
def test_a_hospital_outside_is_read_in_context(tmp_path: Path, adapting: Literal["transductive", "split"]) -> None:
    """Its slices see their neighbours, also where it adapts to both splits' images at once."""
    made = job(tmp_path)
    serving = ServingJob(client="north", adapting=adapting, adaptations={}, code="")
    model, device = made.engine.model, made.engine.device
    there = Outside(made.settings, serving, model, device, tmp_path / "pack", tmp_path, "1e-3", "")
    images, table = slices("north", SIDE)
    beside = neighbours(table, [-1, 0, 1, 0, -2])
    written = np.concatenate([images.numpy()[beside[:, place]] for place in range(5)], -1)
    splits = 2 if adapting == "transductive" else 1
    for pictures in (there.adapted_to, there.tested):
        np.testing.assert_array_equal(pictures.images[:].numpy(), np.concatenate([written] * splits))
        assert list(pictures.table["case"]) == list(table["case"]) * splits
        assert pictures.cases is not None
        assert torch.equal(
            pictures.cases[pictures.images.own], torch.from_numpy(pd.factorize(pictures.table["case"])[0])
        )


def test_a_packs_manifest_is_read_once(tmp_path: Path) -> None:
    """A job sees one manifest from its beginning to its end."""
    made = job(tmp_path)
    inputs = Inputs(made.settings, ROOT / method_file("fedavg_ft"), tmp_path / "pack", tmp_path / "weights")
    before = inputs.manifest
    (tmp_path / "pack/manifest.json").unlink()
    assert inputs.manifest == before
    assert before["task"] == "segmentation"


def test_what_no_context_can_be_had_of_is_refused_in_a_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the index has no `position`"):
        job(tmp_path / "a", drop=["position"])
    other = {**VALUES, "federations": {"toy_volumes": {"image_size": SIDE}}}
    settings = job(tmp_path / "b", other).settings.model_copy(update={"context": (0, 1, 2)})
    files = ROOT / method_file("fedavg_ft"), tmp_path / "b/pack", tmp_path / "b/weights"
    with pytest.raises(ValueError, match="toy_volumes: images have 3 channels, but the network unet reads 5; change"):
        Job.of(Inputs(settings, *files), "cpu")
    with pytest.raises(ValueError, match="a channel from each grey slice, but images have 3 channels"):
        in_context(torch.zeros(2, 4, 4, 3, dtype=torch.uint8), pd.DataFrame(), [0])
