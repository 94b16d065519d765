"""Reading packed data: memory-mapped, training apart from test, and checked."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmark.data.dataset import DataError
from benchmark.data.packed import open_test, open_training


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three training images; there are no test files."""
    np.save(tmp_path / "train.npy", np.arange(3 * 12, dtype=np.uint8).reshape(3, 2, 2, 3))
    np.save(tmp_path / "train.targets.npy", np.array([0, 1, 0]))
    pd.DataFrame({"sample": list("abc"), "label": [0, 1, 0]}).to_parquet(tmp_path / "train.parquet")
    return tmp_path


def test_training_opens_without_any_test_file(folder: Path) -> None:
    split = open_training(folder)
    assert isinstance(split.images, np.memmap)
    assert not split.images.flags.writeable
    assert split.images[1, 0, 0].tolist() == [12, 13, 14]
    assert isinstance(split.targets, np.memmap)
    assert not split.targets.flags.writeable
    assert split.targets.tolist() == [0, 1, 0]
    assert split.table["sample"].tolist() == ["a", "b", "c"]
    with pytest.raises(DataError, match=r"test\.npy, test\.targets\.npy or test\.parquet cannot be read"):
        open_test(folder)


def test_images_targets_and_rows_must_agree(folder: Path) -> None:
    np.save(folder / "train.targets.npy", np.array([0, 1]))
    with pytest.raises(DataError, match=r"3 images, but train\.targets\.npy has 2 and train\.parquet 3 rows"):
        open_training(folder)
    pd.DataFrame({"sample": ["a"]}).to_parquet(folder / "train.parquet")
    with pytest.raises(DataError, match=r"3 images, but train\.targets\.npy has 2 and train\.parquet 1 rows"):
        open_training(folder)


def test_a_sample_is_a_case_where_none_is_given(folder: Path) -> None:
    assert open_training(folder).table["case"].tolist() == ["a", "b", "c"]
    table = pd.read_parquet(folder / "train.parquet").assign(case=["x", "x", "y"])
    table.to_parquet(folder / "train.parquet")
    assert open_training(folder).table["case"].tolist() == ["x", "x", "y"]


def test_truncated_array(folder: Path) -> None:
    (folder / "train.npy").write_bytes((folder / "train.npy").read_bytes()[:-5])
    with pytest.raises(DataError, match=r"train\.npy, .*cannot be read"):
        open_training(folder)


def test_array_of_another_kind(folder: Path) -> None:
    np.save(folder / "train.npy", np.zeros((3, 2, 2)))
    with pytest.raises(DataError, match=r"float64 \(3, 2, 2\), expected uint8 \(N, S, S, channels\)"):
        open_training(folder)
