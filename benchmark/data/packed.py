"""Packed data: images of one size in one array on disk, their targets in another, and a table of whose they are."""

from dataclasses import dataclass, replace
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow.parquet as pq

from benchmark.data.dataset import DataError

_ABOUT = ("sample", "client", "group", "case", "position", "split")
"""The columns of a table that say nothing of targets."""


@dataclass(frozen=True)
class Split:
    """Images, targets and their table, row by row.

    Attributes:
        images: (N, S, S, channels) uint8, memory-mapped and read-only.
        targets: (N, ...) as the task's `target` makes them, memory-mapped and read-only.
        table: N rows: `sample`, `client`, `group`, `case`, `split`, `label` where the dataset has labels, and
            `position` where its images are slices of cases.
    """

    images: npt.NDArray[np.uint8]
    targets: npt.NDArray[Any]
    table: pd.DataFrame


def open_training(folder: Path) -> Split:
    """Training and validation images of a packed dataset. The files of the test split are not touched."""
    return _open(folder, "train")


def open_test(folder: Path) -> Split:
    """Test images of a packed dataset: for what follows the choice of a rate, and nothing before it."""
    return _open(folder, "test")


def open_images(folder: Path, name: str) -> tuple[npt.NDArray[np.uint8], pd.DataFrame]:
    """The images of a split, `train` or `test`, without what is to be predicted of them: no file and no column of it.

    Returns:
        As in `Split`: images, and their table, without `label`.

    Raises:
        DataError: A file is absent, unreadable or does not fit the other.
    """
    images, table = folder / f"{name}.npy", folder / f"{name}.parquet"
    try:
        held = [column for column in _ABOUT if column in pq.read_schema(table).names]
        pictures, about = np.load(images, mmap_mode="r"), pd.read_parquet(table, columns=held)
    except (OSError, EOFError, ValueError, SyntaxError, TokenError) as error:
        raise DataError(f"{folder}: {images.name} or {table.name} cannot be read ({error}); pack it again") from None
    if len(pictures) != len(about):
        raise DataError(f"{images}: {len(pictures)} images, but {table.name} has {len(about)} rows; pack again")
    return pictures, about if "case" in about else about.assign(case=about["sample"])


def _open(folder: Path, name: str) -> Split:
    """One split; a DataError where a file is absent, unreadable or does not fit the others."""
    images, targets, table = (folder / f"{name}{end}" for end in (".npy", ".targets.npy", ".parquet"))
    try:
        split = Split(np.load(images, mmap_mode="r"), np.load(targets, mmap_mode="r"), pd.read_parquet(table))
    except (OSError, EOFError, ValueError, SyntaxError, TokenError) as error:  # numpy parses headers as Python.
        raise DataError(
            f"{folder}: {images.name}, {targets.name} or {table.name} cannot be read ({error}); pack it again"
        ) from None
    if split.images.dtype != np.uint8 or split.images.ndim != 4:
        raise DataError(
            f"{images}: {split.images.dtype} {split.images.shape}, expected uint8 (N, S, S, channels); pack it again"
        )
    if not len(split.images) == len(split.targets) == len(split.table):
        raise DataError(
            f"{images}: {len(split.images)} images, but {targets.name} has {len(split.targets)} and {table.name} "
            f"{len(split.table)} rows; pack again"
        )
    if "case" in split.table:
        return split
    return replace(split, table=split.table.assign(case=split.table["sample"]))
