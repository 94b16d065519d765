"""Locks of a killed Snakemake go, those of a living one stay."""

import os
import signal
from pathlib import Path

from benchmark.stale import alive, unlock


def child_that_lives(folder: Path) -> int:
    """A process that counts itself among the living and stays; returns its id."""
    ready, write = os.pipe()
    child = os.fork()
    if not child:
        unlock(folder)
        os.write(write, b"1")
        signal.pause()
    os.read(ready, 1)
    return child


def test_locks_stay_while_any_snakemake_lives_and_go_with_the_last(tmp_path: Path) -> None:
    """Two live; the first is killed, the second still holds its locks; it is killed too."""
    folder, lock = tmp_path / ".snakemake", tmp_path / ".snakemake/locks/0.output.lock"
    first = child_that_lives(folder)
    second = child_that_lives(folder)
    lock.parent.mkdir()
    lock.write_text("results/a\n")
    for child in (first, second):
        assert alive(folder)
        newcomer = os.fork()
        if not newcomer:
            os._exit(unlock(folder))
        assert os.waitstatus_to_exitcode(os.waitpid(newcomer, 0)[1]) == 0
        assert lock.is_file()
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert not alive(folder)
    newcomer = os.fork()
    if not newcomer:
        os._exit(unlock(folder))
    assert os.waitstatus_to_exitcode(os.waitpid(newcomer, 0)[1]) == 1
    assert not lock.exists()


def test_a_folder_without_snakemake_has_none_alive(tmp_path: Path) -> None:
    assert not alive(tmp_path / ".snakemake")
