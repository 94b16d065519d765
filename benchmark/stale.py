"""Locks of a Snakemake that was killed: removed when no Snakemake is alive in the folder, kept otherwise.

Snakemake locks a folder with plain files, which stay behind after `kill -9` or a loss of power, so that the next run is
refused until someone types `--unlock`. Every Snakemake of this project therefore also shares a lock that the kernel
releases when its process ends. A process that gets this lock exclusively is the only Snakemake here.
"""

import fcntl
import os
import shutil
import time
from pathlib import Path

from benchmark.lock import is_held, taken

ALIVE = "alive"
"""The lock's file in `.snakemake`."""
_TRIES = 3
"""Attempts at the exclusive lock: `status` briefly takes it too."""


def unlock(folder: Path = Path(".snakemake")) -> bool:
    """Remove locks that no living Snakemake holds, and count this process among the living.

    Returns whether this process is the only Snakemake in the folder.
    """
    alone = False
    try:
        folder.mkdir(exist_ok=True)
        # Never closed: the kernel closes it with the process.
        handle = os.open(folder / ALIVE, os.O_RDWR | os.O_CREAT, 0o644)
        for _ in range(_TRIES):
            alone = taken(handle)
            if alone:
                shutil.rmtree(folder / "locks", ignore_errors=True)
                break
            time.sleep(0.1)
        fcntl.flock(handle, fcntl.LOCK_SH)
    except OSError:  # A file system without locks, or a folder of another user: `--unlock` stays the user's to type.
        return False
    return alone


def alive(folder: Path = Path(".snakemake")) -> bool:
    """Whether a Snakemake is running in the folder."""
    return is_held(folder / ALIVE, shared=True)
