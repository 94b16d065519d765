"""Room on the disk, asked for before it is needed."""

import errno
from pathlib import Path

from benchmark.data.dataset import DataError
from benchmark.disk import free, readable


def require_space(folder: Path, needed: int, purpose: str) -> None:
    """Refuse, by a DataError, to begin what the disk of a folder cannot hold; so many bytes are needed.

    The purpose is for the message: `the download of archive.zip`.
    """
    left = free(folder)
    if needed > left:
        raise DataError(
            f"{purpose} needs {readable(needed)}, but only {readable(left)} are free at {folder.resolve()}: "
            "free some, or set `data_root` to a folder on another disk"
        )


def no_space(error: OSError) -> bool:
    """Whether a write failed because the disk, or the user's share of it, is full."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
