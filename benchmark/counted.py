"""What predictions of samples are worth, as a table: what `counts.parquet` and `validation_counts.parquet` hold.

It has a row per sample and class: sample, client, group, case, class (its place in what the task counts; a task without
classes has one), and one column for each name in the task's `counted`.
"""

import numpy as np
import numpy.typing as npt
import pandas as pd

from benchmark.tasks.task import Floats

ABOUT = ["sample", "client", "group", "case"]
"""What is known of a sample, whoever predicts it."""

_SMALL = (np.uint8, np.uint16, np.uint32, np.float32)


def frame(about: pd.DataFrame, counts: Floats, counted: tuple[str, ...]) -> pd.DataFrame:
    """The rows of a table of counts: of n samples, known by the columns `ABOUT`, n C rows.

    Counts are (n, C, F); `counted` names the F numbers. The columns are `ABOUT`, class, and `counted`, each of the
    smallest type that holds it exactly.
    """
    n, classes, _ = counts.shape
    table = about[ABOUT].loc[about.index.repeat(classes)].reset_index(drop=True)
    table["class"] = np.tile(np.arange(classes, dtype=np.uint16), n)
    for place, name in enumerate(counted):
        table[name] = _small(counts[..., place].reshape(-1))
    return table


def _small(values: Floats) -> npt.NDArray[np.generic]:
    """The same numbers in the smallest type that holds them exactly."""
    whole = np.isfinite(values).all()
    for kind in _SMALL if whole else _SMALL[-1:]:
        with np.errstate(all="ignore"):
            small = values.astype(kind)
        if np.array_equal(small.astype(np.float64), values, equal_nan=True):
            return small
    return values
