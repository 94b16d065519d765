"""Fed-KiTS19: three layouts, FLamby's split, slices cut once and resumed, a download, and real slices."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from benchmark.data import flamby
from benchmark.data.dataset import DataError, Request, checked_index, find
from benchmark.data.datasets import fed_kits19
from tests.data.scanned import KITS_FILES, kits, kits_split, save, volume
from tests.data.server import Server, serve

DATASET = find("fed_kits19")


@pytest.fixture(autouse=True)
def without_flamby(monkeypatch: pytest.MonkeyPatch) -> None:
    """The split comes from the folder, whether FLamby is installed or not."""
    monkeypatch.setattr(flamby, "installed", lambda _: None)


@pytest.mark.parametrize("layout", list(KITS_FILES))
def test_every_layout_gives_the_same_slices(layout: str, tmp_path: Path) -> None:
    """By hand: the slices go upwards, the front above; site and split are those of the file."""
    root = DATASET.prepare(Request(tmp_path / "data", kits(tmp_path / "own", layout)))
    table = checked_index(DATASET, root, "published", 0)
    split = kits_split().set_index("case_ids")
    assert len(table) == 3 * len(split)
    for case, rows in table.groupby("case"):
        assert set(rows["client"]) == {str(split.loc[case, "site_ids"])}
        assert set(rows["split"]) == {split.loc[case, "train_test_split"]}
        labels = volume(split.index.get_loc(case))[1]
        for number, row in enumerate(rows.sort_values("sample").to_dict("records")):
            np.testing.assert_array_equal(np.asarray(Image.open(root / row["target"])), labels[:, ::-1, number].T)
            assert row["empty"] == (number == 2)


def test_a_site_may_be_absent_but_not_in_part(tmp_path: Path) -> None:
    own = kits(tmp_path / "own")
    for number in (50, 51, 52):
        shutil.rmtree(own / f"data/case_{number:05}")
    assert set(checked_index(DATASET, DATASET.prepare(Request(tmp_path / "a", own)), "published", 0)["client"]) == set(
        "01234"
    )
    shutil.rmtree(own / "data/case_00011")
    with pytest.raises(DataError, match=r"1 volumes of client 1 are missing in .*own: case_00011; complete the copy"):
        DATASET.prepare(Request(tmp_path / "b", own))
    shutil.rmtree(own / "data")
    with pytest.raises(DataError, match=r"no volume found in .*own: set `federations\.fed_kits19\.source` to a clone"):
        DATASET.prepare(Request(tmp_path / "b", own))


def test_the_split_file_is_checked(tmp_path: Path) -> None:
    own = kits(tmp_path / "own")
    file = own / "thresholded_sites.csv"
    for old, new, said in (
        ("case_00001,0,train", "case_00001,6,train", r"line 3: site_ids is '6', expected one of 0, 1, 2, 3, 4, 5"),
        (
            "case_00001,0,train",
            "case_00001,0,trial",
            r"line 3: train_test_split is 'trial', expected one of train, test",
        ),
        ("case_00001,", "case_00000,", r"lists case_00000 again; fetch it"),
    ):
        kept = file.read_text()
        file.write_text(kept.replace(old, new))
        with pytest.raises(DataError, match=said):
            DATASET.prepare(Request(tmp_path / "data", own))
        file.write_text(kept)
    file.unlink()
    with pytest.raises(DataError, match=r"no thresholded_sites\.csv: put FLamby's there"):
        DATASET.prepare(Request(tmp_path / "data", own))


def truncated(image: Path, labels: Path) -> None:
    image.write_bytes(image.read_bytes()[:-200])


def moved(image: Path, labels: Path) -> None:
    save(labels, volume(4)[1], offset=0.8)


def strange(image: Path, labels: Path) -> None:
    save(labels, volume(4)[1] + 1)


def single(image: Path, labels: Path) -> None:
    for file, content in zip((image, labels), volume(4), strict=True):
        save(file, content[..., :1])


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (truncated, r"case_00011/imaging\.nii\.gz: cannot be read \(.*\); fetch it again"),
        (moved, r"case_00011/segmentation\.nii\.gz: lies elsewhere in the patient than imaging\.nii\.gz"),
        (strange, r"case_00011/segmentation\.nii\.gz: holds the labels 3; known are 0, 1, 2"),
        (single, r"case_00011/imaging\.nii\.gz: has the shape .*; expected a volume of two slices or more"),
    ],
)
def test_damage_is_one_line_and_what_was_cut_is_kept(
    damage: Callable[[Path, Path], None], said: str, tmp_path: Path
) -> None:
    own = kits(tmp_path / "own")
    request, files = Request(tmp_path / "data", own), [own / file for file in KITS_FILES["clone"]("case_00011")]
    damage(*files)
    with pytest.raises(DataError, match=said) as error:
        DATASET.prepare(request)
    assert "\n" not in str(error.value)
    assert DATASET.remains(request) == "4 volumes cut into slices"
    assert DATASET.locate(request) == own, "nothing that looks finished"


def test_an_interrupted_cut_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own, cut, calls = kits(tmp_path / "own"), fed_kits19.volumes.cut, []

    def stops(cases: list[fed_kits19.Case], *given: object) -> pd.DataFrame:
        calls.append(cases[0].name)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return cut(cases, *given)

    monkeypatch.setattr(fed_kits19.volumes, "cut", stops)
    with pytest.raises(KeyboardInterrupt):
        DATASET.prepare(Request(tmp_path / "data", own))
    root = DATASET.prepare(Request(tmp_path / "data", own))
    assert calls[4] == calls[5], "the volume that was interrupted is cut anew"
    assert len(calls) == len(kits_split()) + 1
    whole = DATASET.prepare(Request(tmp_path / "other", own))
    for file in whole.rglob("*.*"):
        assert (root / file.relative_to(whole)).read_bytes() == file.read_bytes()


def test_other_volumes_are_cut_anew(tmp_path: Path) -> None:
    own = kits(tmp_path / "own")
    before = DATASET.prepare(Request(tmp_path / "data", own))
    save(own / "data/case_00000/imaging.nii.gz", volume(99)[0])
    assert DATASET.locate(Request(tmp_path / "data", own)) == own
    assert DATASET.prepare(Request(tmp_path / "data", own)) != before


def test_doctor_can_say_what_waits(tmp_path: Path) -> None:
    """Before the first run, an index says that the volumes are there and not cut."""
    own = kits(tmp_path / "own")
    with pytest.raises(DataError, match="holds 18 volumes; a run cuts them into slices first"):
        checked_index(DATASET, own, "published", 0)


def test_a_download_is_resumed_and_read(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a hub and a repository on this machine."""
    own, commit = kits(tmp_path / "own"), fed_kits19.REVISION
    listed: list[dict[str, Any]] = []
    split = (own / "thresholded_sites.csv").read_bytes()
    server.answers[f"/{fed_kits19.PACKAGED}"] = serve(split)
    for name in kits_split()["case_ids"]:
        image, labels = ((own / file).read_bytes() for file in KITS_FILES["clone"](name))
        server.answers[f"/masks/{name}/segmentation.nii.gz"] = serve(labels)
        server.answers[f"/datasets/{fed_kits19.IMAGES}/resolve/{commit}/images/{name}.nii.gz"] = serve(image)
        pointer = {"oid": hashlib.sha256(image).hexdigest(), "size": len(image), "pointerSize": 134}
        listed.append(
            {"type": "file", "oid": "0" * 40, "size": len(image), "path": f"images/{name}.nii.gz", "lfs": pointer}
        )
    tree = f"/api/datasets/{fed_kits19.IMAGES}/tree/{commit}/images?recursive=true&expand=false"
    server.answers[tree] = serve(json.dumps(listed).encode(), kind="application/json")
    monkeypatch.setattr("benchmark.data.hub.ENDPOINT", server.address(""))
    monkeypatch.setattr(fed_kits19, "MASKS", server.address("/masks"))
    monkeypatch.setattr("benchmark.data.flamby.ADDRESS", server.address(""))
    monkeypatch.setattr(fed_kits19, "SPLIT_HASH", hashlib.sha256(split).hexdigest())
    monkeypatch.setattr("benchmark.data.download.time.sleep", lambda _: None)
    with pytest.raises(DataError, match="read the licence at https://creativecommons"):
        DATASET.prepare(Request(tmp_path / "data"))
    request = Request(tmp_path / "data", licences_accepted=("kits19",))
    last = f"/masks/{name}/segmentation.nii.gz"
    kept = server.answers.pop(last)
    with pytest.raises(DataError, match=r"the server answers 404 .*; try again: it goes on from there"):
        DATASET.prepare(request)
    assert DATASET.fetches(request)
    assert DATASET.remains(request) == "34 of 192 files downloaded"
    server.answers[last] = kept
    root = DATASET.prepare(request)
    assert not DATASET.fetches(request)
    ours, theirs = (
        checked_index(DATASET, place, "published", 0) for place in (root, DATASET.prepare(Request(tmp_path / "b", own)))
    )
    pd.testing.assert_frame_equal(ours, theirs)


def test_real_slices_pass_through_the_volumes(shared: Path, tmp_path: Path) -> None:
    """The 82 slices of 36 patients, as volumes in the challenge's format; of a patient with one slice, one line.

    Site and split are FLamby's. A slice comes back as it went in: every pixel's rank is kept.
    """
    folder = shared / "kits19_slices"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there")
    known = pd.read_csv(folder / "index.csv")
    known["flamby_site"] = known["flamby_site"].fillna(0).astype(int)
    known["flamby_split"] = known["flamby_split"].str.partition("_")[0].fillna("train")
    assert len(known) == 82
    rows, alone = [], []
    for case, slices in known.sort_values(["case", "slice", "flip"]).groupby("case"):
        pictures = [np.asarray(Image.open(folder / "images" / name).convert("L")) for name in slices["image"]]
        masks = [np.asarray(Image.open(folder / "labels" / Path(name).with_suffix(".png"))) for name in slices["image"]]
        for name, stack, kind in (("imaging", pictures, np.int16), ("segmentation", masks, np.uint8)):
            # Rows go from anterior to posterior, columns from the patient's right.
            save(tmp_path / f"own/data/{case}/{name}.nii.gz", np.stack(stack).transpose(2, 1, 0)[:, ::-1].astype(kind))
        (alone if len(slices) == 1 else rows).append(
            (case, slices["flamby_site"].iloc[0], slices["flamby_split"].iloc[0])
        )
    columns = ["case_ids", "site_ids", "train_test_split"]
    pd.DataFrame(rows + alone[:1], columns=columns).to_csv(tmp_path / "own/thresholded_sites.csv", index=False)
    assert alone
    with pytest.raises(
        DataError, match=rf"{alone[0][0]}/imaging\.nii\.gz: has the shape \(512, 512, 1\); expected a volume of two"
    ):
        DATASET.prepare(Request(tmp_path / "data", tmp_path / "own"))
    pd.DataFrame(rows, columns=columns).to_csv(tmp_path / "own/thresholded_sites.csv", index=False)
    root = DATASET.prepare(Request(tmp_path / "data", tmp_path / "own"))
    table = checked_index(DATASET, root, "published", 0)
    assert len(table) == 82 - len(alone)
    order = known.sort_values(["case", "slice", "flip"])
    order = order[~order["case"].isin([case for case, *_ in alone])]
    brighter = []
    for name, row in zip(order["image"], table.sort_values("sample").to_dict("records"), strict=True):
        mask = np.asarray(Image.open(root / row["target"]))
        np.testing.assert_array_equal(mask, np.asarray(Image.open(folder / "labels" / Path(name).with_suffix(".png"))))
        assert row["empty"] == (not mask.any())
        ours = np.asarray(Image.open(root / row["path"])).astype(int)
        theirs = np.asarray(Image.open(folder / "images" / name).convert("L")).astype(int)
        ranked = np.argsort(theirs, axis=None)
        assert (np.diff(ours.ravel()[ranked][np.diff(theirs.ravel()[ranked], prepend=-1) > 0]) >= 0).all()
        if (mask == 1).any():
            brighter.append(ours[mask == 1].mean() > ours[mask == 0].mean())
    assert np.mean(brighter) > 0.9, "a kidney is brighter than what surrounds it and the air"
