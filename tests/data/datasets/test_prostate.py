"""The six prostate sites: zones merged, both spellings of file names, the test patients that FLAP-SAM's code lists."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmark.data.dataset import DataError, Request, checked_index, find
from tests.data.scanned import prostate, save, volume

DATASET = find("prostate")


def test_zones_are_one_gland_and_sites_and_splits_are_as_published(tmp_path: Path) -> None:
    root = DATASET.prepare(Request(tmp_path / "data", prostate(tmp_path / "own")))
    table = checked_index(DATASET, root, "published", 0)
    tested = set(table.loc[table["split"] == "test", "case"])
    assert tested == {
        "RUNMC/Case03",
        "BMC/Case08",
        "I2CVB/Case13",
        "UCL/Case01",
        "BIDMC/Case00",
        "HK/Case38",
    }
    assert dict(zip(table["case"].str.partition("/")[0], table["client"], strict=True)) == {
        "RUNMC": "0",
        "BMC": "1",
        "I2CVB": "2",
        "UCL": "3",
        "BIDMC": "4",
        "HK": "5",
    }
    for row in table[table["case"].isin(["RUNMC/Case04", "UCL/Case02"])].to_dict("records"):
        labels = volume(int(row["case"][-2:]))[1][..., int(row["sample"][-3:])]
        np.testing.assert_array_equal(np.asarray(Image.open(root / row["target"])), (labels > 0)[:, ::-1].T)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    own = prostate(tmp_path / "own")
    (own / "UCL/Case02_Segmentation.nii.gz").unlink()
    with pytest.raises(DataError, match=r"1 volumes have no labels: .*UCL/Case02_segmentation\.nii\.gz; complete"):
        DATASET.prepare(Request(tmp_path / "data", own))
    save(own / "UCL/Case02_Segmentation.nii.gz", volume(2)[1], "LPS")
    for file in own.glob("BIDMC/Case00*"):
        file.unlink()
    with pytest.raises(DataError, match="BIDMC: holds 2 of 12 cases, none to train or none to test on"):
        DATASET.prepare(Request(tmp_path / "data", own))
    (own / "HK/Case36.nii.gz").rename(own / "HK/Old.nii.gz")
    (own / "BIDMC").rename(tmp_path / "BIDMC")
    with pytest.raises(DataError, match="HK: holds Old; expected Case and a number"):
        DATASET.prepare(Request(tmp_path / "data", own))
    with pytest.raises(
        DataError, match=r"nothing is downloaded: set `federations\.prostate\.source` to a folder of RUNMC"
    ):
        DATASET.prepare(Request(tmp_path / "data"))
