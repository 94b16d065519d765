"""Toy slides: WILDS' format, the real patients, equal bytes on every run."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from benchmark.data.camelyon17_slides import SLIDES, SPLIT_OF, Slide
from benchmark.data.dataset import DataError, Request, checked_index
from benchmark.data.datasets.camelyon17 import FOLDER, Camelyon17
from benchmark.data.datasets.toy_slides import DATASET, patches
from benchmark.files import sha256


def test_metadata_is_wilds(slides: Path) -> None:
    metadata = pd.read_csv(slides / FOLDER / "metadata.csv", index_col=0, dtype={"patient": "str"})
    columns = ["patient", "node", "x_coord", "y_coord", "tumor", "slide", "center", "split"]
    assert list(metadata) == columns
    assert (metadata["slide"] // 10 == metadata["center"]).all()
    assert metadata["slide"].nunique() == 50
    assert set(metadata["patient"].str.len()) == {3}
    # About half of a hospital's patches show tumour, but not half of every patient's.
    assert metadata.groupby("center")["tumor"].mean().between(0.45, 0.55).all()
    assert metadata.groupby("patient")["tumor"].mean().std() > 0.1


def test_patches_are_read_by_wilds(slides: Path) -> None:
    table = checked_index(DATASET, slides, "published", 0)
    assert sorted(set(table["client"])) == list("01234")
    assert Image.open(slides / table["path"][0]).size == (96, 96)
    assert Image.open(slides / table["path"][0]).format == "PNG"


def test_hospitals_have_their_share() -> None:
    counts = pd.Series([row[6] for row in patches(0.003, 1, 0)]).value_counts()
    for client in Camelyon17.clients:
        assert counts[int(client.id)] == pytest.approx(0.003 * (client.images or 0), abs=1)


def test_more_patients_validate_and_test_where_asked() -> None:
    once, thrice = (pd.Series([row[0] for row in patches(0.003, k, 0)]).value_counts() for k in (1, 3))
    for patient, count in once.items():
        others = [] if SPLIT_OF[str(patient)] == "train" else [f"1{patient}", f"2{patient}"]
        assert [thrice.pop(name) for name in (patient, *others)] == [count] * (1 + len(others))
    assert thrice.empty


def test_drawn_patients_test_where_the_real_one_does_and_look_like_themselves(tmp_path: Path) -> None:
    root = DATASET.prepare(Request(tmp_path, None, {"scale": 0.0003, "held": 3, "side": 32}, (), 0))
    table = checked_index(DATASET, root, "published", 0)
    patients = table.groupby("group")["split"].first()
    assert {SPLIT_OF[str(patient)[-3:]] == split for patient, split in patients.items()} == {True}
    testing = table[table["split"] == "test"].groupby("client")["group"].nunique()
    real = pd.Series([slide.client for slide in set_of_test_patients()]).value_counts()
    assert testing.to_dict() == (3 * real).to_dict()
    # Each has a stain of their own: mean colours of one patient's patches lie apart from those of the others'.
    paths = table[table["group"].str.endswith("012")].groupby("group")["path"].first()
    colours = {tuple(np.asarray(Image.open(root / path)).mean((0, 1)).round(3)) for path in paths}
    assert len(colours) == len(paths) == 3


def set_of_test_patients() -> list[Slide]:
    """One slide of every patient who tests."""
    return list({slide.patient: slide for slide in SLIDES if slide.split == "test"}.values())


def test_equal_bytes_on_every_run(slides: Path, tmp_path: Path) -> None:
    def hashes(root: Path) -> dict[str, str]:
        return {str(path.relative_to(root)): sha256(path) for path in root.rglob("*") if path.is_file()}

    assert hashes(DATASET.prepare(Request(tmp_path, None, {"scale": 0.0003}, (), 5))) == hashes(slides)


@pytest.mark.parametrize("options", [{"scale": 0.0}, {"scale": 1.5}, {"held": 0}, {"held": 11}, {"side": 16}])
def test_options_out_of_range(tmp_path: Path, options: dict[str, float]) -> None:
    with pytest.raises(DataError, match="scale must lie in"):
        DATASET.prepare(Request(tmp_path, None, options, (), 0))
