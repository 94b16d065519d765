"""Whether a publication is whole and unchanged, and its leaderboard follows from its per-client table."""

import argparse
import tempfile
from pathlib import Path, PurePosixPath
from typing import Any

from benchmark import archive
from benchmark.files import sha256
from benchmark.publishing import sums, verification


def add(commands: "argparse._SubParsersAction[Any]") -> None:
    """Add the command."""
    parser = commands.add_parser("verify", help="check a publication", description=__doc__)
    parser.add_argument("path", type=Path, help="its folder, or its archive")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Check the publication.

    Args:
        arguments: The command's.

    Returns:
        0.

    Raises:
        ValueError: It is not whole, was changed, or contradicts itself: a line for each fault.
    """
    path: Path = arguments.path
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
