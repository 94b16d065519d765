"""Toy lesions: FLamby's format and counts, equal bytes on every run."""

from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from benchmark.data.dataset import DataError, Request, checked_index, find
from benchmark.data.datasets.fed_isic2019 import FedIsic2019
from benchmark.data.datasets.toy_lesions import COUNTS, DATASET, scaled
from benchmark.data.flamby import IMAGES
from benchmark.files import sha256


def test_counts_are_flambys(shared: Path) -> None:
    rows = pd.read_csv(shared / "fed_isic2019_train_test_split.csv")
    for client, folds in COUNTS.items():
        for fold, counts in zip(("train", "test"), folds, strict=True):
            part = rows[(rows["center"] == int(client)) & (rows["fold"] == fold)]
            assert [int((part["target"] == label).sum()) for label in range(8)] == list(counts)


def test_counts_add_up_to_the_real_clients() -> None:
    for client in FedIsic2019.clients:
        assert sum(map(sum, COUNTS[client.id])) == client.images


@pytest.mark.parametrize("evenness", [0.0, 0.5, 0.9])
def test_scaled_counts_keep_every_class_and_the_number_of_images(evenness: float) -> None:
    counts = scaled(0.05, evenness)
    for client, folds in COUNTS.items():
        for fold, found in zip(folds, counts[client], strict=True):
            assert [count > 0 for count in fold] == [count > 0 for count in found]
    assert sum(sum(map(sum, folds)) for folds in counts.values()) == pytest.approx(0.05 * 23247, rel=0.02)


def test_evenness_takes_the_square_root_of_counts_at_one_half() -> None:
    assert scaled(0.05)["0"][0][:3] == [round(0.05 * count) for count in COUNTS["0"][0][:3]]
    (first, second, *_), _ = scaled(0.5, 0.5)["0"]
    assert second / first == pytest.approx((3363 / 2279) ** 0.5, rel=0.01)


@pytest.mark.parametrize("options", [{"scale": 0.0}, {"evenness": 1.0}, {"evenness": -0.1}, {"side": 16}])
def test_options_out_of_range(tmp_path: Path, options: dict[str, float]) -> None:
    with pytest.raises(DataError, match=r"evenness in \[0, 1\)"):
        DATASET.prepare(Request(tmp_path, None, options, (), 0))


def test_drawing_has_the_counts_and_the_format(lesions: Path) -> None:
    table = checked_index(DATASET, lesions, "published", 0)
    for client, folds in scaled(0.006).items():
        for fold, counts in zip(("train", "test"), folds, strict=True):
            part = table[(table["client"] == client) & (table["split"] == fold)]
            assert [int((part["label"] == label).sum()) for label in range(8)] == counts
    split = pd.read_csv(lesions / "train_test_split")
    wanted = "image,MEL,NV,BCC,AK,BKL,DF,VASC,SCC,UNK,target,center,fold,fold2"
    assert ",".join(split) == wanted
    assert (split["fold2"] == split["fold"] + "_" + split["center"].astype(str)).all()
    assert Image.open(lesions / table["path"][0]).size == (64, 48)
    assert Image.open(lesions / table["path"][0]).format == "JPEG"


def test_some_lesions_have_several_photographs_but_none_at_site_one(lesions: Path) -> None:
    table = checked_index(DATASET, lesions, "published", 0)
    sizes = table.groupby(["client", "group"]).size()
    assert sizes.loc["1"].max() == 1
    assert sizes.loc["0"].max() > 1
    disjoint = checked_index(DATASET, lesions, "lesion_disjoint", 0)
    assert (disjoint.groupby("group")["split"].nunique() == 1).all()


def test_real_format_is_read_alike(lesions: Path, shared: Path) -> None:
    real = pd.read_csv(shared / "fed_isic2019_train_test_split.csv")
    drawn = pd.read_csv(lesions / "train_test_split")
    assert list(real) == list(drawn)
    assert [t.kind for t in real.dtypes if t != "str"] == [t.kind for t in drawn.dtypes if t != "str"]
    assert find("fed_isic2019").index(lesions, "flamby", 0).equals(DATASET.index(lesions, "flamby", 0))


def test_equal_bytes_on_every_run(lesions: Path, tmp_path: Path) -> None:
    def hashes(root: Path) -> dict[str, str]:
        return {str(path.relative_to(root)): sha256(path) for path in root.rglob("*") if path.is_file()}

    options = {"scale": 0.006, "side": 48}
    assert hashes(DATASET.prepare(Request(tmp_path, None, options, (), 99))) == hashes(lesions)
    other = hashes(DATASET.prepare(Request(tmp_path, None, {**options, "seed": 1}, (), 0)))
    name = f"{IMAGES}/TOY_0000000.jpg"
    assert other[name] != hashes(lesions)[name]


def test_drawing_takes_no_source(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="takes no `source`"):
        DATASET.prepare(Request(tmp_path, tmp_path, {}, (), 0))
