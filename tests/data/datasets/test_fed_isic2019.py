"""Fed-ISIC2019's reader and its way to the data, on folders in FLamby's layout."""

import shutil
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from benchmark.data.dataset import DataError, Request
from benchmark.data.datasets import fed_isic2019
from benchmark.data.datasets.fed_isic2019 import DATASET, IMAGES, FedIsic2019, preprocess, unpack

ROWS = [
    (0, 0, "train", "BCN_1"),
    (0, 1, "test", "BCN_1"),
    (3, 4, "train", None),
    (3, 5, "test", "HAM_2"),
]


@pytest.fixture
def flamby(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed FLamby that cannot be imported; returns the folder of its scripts."""
    scripts = tmp_path / "site" / fed_isic2019.FLAMBY_SCRIPTS
    scripts.mkdir(parents=True)
    (tmp_path / "site" / "flamby" / "__init__.py").write_text("raise ImportError('albumentations')")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.delitem(sys.modules, "flamby", raising=False)
    return scripts


def test_index_is_the_split_file(flamby_folder: Callable[..., Path]) -> None:
    root = flamby_folder(ROWS)
    table = DATASET.index(root, "flamby", 0)
    assert table["client"].tolist() == ["0", "0", "3", "3"]
    assert table["label"].tolist() == [0, 1, 4, 5]
    assert table["label"].dtype == np.int64
    assert table["split"].tolist() == ["train", "test", "train", "test"]
    # An image without a known lesion is a group of its own.
    assert table["group"].tolist() == ["BCN_1", "BCN_1", "ISIC_0000002", "HAM_2"]
    assert all((root / path).is_file() for path in table["path"])


@pytest.mark.parametrize("name", ["fed_isic2019_train_test_split.csv", "train_test_split.csv"])
def test_other_names_of_the_split_file(flamby_folder: Callable[..., Path], name: str) -> None:
    root = flamby_folder(ROWS)
    (root / "train_test_split").rename(root / name)
    assert len(DATASET.index(root, "flamby", 0)) == 4


def test_split_file_of_the_installed_flamby(flamby_folder: Callable[..., Path], flamby: Path) -> None:
    root = flamby_folder(ROWS)
    (root / "train_test_split").rename(flamby / "train_test_split")
    assert len(DATASET.index(root, "flamby", 0)) == 4


def test_no_split_file_anywhere(flamby_folder: Callable[..., Path]) -> None:
    root = flamby_folder(ROWS)
    (root / "train_test_split").unlink()
    with pytest.raises(DataError, match="no split file: put FLamby's `train_test_split` there"):
        DATASET.index(root, "flamby", 0)


def test_row_without_image_is_an_error(flamby_folder: Callable[..., Path]) -> None:
    root = flamby_folder(ROWS)
    (root / IMAGES / "ISIC_0000001.jpg").unlink()
    with pytest.raises(DataError, match=r"1 of the 2 images of client 0 are missing .*ISIC_0000001"):
        DATASET.prepare(Request(root, root, {}, (), 0))


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda table: table.drop(columns="fold"), "has no column fold"),
        (lambda table: table.drop(columns="center"), "not FLamby's split file"),
        (lambda table: table.assign(target=[1, 1, 4, 5]), "1 rows whose `target` is not their one-hot class"),
    ],
)
def test_split_file_that_is_wrong(
    flamby_folder: Callable[..., Path], edit: Callable[[pd.DataFrame], pd.DataFrame], message: str
) -> None:
    root = flamby_folder(ROWS)
    edit(pd.read_csv(root / "train_test_split")).to_csv(root / "train_test_split", index=False)
    with pytest.raises(DataError, match=message):
        DATASET.index(root, "flamby", 0)


def test_lesion_disjoint_tears_no_lesion_apart(flamby_folder: Callable[..., Path]) -> None:
    rng = np.random.default_rng(0)
    rows = [
        (client, int(rng.integers(3)), "train", f"L{client}{rng.integers(30)}")
        for client in (0, 1, 4)
        for _ in range(60)
    ]
    both_sites = [(0, 0, "train", "shared"), (1, 0, "test", "shared")]
    table = DATASET.index(flamby_folder([*rows, *both_sites]), "lesion_disjoint", 3)
    sides = table.groupby("group")["split"].nunique()
    assert (sides == 1).all()
    assert table.loc[table["group"] == "shared", "split"].eq("train").all()
    for client, part in table.groupby("client"):
        assert (part["split"] == "test").mean() == pytest.approx(0.2, abs=0.06), client


def test_lesion_disjoint_needs_lesions(flamby_folder: Callable[..., Path]) -> None:
    root = flamby_folder(ROWS)
    (root / "ISIC_2019_Training_Metadata.csv").unlink()
    assert DATASET.index(root, "flamby", 0)["group"].is_unique
    with pytest.raises(DataError, match="so lesions are not known"):
        DATASET.index(root, "lesion_disjoint", 0)


def test_folder_that_flamby_filled_is_adopted(flamby_folder: Callable[..., Path], flamby: Path, tmp_path: Path) -> None:
    root = flamby_folder([(client, 0, "train", None) for client in range(6)])
    location = flamby / "dataset_location.yaml"
    location.write_text(f"dataset_path: {root}\ndownload_complete: true\npreprocessing_complete: true\n")
    assert DATASET.prepare(Request(tmp_path / "new", None, {}, (), 0)) == root
    # A folder that FLamby has not finished is none.
    location.write_text(f"dataset_path: {root}\ndownload_complete: true\npreprocessing_complete: false\n")
    with pytest.raises(DataError, match="licences_accepted"):
        DATASET.prepare(Request(tmp_path / "new", None, {}, (), 0))
    # And no flag makes up for an image that is gone.
    location.write_text(f"dataset_path: {root}\ndownload_complete: true\npreprocessing_complete: true\n")
    (root / IMAGES / "ISIC_0000005.jpg").unlink()
    with pytest.raises(DataError, match="licences_accepted"):
        DATASET.prepare(Request(tmp_path / "new", None, {}, (), 0))


def test_no_network_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fed_isic2019, "FLAMBY", "http://127.0.0.1:9")
    monkeypatch.setattr("benchmark.data.download.time.sleep", lambda _: None)
    with pytest.raises(DataError, match=r"127\.0\.0\.1:9.*federations\.fed_isic2019\.source") as error:
        DATASET.prepare(Request(tmp_path / "new", None, {}, ("isic2019",), 0))
    assert "\n" not in str(error.value)


def test_download_ends_in_flambys_layout(
    flamby_folder: Callable[..., Path], flamby: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = flamby_folder([(client, client, "train", f"lesion {client}") for client in range(6)])
    (copy / "train_test_split").rename(flamby / "train_test_split")
    served = tmp_path / "served"
    served.mkdir()
    shutil.copy(copy / "ISIC_2019_Training_Metadata.csv", served)
    with zipfile.ZipFile(served / "ISIC_2019_Training_Input.zip", "w") as archive:
        for image in [*(copy / IMAGES).iterdir()]:
            archive.write(image, f"ISIC_2019_Training_Input/{image.name}")
        archive.writestr("ISIC_2019_Training_Input/ISIC_9999999.jpg", b"of an unknown site")

    def fetch(address: str, target: Path) -> Path:
        target.parent.mkdir(parents=True, exist_ok=True)
        return Path(shutil.copy(served / address.rsplit("/", 1)[1], target))

    monkeypatch.setattr(fed_isic2019, "download", fetch)
    root = DATASET.prepare(Request(tmp_path / "new", None, {}, ("isic2019",), 0))
    assert len(list((root / IMAGES).iterdir())) == 6
    assert min(Image.open(root / IMAGES / "ISIC_0000000.jpg").size) == 224
    assert DATASET.index(root, "flamby", 0)["group"].tolist() == [f"lesion {c}" for c in range(6)]
    # What is there is not fetched again, whatever has become of the network and of the licence.
    monkeypatch.setattr(fed_isic2019, "download", None)
    assert DATASET.prepare(Request(tmp_path / "new", None, {}, (), 0)) == root


def test_archive_that_lacks_images_or_is_none(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("ISIC_1.jpg", b"")
    with pytest.raises(DataError, match="lacks 1 images: ISIC_2"):
        unpack(tmp_path / "a.zip", ["ISIC_1", "ISIC_2"], tmp_path)
    (tmp_path / "a.zip").write_bytes(b"no archive")
    with pytest.raises(DataError, match=r"a\.zip: cannot be read"):
        unpack(tmp_path / "a.zip", ["ISIC_1"], tmp_path)


def test_preprocessing_is_shades_of_gray() -> None:
    rng = np.random.default_rng(0)
    colors = rng.uniform(40, 120, (1, 1, 3)) * rng.uniform(0.8, 1.2, (300, 451, 3))
    out = preprocess(Image.fromarray(colors.astype(np.uint8)))
    assert out.size == (int(451 * 224 / 300), 224)
    light = (np.asarray(out, dtype=float) ** 6).mean((0, 1)) ** (1 / 6)
    # Afterwards all channels are equally bright.
    np.testing.assert_allclose(light / light.mean(), 1, atol=0.01)
    gray = Image.fromarray(np.full((224, 300, 3), 90, dtype=np.uint8))
    np.testing.assert_allclose(np.asarray(preprocess(gray)), 90, atol=1)


def test_bright_values_wrap_round_as_in_flambys_images() -> None:
    """A blue cast makes red's and green's gains exceed one: a bright red pixel comes out dark, value modulo 256."""
    pixels = np.full((224, 224, 3), (100, 100, 200), dtype=np.uint8)
    pixels[0, 0] = (250, 100, 200)
    means = (pixels.astype(np.float64) ** 6).mean((0, 1)) ** (1 / 6)
    gain = np.sqrt((means**2).sum() / 3) / means[0]
    assert 250 * gain > 256
    assert np.asarray(preprocess(Image.fromarray(pixels)))[0, 0, 0] == int(250 * gain) - 256


def test_real_split_file_has_the_published_sizes(shared: Path, tmp_path: Path) -> None:
    rows = pd.read_csv(shared / "fed_isic2019_train_test_split.csv")
    for client in FedIsic2019.clients:
        assert client.images == (rows["center"].astype(str) == client.id).sum()
