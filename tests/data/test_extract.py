"""Archives: unpacked as a whole, and never outside of their folder."""

import io
import shutil
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmark.data.dataset import DataError
from benchmark.data.extract import extract

FILES = {"metadata.csv": b"a,b\n", "patches/p1/one.png": b"1" * 1000, "patches/p2/two.png": b"2" * 1000}


def as_tar(path: Path, files: dict[str, bytes] = FILES, mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def as_zip(path: Path, files: dict[str, bytes] = FILES) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize("write", [as_tar, as_zip])
def test_every_file_arrives(tmp_path: Path, write: Callable[[Path], Path]) -> None:
    folder = tmp_path / "data" / "out"
    folder.parent.mkdir()
    extract(write(tmp_path / "archive"), folder)
    assert {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()} == FILES
    assert [path.name for path in folder.parent.iterdir()] == ["out"]
    with pytest.raises(DataError, match="exists already"):
        extract(tmp_path / "archive", folder)


@pytest.mark.parametrize("write", [as_tar, as_zip])
@pytest.mark.parametrize("name", ["../out.txt", "/tmp/out-of-the-folder.txt", "patches/../../out.txt"])
def test_no_file_escapes(tmp_path: Path, write: Callable[..., Path], name: str) -> None:
    (tmp_path / "data").mkdir()
    archive = write(tmp_path / "archive", {**FILES, name: b"escaped"})
    with pytest.raises(DataError, match="leads out of its folder"):
        extract(archive, tmp_path / "data" / "out")
    assert not (tmp_path / "out.txt").exists()
    assert not (tmp_path / "data" / "out").exists()


def test_no_link_escapes(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "archive", "w") as archive:
        link = tarfile.TarInfo("patches")
        link.type, link.linkname = tarfile.SYMTYPE, "../../"
        archive.addfile(link)
    with pytest.raises(DataError, match="leads out of its folder"):
        extract(tmp_path / "archive", tmp_path / "out")
    member = zipfile.ZipInfo("patches")
    member.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "zip", "w") as zipped:
        zipped.writestr(member, "../../")
    with pytest.raises(DataError, match="leads out of its folder"):
        extract(tmp_path / "zip", tmp_path / "out")


@pytest.mark.parametrize("write", [as_tar, as_zip])
def test_damaged_archive_leaves_nothing(tmp_path: Path, write: Callable[[Path], Path]) -> None:
    whole = write(tmp_path / "archive").read_bytes()
    for length in (0, 10, len(whole) // 2, len(whole) - 20):
        (tmp_path / "archive").write_bytes(whole[:length])
        with pytest.raises(DataError, match=r"cannot be unpacked .*delete it and run again"):
            extract(tmp_path / "archive", tmp_path / "out")
        assert [path.name for path in tmp_path.iterdir()] == ["archive"]


def test_what_an_interrupted_run_left_is_swept_away(tmp_path: Path) -> None:
    (tmp_path / ".out.unfinished" / "patches").mkdir(parents=True)
    (tmp_path / ".out.unfinished" / "patches" / "half.png").write_bytes(b"half")
    extract(as_tar(tmp_path / "archive"), tmp_path / "out")
    assert not (tmp_path / "out" / "patches" / "half.png").exists()


def test_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage("/")._replace(free=10)
    monkeypatch.setattr("benchmark.disk.shutil.disk_usage", lambda _: usage)
    with pytest.raises(DataError, match=r"unpacking archive needs .* free"):
        extract(as_tar(tmp_path / "archive"), tmp_path / "out")
    assert not (tmp_path / "out").exists()
