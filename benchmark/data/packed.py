"""Packed data: images of one size in one array on disk, beside a table that says whose they are."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from benchmark.data.dataset import DataError


@dataclass(frozen=True)
class Split:
    """Images and their table, row by row.

    Attributes:
        images: (N, S, S, 3) uint8, memory-mapped and read-only.
        table: N rows: `sample`, `client`, `label`, `group`, `split`.
    """

    images: npt.NDArray[np.uint8]
    table: pd.DataFrame


def open_training(folder: Path) -> Split:
    """Training and validation images of a packed dataset. The files of the test split are not touched.

    Args:
        folder: What `benchmark.data.pack` wrote.

    Returns:
        Images and table; `split` is "train" or "validation".
    """
    return _open(folder, "train")


def open_test(folder: Path) -> Split:
    """Test images of a packed dataset: for what follows the choice of a rate, and nothing before it.

    Args:
        folder: What `benchmark.data.pack` wrote.

    Returns:
        Images and table; `split` is "test".
    """
    return _open(folder, "test")


def _open(folder: Path, name: str) -> Split:
    """One split; a DataError where a file is absent, unreadable or does not fit the other."""
    images, table = folder / f"{name}.npy", folder / f"{name}.parquet"
    try:
        split = Split(np.load(images, mmap_mode="r"), pd.read_parquet(table))
    except (OSError, EOFError, ValueError) as error:
        raise DataError(f"{folder}: {name}.npy or {name}.parquet cannot be read ({error}); pack it again") from None
    if split.images.dtype != np.uint8 or split.images.ndim != 4 or split.images.shape[-1] != 3:
        raise DataError(
            f"{images}: {split.images.dtype} {split.images.shape}, expected uint8 (N, S, S, 3); pack it again"
        )
    if len(split.images) != len(split.table):
        raise DataError(
            f"{images}: {len(split.images)} images, but {table.name} has {len(split.table)} rows; pack again"
        )
    return split
