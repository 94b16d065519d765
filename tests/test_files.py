"""Files that are whole or absent, whatever happens while they are written."""

import errno
import os
import signal
from pathlib import Path

import pytest

from benchmark.files import atomic, replaced, sweep, write_json, write_text


def test_a_full_disk_names_the_file_and_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    write_text(path, "old")
    with pytest.raises(OSError, match=r"No space left on device.*run\.json") as caught, atomic(path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert caught.value.errno == errno.ENOSPC
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_killed_writer_leaves_the_old_file_and_what_can_be_swept(tmp_path: Path) -> None:
    path = tmp_path / "deep/run.json"
    write_text(path, "old")
    child = os.fork()
    if not child:
        with atomic(path) as temporary:
            temporary.write_text("new")
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert path.read_text() == "old"
    assert len(list(path.parent.iterdir())) == 2
    sweep(tmp_path)
    assert list(path.parent.iterdir()) == [path]


def held(folder: Path) -> dict[str, str]:
    """What every file below a folder holds."""
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


def _half_way(folder: Path) -> None:
    with replaced(folder, "a/*") as new:
        write_text(new / "a/1/x", "new")
        raise ValueError("half way")


def test_a_folders_files_are_replaced_together_or_not_at_all(tmp_path: Path) -> None:
    """What is not made anew stays; a folder that is takes the old one's place with all that it held."""
    for name in ("a/1/x", "a/1/y", "a/2/x", "z"):
        write_text(tmp_path / name, "old")
    before = held(tmp_path)
    with pytest.raises(ValueError, match="half way"):
        _half_way(tmp_path)
    assert held(tmp_path) == before
    with replaced(tmp_path, "a/*") as new:
        write_text(new / "a/1/x", "new")
        write_text(new / "a/3/x", "new")
        assert before.items() <= held(tmp_path).items()
    assert held(tmp_path) == {"a/1/x": "new", "a/2/x": "old", "a/3/x": "new", "z": "old"}
    with replaced(tmp_path, "a/*", "b/x", new=".of a job") as new:
        assert new.name == ".of a job"
        for name in ("a/2/x", "b/x", "b/y"):
            write_text(new / name, "newer")
    assert held(tmp_path) == {"a/1/x": "new", "a/2/x": "newer", "a/3/x": "new", "b/x": "newer", "z": "old"}


def test_equal_values_are_equal_files(tmp_path: Path) -> None:
    write_json(tmp_path / "a", {"x": 1, "y": 2})
    write_json(tmp_path / "b", {"y": 2, "x": 1})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
