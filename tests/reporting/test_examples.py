"""The figure of example images."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmark.data.packed import open_training
from benchmark.files import write_json
from benchmark.job import run
from benchmark.reporting import examples
from tests.reporting import synthetic

CLASSES, CLIENTS = ["a", "b", "c", "d"], ["0", "1"]


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    """A pack whose image i has the colour i. Client 1 has no training image of the last class."""
    rows = [
        (f"s{client}{label}{i}", client, label, split)
        for client in CLIENTS
        for label in range(4)
        for i, split in enumerate(["validation", "train", "train", "train"])
        if (client, label, split) != ("1", 3, "train")
    ]
    table = pd.DataFrame(rows, columns=["sample", "client", "label", "split"]).assign(group="g")
    folder = tmp_path / "pack"
    write_json(folder / "manifest.json", synthetic.manifest("toy", CLASSES, CLIENTS))
    table.to_parquet(folder / "train.parquet")
    np.save(folder / "train.targets.npy", table["label"].to_numpy())
    np.save(
        folder / "train.npy",
        np.arange(len(table), dtype=np.uint8)[:, None, None, None] + np.zeros((1, 8, 8, 3), np.uint8),
    )
    return folder


@pytest.fixture
def shown(pack: Path) -> examples.Shown:
    """Its training images."""
    return examples.Shown.of("Toy", synthetic.manifest("toy", CLASSES, CLIENTS), open_training(pack))


def test_training_images_of_every_client_and_class_are_chosen(pack: Path, shown: examples.Shown) -> None:
    table, found = pd.read_parquet(pack / "train.parquet"), examples.chosen(shown)
    assert set(table.loc[found["row"], "split"]) == {"train"}
    assert list(table.loc[found["row"], "sample"]) == list(found["sample"])
    counts = found.groupby(["client", "stratum"]).size()
    # Eight columns hold two images of each of four classes.
    assert counts.to_dict() == {(c, k): 2 for c in CLIENTS for k in CLASSES if (c, k) != ("1", "d")}
    assert set(found["images"]) == {3}


def test_a_client_that_is_not_of_the_federation_is_not_shown(shown: examples.Shown) -> None:
    only = replace(shown, clients={"1": shown.clients["1"]})
    assert set(examples.chosen(only)["client"]) == {"1"}


def test_without_strata_a_client_has_one_row_of_images(pack: Path) -> None:
    split = open_training(pack)
    own = examples.Shown("Toy", {c: {"name": c} for c in CLIENTS}, ("",), split.images, split.table.assign(kind=0))
    assert examples.chosen(own).groupby("client").size().to_dict() == dict.fromkeys(CLIENTS, 8)


def test_the_mosaic_puts_images_in_their_clients_row_and_white_where_there_is_none(shown: examples.Shown) -> None:
    found = examples.chosen(shown)
    image = examples.mosaic(shown, found)
    height, width = image.shape[0] // len(CLIENTS), image.shape[1] // 8
    for row in found.itertuples():
        column = CLASSES.index(row.stratum) * 2 + row.place
        assert (image[CLIENTS.index(row.client) * height, column * width] == row.row).all()
    assert (image[height:, 6 * width :] == 255).all()


@pytest.fixture
def comparison(tmp_path: Path) -> Path:
    """Two federations of the same images."""
    manifest = synthetic.manifest("toy", CLASSES, CLIENTS)
    held = {"name": "x", "title": "x", "rows": [("toy", "m"), ("other", "m")], "rates": [], "seeds": []}
    write_json(
        tmp_path / "comparison.json",
        {**held, "appendix": [], "unused": [], "manifests": {"toy": manifest, "other": manifest}},
    )
    return tmp_path / "comparison.json"


def job(comparison: Path, folder: Path, *packs: Path) -> int:
    files = [part for kind in ("pdf", "svg", "csv", "png") for part in (f"--{kind}", str(folder / f"examples.{kind}"))]
    return run(examples.main, [str(comparison), "--packs", *map(str, packs), *files])


def test_the_job_never_needs_test_images_and_writes_the_same_bytes_twice(
    pack: Path, comparison: Path, tmp_path: Path
) -> None:
    outputs = []
    for folder in (tmp_path / "1", tmp_path / "2"):
        assert job(comparison, folder, pack, pack) == 0
        outputs.append([path.read_bytes() for path in sorted(folder.iterdir())])
    assert outputs[0] == outputs[1]
    assert set(pd.read_csv(tmp_path / "1" / "examples.csv")["federation"]) == {"toy", "other"}


def test_an_absent_pack_is_an_error_of_one_line(
    pack: Path, comparison: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for packs, said in (([pack], "1 folders for 2"), ([pack, tmp_path / "absent"], "absent")):
        assert job(comparison, tmp_path, *packs) == 1
        error = capsys.readouterr().err
        assert said in error
        assert error.count("\n") == 1
