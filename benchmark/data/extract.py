"""Unpacking an archive as a whole, into its own folder and nowhere else."""

import os
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from tqdm import tqdm

from benchmark.data.dataset import DataError
from benchmark.data.disk import no_space, require_space
from benchmark.errors import one_line


def extract(archive: Path, folder: Path) -> None:
    """Unpack a zip archive, or a tar archive that may be compressed; `folder` appears once all of it is there.

    A DataError says that the archive is damaged or names a place outside of the folder, that the folder exists, or that
    the disk is too small.
    """
    if folder.exists():
        raise DataError(f"{folder}: exists already, and {archive.name} would go there; move it away and run again")
    folder.parent.mkdir(parents=True, exist_ok=True)
    require_space(folder.parent, archive.stat().st_size, f"unpacking {archive.name}")
    unfinished = folder.with_name(f".{folder.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    try:
        for _ in tqdm(_members(archive, unfinished), desc=f"unpack {archive.name}", unit="files", mininterval=5):
            pass
    except DataError:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError) as error:
        shutil.rmtree(unfinished, ignore_errors=True)
        if isinstance(error, OSError) and no_space(error):
            raise DataError(f"{folder}: the disk is full ({error}); free some space and run again") from None
        reason = one_line(error, 200)
        raise DataError(f"{archive}: cannot be unpacked ({reason}); delete it and run again") from None
    unfinished.replace(folder)


def _members(archive: Path, folder: Path) -> Iterator[None]:
    """Unpack one member after another."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as zipped:
            require_space(folder, sum(member.file_size for member in zipped.infolist()), f"unpacking {archive.name}")
            for member in zipped.infolist():
                _refuse_escape(archive, member.filename, not stat.S_ISLNK(member.external_attr >> 16))
                zipped.extract(member, folder)
                yield
    else:
        with tarfile.open(archive) as tar:
            for entry in tar:
                # Python's own filter for this is missing in 3.11 before 3.11.4; data needs neither links nor modes.
                _refuse_escape(archive, entry.name, entry.isfile() or entry.isdir())
                tar.extract(entry, folder, set_attrs=False)
                yield


def _refuse_escape(archive: Path, name: str, plain: bool) -> None:
    """Refuse what would be written elsewhere, or is no plain file or folder: an archive of data holds no such thing."""
    path = PurePosixPath(name.replace(os.sep, "/"))
    if path.is_absolute() or ".." in path.parts or not plain:
        raise DataError(f"{archive}: holds {name!r}, which leads out of its folder; do not use this archive")
