"""One holder at a time; a holder that dies lets go."""

import errno
import fcntl
import os
import signal
from pathlib import Path

import pytest

from benchmark.lock import held, is_held


def test_a_lock_is_held_for_its_block_alone(tmp_path: Path) -> None:
    path = tmp_path / "deep/lock"
    assert not is_held(path)
    with held(path, "a test"):
        assert is_held(path)
        assert path.read_text() == f"process {os.getpid()} on {os.uname().nodename}\n"
    assert not is_held(path)


def test_a_killed_holder_lets_go_and_who_waited_was_told(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "lock"
    ready, write = os.pipe()
    holder = os.fork()
    if not holder:
        with held(path, "a test"):
            os.write(write, b"1")
            signal.pause()
    os.read(ready, 1)
    killer = os.fork()
    if not killer:
        signal.sigtimedwait([], 0.3)
        os.kill(holder, signal.SIGKILL)
        os._exit(0)
    with held(path, "the folder"):
        assert f"waiting for the folder: process {holder} on" in capfd.readouterr().err
    for child in (holder, killer):
        os.waitpid(child, 0)


def test_a_file_system_without_locks_is_worked_on_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with held(tmp_path / "lock", "a test"):
        assert "this file system has no locks" in capfd.readouterr().err
        assert not is_held(tmp_path / "lock")
