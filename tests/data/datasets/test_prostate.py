"""The six prostate sites: zones merged, both spellings of file names, the patients that released codes list."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from benchmark.data import volumes
from benchmark.data.dataset import DataError, Request, checked_index, find
from benchmark.data.datasets.prostate import IOP_FL
from benchmark.data.scans import PER_VOXEL
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
    for row in table[table["case"].isin(["RUNMC/Case04", "UCL/Case26"])].to_dict("records"):
        labels = volume(int(row["case"][-2:]))[1][..., int(row["sample"][-3:])]
        np.testing.assert_array_equal(np.asarray(Image.open(root / row["target"])), (labels > 0)[:, ::-1].T)


def test_lists_of_iop_fl_name_every_patient_once() -> None:
    """116 patients; as many to train, to validate and to test on as the lists' files have lines."""
    for lists, count, sizes in zip(
        IOP_FL,
        (30, 30, 19, 13, 12, 12),
        ((19, 5, 6), (19, 5, 6), (12, 3, 4), (8, 2, 3), (7, 2, 3), (7, 2, 3)),
        strict=True,
    ):
        assert tuple(lists) == ("train", "validation", "test")
        assert tuple(map(len, lists.values())) == sizes
        assert len({number for numbers in lists.values() for number in numbers}) == count == sum(sizes)
    assert {number for numbers in IOP_FL[4].values() for number in numbers} == {0, *range(2, 13)}
    assert {number for numbers in IOP_FL[5].values() for number in numbers} == {*range(38, 50)}


def test_the_protocol_of_iop_fl_divides_patients_as_its_lists_do(tmp_path: Path) -> None:
    """In all three parts; with the other protocol the same slices are divided otherwise, and a stranger is named."""
    drawn = {
        **{"ISBI": (0, 2, 4, 8), "BMC": (0, 7, 3), "I2CVB": (0, 2, 6, 8)},
        **{"UCL": (1, 32, 33), "BIDMC": (0, 7, 3), "HK": (39, 38, 45)},
    }
    own = prostate(tmp_path / "own", drawn)
    root = DATASET.prepare(Request(tmp_path / "data", own))
    table = checked_index(DATASET, root, "iop_fl", 0)
    parts = {split: set(rows["case"]) for split, rows in table.groupby("split")}
    assert parts["validation"] == {
        "RUNMC/Case02",
        "BMC/Case07",
        "I2CVB/Case02",
        "UCL/Case32",
        "BIDMC/Case07",
        "HK/Case38",
    }
    assert parts["test"] == {"RUNMC/Case04", "BMC/Case03", "I2CVB/Case06", "UCL/Case33", "BIDMC/Case03", "HK/Case45"}
    assert parts["train"] == set(table["case"]) - parts["validation"] - parts["test"]
    assert {"RUNMC/Case00", "RUNMC/Case08", "HK/Case39"} <= parts["train"]
    other = checked_index(DATASET, root, "flap_sam", 0)
    assert set(other["split"]) == {"train", "test"}
    assert "HK/Case38" in set(other.loc[other["split"] == "test", "case"])

    for word in ("", "_segmentation"):
        (own / f"HK/Case39{word}.nii.gz").rename(own / f"HK/Case11{word}.nii.gz")
    root = DATASET.prepare(Request(tmp_path / "data", own))
    with pytest.raises(DataError, match=r"^prostate: IOP-FL's lists do not name 1 cases: HK/Case11; number cases as "):
        checked_index(DATASET, root, "iop_fl", 0)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    own = prostate(tmp_path / "own")
    (own / "UCL/Case26_Segmentation.nii.gz").unlink()
    with pytest.raises(DataError, match=r"1 volumes have no labels: .*UCL/Case26_segmentation\.nii\.gz; complete"):
        DATASET.prepare(Request(tmp_path / "data", own))
    save(own / "UCL/Case26_Segmentation.nii.gz", volume(26)[1], "LPS")
    for file in own.glob("BIDMC/Case00*"):
        file.unlink()
    with pytest.raises(DataError, match="BIDMC: holds 2 of 12 cases, none to train or none to test on"):
        DATASET.prepare(Request(tmp_path / "data", own))
    (own / "HK/Case39.nii.gz").rename(own / "HK/Old.nii.gz")
    (own / "BIDMC").rename(tmp_path / "BIDMC")
    with pytest.raises(DataError, match="HK: holds Old; expected Case and a number"):
        DATASET.prepare(Request(tmp_path / "data", own))
    with pytest.raises(
        DataError, match=r"nothing is downloaded: set `federations\.prostate\.source` to a folder of RUNMC"
    ):
        DATASET.prepare(Request(tmp_path / "data"))


def test_a_copy_with_fewer_patients_is_used_and_said_to_be_incomplete(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line, which names the sites that lack some; a site that is whole is not named, nor one that is absent."""
    own = prostate(tmp_path / "own", {"RUNMC": range(28), "UCL": (1, 2, 3), "HK": range(36, 48)})
    request = Request(tmp_path / "data", own)
    told = {"0": "28 of 30 patients of client 0, RUNMC", "3": "3 of 13 patients of client 3, UCL"}
    assert DATASET.incomplete(request) == told
    assert len(checked_index(DATASET, DATASET.prepare(request), "flap_sam", 0)["case"].unique()) == 43
    first = capsys.readouterr().out.splitlines()[0]
    assert first == f"prostate: {own} is not complete: {', '.join(told.values())}; the run goes without the others"
    assert DATASET.incomplete(Request(tmp_path / "data")) == {}


def test_room_for_the_slices_is_asked_for_before_any_volume_is_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the volumes that are left: 18, then those that an interrupted run had not cut."""
    request = Request(tmp_path / "data", prostate(tmp_path / "own"))
    voxels, free, done = 14 * 12 * 3, [100], list[str]()
    monkeypatch.setattr("benchmark.data.disk.free", lambda folder: free[0])
    with pytest.raises(DataError, match=r"^cutting 18 volumes of prostate into slices needs 4\.99 kB, but only 100 B"):
        DATASET.prepare(request)
    assert not list((tmp_path / "data").rglob("*.png"))

    def interrupted(cases: Sequence[volumes.Case], *given: Any) -> pd.DataFrame:
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(cases[0].name)
        return cut(cases, *given)

    free[0], cut = round(18 * voxels * PER_VOXEL), volumes.cut
    monkeypatch.setattr(volumes, "cut", interrupted)
    with pytest.raises(KeyboardInterrupt):
        DATASET.prepare(request)
    monkeypatch.setattr(volumes, "cut", cut)
    free[0] = round(16 * voxels * PER_VOXEL)
    assert len(checked_index(DATASET, DATASET.prepare(request), "flap_sam", 0)) == 18 * 3
