"""Fundus: masks of three grey levels become classes, the copy stays as it was, and the real Drishti-GS images."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from benchmark.data.dataset import DataError, Request, checked_index, find
from tests.data.scanned import fundus

DATASET = find("fundus")


def test_black_is_cup_grey_is_rim_and_blurred_edges_are_rounded(tmp_path: Path) -> None:
    own = fundus(tmp_path / "own")
    levels = np.array([[0, 50, 51], [128, 200, 201], [255, 128, 0]], dtype=np.uint8)
    for kind, content in (("mask", levels), ("image", np.zeros((3, 3, 3), dtype=np.uint8))):
        Image.fromarray(content).save(own / f"Domain1/test/ROIs/{kind}/edge.png")
    root = DATASET.prepare(Request(tmp_path / "data", own))
    table = checked_index(DATASET, root, "published", 0).set_index("sample")
    assert table.groupby(["client", "split"]).size().to_dict() == {
        (client, split): count + (client == "0" and split == "test")
        for client in "0123"
        for split, count in (("train", 5), ("test", 2))
    }
    found = np.asarray(Image.open(root / table.loc["Domain1/edge", "target"]))
    np.testing.assert_array_equal(found, [[2, 2, 1], [1, 1, 0], [0, 1, 2]])
    grey, colour = (np.asarray(Image.open(root / table.loc[f"Domain{n}/train0", "target"])) for n in (1, 2))
    np.testing.assert_array_equal(grey, colour)


def test_what_is_missing_or_broken_is_named(tmp_path: Path) -> None:
    own = fundus(tmp_path / "own")
    with pytest.raises(DataError, match="holds 28 images; a run rewrites their masks first"):
        checked_index(DATASET, own, "published", 0)
    mask = own / "Domain3/test/ROIs/mask/test1.png"
    kept = mask.read_bytes()
    mask.write_bytes(kept[:60])
    with pytest.raises(DataError, match=r"1 masks cannot be read: .*Domain3/test/ROIs/mask/test1\.png"):
        DATASET.prepare(Request(tmp_path / "data", own))
    mask.unlink()
    with pytest.raises(DataError, match=r"1 of 28 images have no mask below .*: Domain3/test/ROIs/mask/test1\.png"):
        DATASET.prepare(Request(tmp_path / "data", own))
    with pytest.raises(
        DataError, match=r"no image found in .*none: set `federations\.fundus\.source` to the folder of Dom"
    ):
        DATASET.prepare(Request(tmp_path / "data", tmp_path / "none"))
    with pytest.raises(DataError, match="nothing is downloaded"):
        DATASET.prepare(Request(tmp_path / "data"))


def test_the_real_drishti_images_are_read(shared: Path, tmp_path: Path) -> None:
    """All 101, written in the copy's format; the cup is the brightest part of the disc in nearly every image."""
    folder = shared / "drishti_gs_512"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there")
    known = pd.read_csv(folder / "index.csv").set_index("id")
    assert len(known) == 101
    for name, split in known["split"].str.lower().replace({"training": "train"}).items():
        for kind in ("image", "mask"):
            (tmp_path / f"own/Domain1/{split}/ROIs/{kind}").mkdir(parents=True, exist_ok=True)
        classes = np.asarray(Image.open(folder / f"masks/{name}.png"))
        written = np.array([255, 128, 0], dtype=np.uint8)[classes]
        Image.fromarray(written).save(tmp_path / f"own/Domain1/{split}/ROIs/mask/{name}.png")
        with Image.open(folder / f"images/{name}.jpg") as picture:
            picture.resize((256, picture.height // 2)).save(tmp_path / f"own/Domain1/{split}/ROIs/image/{name}.png")
    root = DATASET.prepare(Request(tmp_path / "data", tmp_path / "own"))
    table = checked_index(DATASET, root, "published", 0)
    assert table.groupby("split").size().to_dict() == {"test": 51, "train": 50}
    brighter = []
    for row in table.to_dict("records"):
        mask = np.asarray(Image.open(root / row["target"]))
        np.testing.assert_array_equal(mask, np.asarray(Image.open(folder / f"masks/{Path(row['path']).stem}.png")))
        with Image.open(root / row["path"]) as picture:
            grey = np.asarray(picture.convert("L").resize(mask.shape[::-1])).astype(float)
        brighter.append(grey[mask == 2].mean() > grey[mask == 1].mean() > grey[mask == 0].mean())
    assert np.mean(brighter) > 0.9
