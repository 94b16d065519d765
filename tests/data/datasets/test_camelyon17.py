"""Camelyon17's reader, which is WILDS' own, on two real patches and on drawn ones."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmark.data.dataset import DataError, Request, checked_index
from benchmark.data.datasets.camelyon17 import DATASET, FOLDER
from benchmark.data.pack import decode


def test_real_patches_in_wilds_layout(shared: Path, tmp_path: Path) -> None:
    patches = [("004", 4, 3328, 21792, 1, 0, "tumor.png"), ("020", 2, 64, 96, 0, 10, "non_tumor.png")]
    rows = []
    for patient, node, x, y, tumour, slide, file in patches:
        name = f"patient_{patient}_node_{node}"
        path = tmp_path / FOLDER / "patches" / name / f"patch_{name}_x_{x}_y_{y}.png"
        path.parent.mkdir(parents=True)
        shutil.copyfile(shared / "camelyon17_wilds_2patches" / file, path)
        rows.append((patient, node, x, y, tumour, slide, slide // 10, 0))
    columns = ["patient", "node", "x_coord", "y_coord", "tumor", "slide", "center", "split"]
    pd.DataFrame(rows, columns=columns).to_csv(tmp_path / FOLDER / "metadata.csv")
    (tmp_path / FOLDER / "RELEASE_v1.0.txt").touch()

    # Either the folder above or WILDS' own may be given.
    assert DATASET.prepare(Request(tmp_path / "new", tmp_path / FOLDER, {}, (), 0)) == tmp_path
    table = checked_index(DATASET, tmp_path, "published", 0).set_index("client")
    assert table["label"].to_dict() == {"0": 1, "1": 0}
    assert table["group"].to_dict() == {"0": "004", "1": "020"}
    image = decode(tmp_path / table.loc["0", "path"], 96, "crop")
    assert image.shape == (96, 96, 3)
    assert image.std() > 10


def test_patients_stand_on_one_side(slides: Path) -> None:
    table = checked_index(DATASET, slides, "patient_disjoint", 0)
    assert (table.groupby("group")["split"].nunique() == 1).all()
    for _, rows in table.groupby("client"):
        test = rows[rows["split"] == "test"]
        assert 0.08 < len(test) / len(rows) < 0.32
        assert set(test["label"]) == set(rows.loc[rows["split"] == "train", "label"]) == {0, 1}


def test_missing_patch_and_missing_hospital(slides: Path, tmp_path: Path) -> None:
    root = tmp_path / "copy"
    shutil.copytree(slides, root)
    table = DATASET.index(root, "patient_disjoint", 0)
    for path in table.loc[table["client"] == "3", "path"]:
        (root / path).unlink()
    assert sorted(set(DATASET.index(root, "patient_disjoint", 0)["client"])) == ["0", "1", "2", "4"]
    (root / table["path"][0]).unlink()
    with pytest.raises(DataError, match="1 of the 40 images of client 0 are missing"):
        DATASET.prepare(Request(tmp_path, root, {}, (), 0))


def test_folder_that_is_not_wilds(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"holds no {FOLDER}/metadata\.csv"):
        DATASET.prepare(Request(tmp_path, tmp_path, {}, (), 0))
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / "metadata.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="WILDS cannot read it"):
        DATASET.prepare(Request(tmp_path, tmp_path, {}, (), 0))


def test_failed_download_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from wilds.datasets.camelyon17_dataset import Camelyon17Dataset

    version = {"1.0": {"download_url": "http://127.0.0.1:9/", "compressed_size": 1}}
    monkeypatch.setattr(Camelyon17Dataset, "_versions_dict", version)
    with pytest.raises(DataError, match=r"refused.*federations\.camelyon17\.source") as error:
        DATASET.prepare(Request(tmp_path, None, {}, (), 0))
    assert "\n" not in str(error.value)


def test_download_that_is_too_small_is_refused(slides: Path) -> None:
    with pytest.raises(DataError, match="40 patches of hospital 0, expected 59436"):
        DATASET.prepare(Request(slides, None, {}, (), 0))


def test_labels_are_wilds_own(slides: Path) -> None:
    metadata = pd.read_csv(slides / FOLDER / "metadata.csv", dtype={"patient": str})
    table = DATASET.index(slides, "patient_disjoint", 0)
    np.testing.assert_array_equal(table["label"], metadata["tumor"])
    np.testing.assert_array_equal(table["group"], metadata["patient"])
    np.testing.assert_array_equal(table["client"].astype(int), metadata["center"])
