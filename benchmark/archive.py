"""Archives that are equal to the byte where their content is: ZIP files without times, owners or chance order."""

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

from benchmark.files import atomic

_TIME = (1980, 1, 1, 0, 0, 0)
"""The earliest that the format knows."""


def write(path: Path, content: Mapping[str, bytes]) -> None:
    """Write an archive atomically, of what each of its files holds, by its name in the archive."""
    with atomic(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for name in sorted(content):
            entry = zipfile.ZipInfo(name, _TIME)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = 3  # Unix, wherever it is written.
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content[name], compresslevel=9)


def read(path: Path, *names: str) -> dict[str, bytes]:
    """What files of an archive hold, by name; all of them where none are named.

    A ValueError says that it is no archive, is damaged, or lacks a file.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return {name: archive.read(name) for name in names or sorted(archive.namelist())}
    except (zipfile.BadZipFile, zlib.error, KeyError, EOFError, RuntimeError) as error:
        raise ValueError(f"{path}: damaged, or made by another version ({error}); restore it or make it anew") from None
