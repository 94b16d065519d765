"""Real masks: those of HAM10000 and of the retinal vessels, where a developer has them; archives; what is wrong."""

import re
import shutil
import tarfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from benchmark.data.dataset import DataError, Request, checked_index, find
from benchmark.data.datasets.fed_ham10000_lesions import MASKS
from benchmark.data.flamby import IMAGES
from benchmark.data.picture import decode, fit
from benchmark.tasks.segmentation import Segmentation
from tests.data.test_contract import DOCUMENT, hospital_patients, outline, vessels


@pytest.fixture
def lesions_folder(flamby_folder: Callable[..., Path]) -> Path:
    """Images in FLamby's layout with the archive of their masks."""
    root = flamby_folder(hospital_patients())
    for image in (root / IMAGES).iterdir():
        outline(root / "masks" / f"{image.stem}_segmentation.png", np.random.default_rng(0), 255, (24, 32))
    with tarfile.open(root / "ham10000_masks.tar", "w") as archive:
        archive.add(root / "masks", "masks")
    shutil.rmtree(root / "masks")
    return root


def test_masks_in_an_archive_are_unpacked_beside_the_images(lesions_folder: Path, tmp_path: Path) -> None:
    """The user's folder stays as it was; a second preparation changes nothing."""
    dataset, request = find("fed_ham10000_lesions"), Request(tmp_path / "data", lesions_folder)
    before = sorted(lesions_folder.rglob("*"))
    root = dataset.prepare(request)
    table = checked_index(dataset, root, "published", 0)
    assert set(table["client"]) == {"1", "2", "3", "5"}
    assert table["target"].str.startswith(MASKS).all()
    assert "label" not in table
    assert (table.groupby("group")["split"].nunique() == 1).all()
    assert dataset.prepare(request) == root == dataset.locate(request)
    assert sorted(lesions_folder.rglob("*")) == before
    (lesions_folder / "ham10000_masks.tar").unlink()
    with pytest.raises(DataError, match=f"holds no masks: put {MASKS}/ or {MASKS}.zip there"):
        dataset.prepare(Request(tmp_path / "other", lesions_folder))


def test_a_mask_that_is_missing_is_named(tmp_path: Path) -> None:
    dataset, folder = find("retinal_vessels"), vessels(tmp_path / "vessels")
    assert len(checked_index(dataset, folder, "published", 0)) == 32
    (folder / "masks/STARE/3.png").unlink()
    with pytest.raises(DataError, match=r"1 of 32 images have no mask below .*: masks/STARE/3\.png; complete the copy"):
        checked_index(dataset, folder, "published", 0)
    shutil.rmtree(folder / "images/STARE")
    assert "2" not in set(checked_index(dataset, folder, "published", 0)["client"]), "without its images, no fault"


def test_an_index_of_other_sites_or_columns_is_refused(tmp_path: Path) -> None:
    dataset, folder = find("retinal_vessels"), vessels(tmp_path / "vessels")
    rows = pd.read_csv(folder / "index.csv", dtype=str)
    rows.replace({"site": {"HRF": "IOSTAR"}}).to_csv(folder / "index.csv", index=False)
    with pytest.raises(
        DataError, match=r"index\.csv, line \d+ .*: site is 'IOSTAR', expected one of DRIVE, CHASE_DB1, STARE, HRF"
    ):
        dataset.index(folder, "patient_disjoint", 0)
    rows.drop(columns="patient").to_csv(folder / "index.csv", index=False)
    with pytest.raises(DataError, match="no column patient; it has site, name, split"):
        dataset.index(folder, "patient_disjoint", 0)
    with pytest.raises(DataError, match=r"nothing is downloaded: set `federations\.retinal_vessels\.source`"):
        dataset.prepare(Request(tmp_path / "none"))


def test_masks_in_other_codes_are_rewritten_as_the_document_says(tmp_path: Path) -> None:
    """Colours become positions of classes; one that nothing is said of becomes a value that is refused."""
    coded = tmp_path / "clinics/coded"
    coded.mkdir(parents=True)
    positions = np.random.default_rng(0).integers(0, 3, (6, 8))
    grey = np.array([0, 127, 255], dtype=np.uint8)[positions]
    Image.fromarray(grey).save(coded / "grey.png")
    Image.fromarray(np.stack([grey] * 3, axis=-1)).save(coded / "colours.png")
    strange = grey.copy()
    strange[2, 3] = 126
    Image.fromarray(strange).save(coded / "strange.png")
    scripts = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    (script,) = (text for text in scripts if "coded" in text)
    exec(script.replace("/data/clinics", str(tmp_path / "clinics")), {})
    found = {file.stem: np.asarray(Image.open(file)) for file in (tmp_path / "clinics/masks").iterdir()}
    np.testing.assert_array_equal(found["grey"], positions)
    np.testing.assert_array_equal(found["colours"], positions)
    assert (found["strange"] != positions).sum() == 1
    Image.new("RGB", (8, 6)).save(tmp_path / "image.png")
    task = Segmentation(("background", "rim", "cup"))
    fitted = partial(fit, image=tmp_path / "image.png", size=16, resize="crop")
    assert np.asarray(task.target({"target": "clinics/masks/grey.png"}, tmp_path, fitted)).any()
    with pytest.raises(ValueError, match="holds the value 254, but a mask of 3 classes holds 0, 1, 2"):
        task.target({"target": "clinics/masks/strange.png"}, tmp_path, fitted)


# With the real data.


@pytest.mark.parametrize(
    ("name", "source", "images"),
    [("fed_ham10000_lesions", ".", 10_015), ("retinal_vessels", "retinal_vessels_4site", 130)],
)
def test_the_real_masks_lie_on_what_they_outline(
    name: str, source: str, images: int, shared: Path, tmp_path: Path
) -> None:
    """Lesions and vessels are darker than the skin and the retina around them, in nearly every image."""
    dataset = find(name)
    root = dataset.prepare(Request(tmp_path / "data", shared / source))
    table = checked_index(dataset, root, "published", 0)
    assert len(table) == images
    assert (table.groupby("group")["split"].nunique() == 1).all()
    task, darker = Segmentation(dataset.classes), []
    for row in table.sample(60, random_state=0).to_dict("records"):
        image = decode(root / row["path"], 128, "crop")
        mask = task.target(row, root, partial(fit, image=root / row["path"], size=128, resize="crop"))
        inside = np.asarray(mask).astype(bool)
        green = image[..., 1].astype(float)
        if inside.any() and not inside.all():
            darker.append(green[inside].mean() < green[~inside & (green > 20)].mean())  # The retina lies in the dark.
    assert np.mean(darker) > 0.9
