"""Locks on files: the kernel releases them when their holder ends, however it ends.

A lock file says who holds it, or held it last. It is never removed: a removed file could be locked twice.
"""

import errno
import fcntl
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_UNSUPPORTED = {errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS}
"""What file systems without locks answer: some network and parallel ones."""


@contextmanager
def held(path: Path, purpose: str) -> Iterator[None]:
    """Hold a lock for as long as the block runs, and wait for it first.

    What is waited for, the `purpose`, is said on stderr. The lock's file and its folders are made where they are
    absent.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        _lock(handle, path, purpose)
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)
        yield
    finally:
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_UN)  # A child that was forked meanwhile would keep it.
        os.close(handle)


def taken(handle: int, kind: int = fcntl.LOCK_EX) -> bool:
    """Take a lock on an open file if nobody stands against it, without waiting; returns whether it is held now.

    `LOCK_EX` is for alone, `LOCK_SH` for together with others. An OSError says that the file system has no locks.
    """
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_held(path: Path, shared: bool = False) -> bool:
    """Whether some process holds a lock now, or shares it with others; False where there is no such file."""
    try:
        handle = os.open(path, os.O_RDWR if shared else os.O_RDONLY)
    except OSError:
        return False
    try:
        return not taken(handle, fcntl.LOCK_EX if shared else fcntl.LOCK_SH)
    except OSError:
        return False
    finally:
        os.close(handle)


def _lock(handle: int, path: Path, purpose: str) -> None:
    try:
        if not taken(handle):
            holder = os.pread(handle, 200, 0).decode(errors="replace").strip() or "another process"
            print(f"waiting for {purpose}: {holder} is at it; goes on when that ends", file=sys.stderr, flush=True)
            fcntl.flock(handle, fcntl.LOCK_EX)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
        # Without locks two jobs may do the same work; each still writes whole files.
        print(f"{path}: this file system has no locks ({error}); goes on without", file=sys.stderr, flush=True)
