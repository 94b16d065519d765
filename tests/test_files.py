"""Files that are whole or absent, whatever happens while they are written."""

import errno
import os
import signal
from pathlib import Path

import pytest

from benchmark.files import atomic, sweep, write_json, write_text


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


def test_equal_values_are_equal_files(tmp_path: Path) -> None:
    write_json(tmp_path / "a", {"x": 1, "y": 2})
    write_json(tmp_path / "b", {"y": 2, "x": 1})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
