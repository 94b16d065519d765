"""Where a job's images are: on the disk, on the device, or, of a job that looks at a few, not moved at all."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from benchmark.config import TrainingJob
from benchmark.federation.client import ClientData
from benchmark.federation.job import _clients
from benchmark.settings import AugmentationSettings, LoraSettings, TrainingSettings

CLIENTS = ("north", "east", "south")


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    """Nine images of each of three clients, in turn, the last two of each for validation."""
    rows = [(CLIENTS[number % 3], number % 2, "validation" if number >= 21 else "train") for number in range(27)]
    table = pd.DataFrame(rows, columns=["client", "label", "split"])
    names = dict.fromkeys(("sample", "case", "group"), table.index.astype(str))
    table.assign(**names).to_parquet(tmp_path / "train.parquet")
    np.save(tmp_path / "train.targets.npy", table["label"].to_numpy())
    images = np.arange(27, dtype=np.uint8).reshape(27, 1, 1, 1) * np.ones((1, 4, 4, 3), np.uint8)
    np.save(tmp_path / "train.npy", images)
    return tmp_path


def clients(
    pack: Path, device: str, *, resident: bool = True, names: tuple[str, ...] | None = None
) -> list[ClientData]:
    """A job's clients."""
    settings = TrainingJob(
        federation="three",
        clients=names,
        method="fedit",
        method_settings={},
        rates=("1e-3",),
        seeds=(0,),
        rounds=1,
        backbone="vit",
        arguments={},
        lora=LoraSettings(),
        head="shared",
        averaging="samples",
        training=TrainingSettings(),
        augmentation=AugmentationSettings(),
        evaluate_every=1,
    )
    return _clients(settings, pack, torch.device(device), resident)[0]


def test_each_client_reads_its_own_images(pack: Path) -> None:
    """Image n shows n: client k of three has k, k + 3, ... in the pack's order."""
    for own in clients(pack, "cpu"):
        first = CLIENTS.index(own.name)
        assert own.training.images[:][:, 0, 0, 0].tolist() == list(range(first, 21, 3))
        assert own.validation.images[:][:, 0, 0, 0].tolist() == list(range(21 + first, 27, 3))
        assert own.training.targets.tolist() == [number % 2 for number in range(first, 21, 3)]


def test_on_a_cpu_the_pack_stays_a_memory_map(pack: Path) -> None:
    """All clients read one array, whose pages the system may drop; nobody copies it."""
    packs = {id(own.training.images.pack) for own in clients(pack, "cpu")}
    assert len(packs) == 1
    (own, *_) = clients(pack, "cpu")
    before = own.training.images[:].clone()
    with (pack / "train.npy").open("r+b") as file:
        file.seek(-27 * 48, 2)
        file.write(bytes(255 - number for number in range(27) for _ in range(48)))
    assert torch.equal(own.training.images[:], 255 - before)


def test_a_device_receives_the_images_of_the_federations_clients_alone(pack: Path) -> None:
    """One copy for all of them. A device without memory stands for a GPU."""
    found = clients(pack, "meta", names=("south", "east"))
    assert [own.name for own in found] == ["east", "south"]
    assert len({id(own.training.images.pack) for own in found}) == 1
    assert found[0].training.images.pack.shape == (18, 4, 4, 3)
    assert {part.pack.device.type for own in found for part in (own.training.images, own.validation.images)} == {"meta"}


def test_a_job_that_looks_at_a_few_images_moves_those_alone(pack: Path) -> None:
    """Support images are read from the disk and moved; the pack is not."""
    for own in clients(pack, "meta", resident=False):
        assert own.training.images.pack.device.type == "cpu"
        assert own.training.targets.device.type == "meta"
        assert own.support(5, torch.float32).device.type == "meta"
