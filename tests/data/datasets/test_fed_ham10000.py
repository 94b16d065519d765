"""Fed-HAM10000: a source that is an archive, one that is a folder, and none."""

import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmark.data.dataset import DataError, Request, checked_index
from benchmark.data.datasets.fed_ham10000 import ARCHIVE, DATASET
from benchmark.data.flamby import IMAGES

ROWS = [(client, client % 2, fold, None) for client in range(6) for fold in ("train", "test")]


def test_only_the_four_sites_are_read(flamby_folder: Callable[..., Path], tmp_path: Path) -> None:
    root = flamby_folder(ROWS)
    assert DATASET.prepare(Request(tmp_path / "new", root, {}, (), 0)) == root
    assert sorted(set(DATASET.index(root, "flamby", 0)["client"])) == ["1", "2", "3", "5"]
    assert not (tmp_path / "new").exists()


def test_archive_is_extracted_once(flamby_folder: Callable[..., Path], tmp_path: Path) -> None:
    source = flamby_folder(ROWS)
    with tarfile.open(source / ARCHIVE, "w") as archive:
        archive.add(source / IMAGES, IMAGES)
    shutil.rmtree(source / IMAGES)
    root = DATASET.prepare(Request(tmp_path / "new", source, {}, (), 0))
    assert root == tmp_path / "new" / "ham10000_images"
    assert len(checked_index(DATASET, root, "published", 0)) == 8
    (source / ARCHIVE).write_bytes(b"")
    assert DATASET.prepare(Request(tmp_path / "new", source, {}, (), 0)) == root


def test_archive_that_climbs_out_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (tmp_path / "evil.txt").write_text("evil")
    with tarfile.open(source / ARCHIVE, "w") as archive:
        archive.add(tmp_path / "evil.txt", "../climbed.txt")
    with pytest.raises(DataError, match="leads out of its folder"):
        DATASET.prepare(Request(tmp_path / "new", source, {}, (), 0))
    assert not (tmp_path / "climbed.txt").exists()


def test_truncated_archive(flamby_folder: Callable[..., Path], tmp_path: Path) -> None:
    source = flamby_folder(ROWS)
    with tarfile.open(source / ARCHIVE, "w") as archive:
        archive.add(source / IMAGES, IMAGES)
    shutil.rmtree(source / IMAGES)
    (source / ARCHIVE).write_bytes((source / ARCHIVE).read_bytes()[:4000])
    with pytest.raises(DataError, match="cannot be unpacked"):
        DATASET.prepare(Request(tmp_path / "new", source, {}, (), 0))


def test_without_source_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"federations\.fed_ham10000\.source.*ham10000_images\.tar"):
        DATASET.prepare(Request(tmp_path, None, {}, (), 0))


def test_real_images(shared: Path, tmp_path: Path) -> None:
    root = DATASET.prepare(Request(tmp_path / "ham", shared, {}, (), 0))
    table = checked_index(DATASET, root, "published", 0)
    assert table.groupby(["client", "split"]).size().to_dict() == {
        ("1", "train"): 3163,
        ("1", "test"): 791,
        ("2", "train"): 2691,
        ("2", "test"): 672,
        ("3", "train"): 1807,
        ("3", "test"): 452,
        ("5", "train"): 351,
        ("5", "test"): 88,
    }

    def leak(protocol: str, client: str) -> float:
        rows = checked_index(DATASET, root, protocol, 0).query("client == @client")
        known = set(rows.loc[rows["split"] == "train", "group"])
        return float(rows.loc[rows["split"] == "test", "group"].isin(known).mean())

    assert leak("flamby", "2") == pytest.approx(0.72, abs=0.01)
    assert leak("flamby", "3") == pytest.approx(0.49, abs=0.01)
    assert all(leak("lesion_disjoint", client) == 0 for client in "1235")
    disjoint = checked_index(DATASET, root, "lesion_disjoint", 0)
    counts = disjoint.groupby(["client", "label", "split"]).size().unstack()
    assert (counts["test"] / counts.sum(axis=1))[counts.sum(axis=1) > 40].between(0.17, 0.23).all()
    assert counts["test"].notna().all()
