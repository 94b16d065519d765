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

from benchmark.data import flamby as flambys
from benchmark.data.dataset import DataError, Request
from benchmark.data.datasets import fed_isic2019
from benchmark.data.datasets.fed_isic2019 import DATASET, FedIsic2019
from benchmark.data.flamby import IMAGES, RAW, RawImages, preprocess_all
from benchmark.files import sha256
from tests.data.server import Server, serve

ROWS = [
    (0, 0, "train", "BCN_1"),
    (0, 1, "test", "BCN_1"),
    (3, 4, "train", None),
    (3, 5, "test", "HAM_2"),
]


@pytest.fixture
def flamby(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed FLamby that cannot be imported; returns the folder of its scripts."""
    scripts = tmp_path / "site" / flambys.SCRIPTS
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


def test_lesion_disjoint_needs_every_lesion(flamby_folder: Callable[..., Path]) -> None:
    root = flamby_folder(ROWS)
    with pytest.raises(DataError, match="lesions of 1 images are not known: ISIC_0000002; put"):
        DATASET.index(root, "lesion_disjoint", 0)
    (root / "ISIC_2019_Training_Metadata.csv").unlink()
    assert DATASET.index(root, "flamby", 0)["group"].is_unique
    with pytest.raises(DataError, match="lesions of 4 images are not known"):
        DATASET.index(root, "lesion_disjoint", 0)


def test_lesions_of_the_installed_flamby(flamby_folder: Callable[..., Path], flamby: Path) -> None:
    root = flamby_folder([(1, 0, "train", None), (1, 0, "test", None)])
    (root / "ISIC_2019_Training_Metadata.csv").unlink()
    known = pd.DataFrame({"lesion_id": ["HAM_7", "HAM_7"], "image_id": ["ISIC_0000000", "ISIC_0000001"]})
    known.to_csv(flamby.parent / "HAM10000_metadata", index=False)
    assert DATASET.index(root, "flamby", 0)["group"].tolist() == ["HAM_7", "HAM_7"]


SIX = [(client, client, "train", f"lesion {client}") for client in range(6)]
SMALL = {"short_side": 24}


def originals(folder: Path, count: int = 6, side: int = 260) -> Path:
    """Original images as the challenge's archive holds them, one of an unknown site among them."""
    (folder / RAW).mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for name in [*(f"ISIC_{number:07d}" for number in range(count)), "ISIC_9999999"]:
        low = rng.integers(60, 200, (8, 10, 3), dtype=np.uint8)
        picture = Image.fromarray(low).resize((side * 4 // 3, side), Image.Resampling.BICUBIC)
        picture.save(folder / RAW / f"{name}.jpg", quality=95)
    return folder / RAW


def zipped(folder: Path) -> Path:
    """The same as an archive, instead of the folder."""
    with zipfile.ZipFile(folder / f"{RAW}.zip", "w") as archive:
        archive.writestr(f"{RAW}/LICENSE.txt", "CC BY-NC 4.0")
        for image in sorted((folder / RAW).iterdir()):
            archive.write(image, f"{RAW}/{image.name}")
    shutil.rmtree(folder / RAW)
    return folder / f"{RAW}.zip"


def located(flamby: Path, root: Path, download: bool = True, preprocessing: bool = True) -> None:
    """What FLamby's scripts note of where they work and how far they have come."""
    said = f"download_complete: {str(download).lower()}\npreprocessing_complete: {str(preprocessing).lower()}\n"
    (flamby / "dataset_location.yaml").write_text(f"dataset_path: {root}\n{said}")


def test_folder_that_flamby_filled_is_adopted(flamby_folder: Callable[..., Path], flamby: Path, tmp_path: Path) -> None:
    root = flamby_folder(SIX)
    located(flamby, root)
    wanted = Request(tmp_path / "new", options=SMALL)
    assert not DATASET.fetches(wanted)
    assert DATASET.prepare(wanted) == root
    # No flag makes up for an image that is gone.
    (root / IMAGES / "ISIC_0000005.jpg").unlink()
    assert DATASET.fetches(wanted)
    with pytest.raises(DataError, match="licences_accepted"):
        DATASET.prepare(wanted)


@pytest.mark.parametrize("as_zip", [False, True])
def test_work_that_flamby_left_half_done_is_finished(
    flamby_folder: Callable[..., Path], flamby: Path, tmp_path: Path, as_zip: bool
) -> None:
    """Its originals are preprocessed into our folder; its own folder is not touched."""
    root = flamby_folder(SIX)
    located(flamby, root, preprocessing=False)
    for number in (2, 3, 4, 5):
        (root / IMAGES / f"ISIC_{number:07d}.jpg").unlink()
    originals(root)
    if as_zip:
        zipped(root)
    before = sorted(path.name for path in root.rglob("*"))
    wanted = Request(tmp_path / "new", threads=2)
    assert not DATASET.fetches(wanted)
    assert RAW in DATASET.remains(wanted)
    assert DATASET.prepare(wanted) == tmp_path / "new"
    assert sorted(path.name for path in root.rglob("*")) == before
    table = DATASET.index(tmp_path / "new", "flamby", 0)
    assert table["group"].tolist() == [f"lesion {client}" for client in range(6)]
    for path in table["path"]:
        assert min(Image.open(tmp_path / "new" / path).size) == 224


def test_originals_of_the_users_own_are_preprocessed(flamby_folder: Callable[..., Path], tmp_path: Path) -> None:
    root = flamby_folder(SIX)
    shutil.rmtree(root / IMAGES)
    originals(root)
    wanted = Request(tmp_path / "new", source=root)
    assert DATASET.prepare(wanted) == tmp_path / "new"
    assert DATASET.locate(wanted) == tmp_path / "new"
    # A preprocessing that was interrupted goes on; what is there is kept.
    (tmp_path / "new" / IMAGES / "ISIC_0000003.jpg").unlink()
    kept = (tmp_path / "new" / IMAGES / "ISIC_0000001.jpg").stat().st_mtime_ns
    assert DATASET.prepare(wanted) == tmp_path / "new"
    assert (tmp_path / "new" / IMAGES / "ISIC_0000001.jpg").stat().st_mtime_ns == kept


def test_split_that_is_not_the_published_one_is_mentioned(
    flamby_folder: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    root = flamby_folder(SIX)
    DATASET.prepare(Request(tmp_path / "new", source=root, options=SMALL))
    assert "train_test_split is not FLamby's published split" in capsys.readouterr().out
    monkeypatch.setattr(flambys, "SPLIT_HASH", sha256(root / "train_test_split"))
    DATASET.prepare(Request(tmp_path / "new", source=root, options=SMALL))
    assert "published" not in capsys.readouterr().out


def test_images_of_another_size_are_named(flamby_folder: Callable[..., Path], tmp_path: Path) -> None:
    root = flamby_folder(SIX)
    Image.new("RGB", (40, 30)).save(root / IMAGES / "ISIC_0000004.jpg")
    with pytest.raises(DataError, match=r"1 images .* short side of 24 pixels: .*ISIC_0000004\.jpg \(40x30\)"):
        DATASET.prepare(Request(tmp_path / "new", source=root, options=SMALL))
    assert DATASET.prepare(Request(tmp_path / "new", source=root, options={"short_side": 0})) == root
    (root / IMAGES / "ISIC_0000004.jpg").write_bytes(b"")
    with pytest.raises(DataError, match=r"ISIC_0000004\.jpg \(no image\)"):
        DATASET.prepare(Request(tmp_path / "new", source=root, options={"short_side": 0}))


def test_no_network_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flambys, "ADDRESS", "http://127.0.0.1:9")
    monkeypatch.setattr("benchmark.data.download.time.sleep", lambda _: None)
    with pytest.raises(DataError, match=r"127\.0\.0\.1:9.*federations\.fed_isic2019\.source") as error:
        DATASET.prepare(Request(tmp_path / "new", licences_accepted=("isic2019",)))
    assert "\n" not in str(error.value)


@pytest.fixture
def challenge(
    flamby_folder: Callable[..., Path], server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Server:
    """The challenge's server and FLamby's, with six images."""
    copy = flamby_folder(SIX)
    originals(tmp_path / "served")
    server.answers[f"/{RAW}.zip"] = serve(zipped(tmp_path / "served").read_bytes(), cuts=2)
    server.answers["/ISIC_2019_Training_Metadata.csv"] = serve((copy / "ISIC_2019_Training_Metadata.csv").read_bytes())
    server.answers[f"/{flambys.SCRIPTS}/{flambys.SPLIT}"] = serve((copy / "train_test_split").read_bytes())
    monkeypatch.setattr(fed_isic2019, "ARCHIVE", server.address(""))
    monkeypatch.setattr(flambys, "ADDRESS", server.address(""))
    monkeypatch.setattr(flambys, "SPLIT_HASH", sha256(copy / "train_test_split"))
    monkeypatch.setattr("benchmark.data.download.time.sleep", lambda _: None)
    return server


def test_download_ends_in_flambys_layout(challenge: Server, tmp_path: Path) -> None:
    wanted = Request(tmp_path / "new", licences_accepted=("isic2019",), threads=2)
    assert DATASET.fetches(wanted)
    root = DATASET.prepare(wanted)
    assert root == tmp_path / "new"
    assert sorted(path.name for path in root.iterdir() if not path.name.startswith(".")) == sorted(
        [IMAGES, "ISIC_2019_Training_Metadata.csv", "train_test_split"]
    )
    assert len(list((root / IMAGES).iterdir())) == 6
    # The same files as FLamby's reader looks for: a name of its split file, and `.jpg`.
    for image in pd.read_csv(root / "train_test_split")["image"]:
        assert np.array(Image.open(root / IMAGES / f"{image}.jpg")).shape == (224, 298, 3)
    assert DATASET.index(root, "flamby", 0)["group"].tolist() == [f"lesion {c}" for c in range(6)]
    # What is there is not fetched again, whatever has become of the network and of the licence.
    asked = len(challenge.asked)
    assert not DATASET.fetches(Request(tmp_path / "new"))
    assert DATASET.prepare(Request(tmp_path / "new")) == root
    assert len(challenge.asked) == asked


def test_nothing_is_asked_for_without_the_licence(challenge: Server, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="licences_accepted"):
        DATASET.prepare(Request(tmp_path / "new"))
    assert challenge.asked == []


def test_split_file_that_is_another_one_is_refused(
    challenge: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flambys, "SPLIT_HASH", "0" * 64)
    with pytest.raises(DataError, match=f"expected {'0' * 64}"):
        DATASET.prepare(Request(tmp_path / "new", licences_accepted=("isic2019",)))


def test_archive_that_lacks_images_or_has_broken_ones(tmp_path: Path) -> None:
    archive = zipped(originals(tmp_path, count=2).parent)
    with pytest.raises(DataError, match="lacks 1 images: ISIC_0000002"):
        preprocess_all(RawImages(archive), ["ISIC_0000001", "ISIC_0000002"], tmp_path / "out", 1)
    content = bytearray(archive.read_bytes())
    place = content.index(b"ISIC_0000001.jpg") + 3000
    content[place : place + 1000] = bytes(1000)
    archive.write_bytes(content)
    with pytest.raises(DataError, match=r"1 images cannot be read: ISIC_0000001 \(Bad CRC-32"):
        preprocess_all(RawImages(archive), ["ISIC_0000000", "ISIC_0000001"], tmp_path / "out", 2)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["ISIC_0000000.jpg"]


def test_real_split_file_has_the_published_sizes(shared: Path, tmp_path: Path) -> None:
    assert sha256(shared / "fed_isic2019_train_test_split.csv") == flambys.SPLIT_HASH
    rows = pd.read_csv(shared / "fed_isic2019_train_test_split.csv")
    for client in FedIsic2019.clients:
        assert client.images == (rows["center"].astype(str) == client.id).sum()
