"""Whether a publication is sound."""

import tempfile
from pathlib import Path, PurePosixPath

from benchmark import archive
from benchmark.files import sha256
from benchmark.job import GivenPath
from benchmark.publishing import sums, verification


def verify(path: GivenPath) -> int:
    """Whether a publication is whole and unchanged, and its leaderboard follows from its per-client table.

    Args:
        path: Its folder, or its archive.
    """
    if path.is_dir():
        _checked(path, path)
        return 0
    with tempfile.TemporaryDirectory() as name:
        for file, held in archive.read(path).items():
            if PurePosixPath(file).is_absolute() or ".." in PurePosixPath(file).parts or "\\" in file:
                raise ValueError(f"{path}: holds a file named {file!r}, which would be written elsewhere")
            (Path(name) / file).parent.mkdir(parents=True, exist_ok=True)
            (Path(name) / file).write_bytes(held)
        _checked(Path(name), path)
    return 0


def _checked(folder: Path, path: Path) -> None:
    if faults := verification.faults(folder):
        raise ValueError("\n".join(f"{path}: {fault}" for fault in faults))
    print(
        f"{path}: whole, unchanged, and its leaderboard follows from its clients; "
        f"the hash of {sums.NAME} is {sha256(folder / sums.NAME)}"
    )
