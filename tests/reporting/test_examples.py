"""The figure of example images."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmark.files import write_json
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


def test_training_images_of_every_client_and_class_are_chosen(pack: Path) -> None:
    table = pd.read_parquet(pack / "train.parquet")
    shown = examples.chosen(table, synthetic.manifest("toy", CLASSES, CLIENTS))
    assert set(table.loc[shown["row"], "split"]) == {"train"}
    assert list(table.loc[shown["row"], "sample"]) == list(shown["sample"])
    counts = shown.groupby(["client", "class"]).size()
    # Eight columns hold two images of each of four classes.
    assert counts.to_dict() == {(c, k): 2 for c in CLIENTS for k in CLASSES if (c, k) != ("1", "d")}
    assert set(shown["images"]) == {3}


def test_the_mosaic_puts_images_in_their_clients_row_and_white_where_there_is_none(pack: Path) -> None:
    manifest = synthetic.manifest("toy", CLASSES, CLIENTS)
    shown = examples.chosen(pd.read_parquet(pack / "train.parquet"), manifest)
    image = examples.mosaic(np.load(pack / "train.npy"), shown, manifest)
    height, width = image.shape[0] // len(CLIENTS), image.shape[1] // 8
    for row in shown.itertuples():
        column = CLASSES.index(shown.loc[row.Index, "class"]) * 2 + row.place
        assert (image[CLIENTS.index(row.client) * height, column * width] == row.row).all()
    assert (image[height:, 6 * width :] == 255).all()


def test_the_job_never_needs_test_images_and_writes_the_same_bytes_twice(pack: Path, tmp_path: Path) -> None:
    outputs = []
    for folder in (tmp_path / "1", tmp_path / "2"):
        files = [folder / f"examples.{kind}" for kind in ("pdf", "svg", "csv", "png")]
        options = [part for path in files for part in (f"--{path.suffix[1:]}", str(path))]
        assert examples.main(["--packs", str(pack), f"other={pack}", *options]) == 0
        outputs.append([path.read_bytes() for path in files])
    assert outputs[0] == outputs[1]
    assert set(pd.read_csv(tmp_path / "1" / "examples.csv")["dataset"]) == {"toy", "other"}


def test_an_absent_pack_is_an_error_of_one_line(pack: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(pack)
    options = [part for kind in ("pdf", "svg", "csv") for part in (f"--{kind}", str(tmp_path / kind))]
    assert examples.main(["--packs", str(pack), *options]) == 1
    error = capsys.readouterr().err
    assert "manifest.json" in error
    assert error.count("\n") == 1
