"""Files that are either whole or absent: atomic writes, hashes, JSON."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_TEMPORARY = ".partial-"
"""In the names of files that are being written."""


@contextmanager
def atomic(path: Path, durable: bool = True) -> Iterator[Path]:
    """A temporary path beside `path` that takes its name once the block ends without an error.

    Missing parent folders are made. A `durable` file is flushed to disk before it is renamed, so that even a power loss
    leaves the old file or the new one, never a part of either: files whose hash is checked when they are read can go
    without. An OSError names the file that cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}{_TEMPORARY}", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        if durable:
            with temporary.open("rb") as written:
                os.fsync(written.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        if error.errno is None or error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error  # A full disk does not say whose file it was.
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replaced(folder: Path, *patterns: str, new: str = ".new") -> Iterator[Path]:
    """A folder `new` in `folder`, whose content moves to `folder` once the block ends without an error.

    What in it matches one of the patterns, or stands in it where none is given, takes the place of what has the same
    name, whole: a file, or a folder with all it holds.
    """
    written = folder / new
    shutil.rmtree(written, ignore_errors=True)
    written.mkdir(parents=True)
    try:
        yield written
        for path in sorted({path for pattern in patterns or ("*",) for path in written.glob(pattern)}):
            place = folder / path.relative_to(written)
            place.parent.mkdir(parents=True, exist_ok=True)
            if path.is_dir():
                shutil.rmtree(place, ignore_errors=True)
            path.replace(place)
    finally:
        shutil.rmtree(written, ignore_errors=True)


def sweep(folder: Path) -> None:
    """Remove the temporary files that killed writers left anywhere below a folder that nobody writes to now."""
    for path in folder.rglob(f".*{_TEMPORARY}*"):
        path.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def json_bytes(value: Any) -> bytes:
    """A JSON file's content, keys sorted, so that equal values are equal files."""
    return (json.dumps(value, indent=2, sort_keys=True) + "\n").encode()


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically."""
    write_text(path, json_bytes(value).decode())


def read_json(path: Path) -> Any:
    """A JSON file's value; a ValueError that names the file where it is no JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: not a JSON file ({error}); delete it and run again") from error


def sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def digest(value: Any) -> str:
    """The SHA-256 of a JSON value, in hexadecimal: equal for equal values, whatever the order of their keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
