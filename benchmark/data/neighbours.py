"""The slices beside a slice: numbers of rows, by which networks are shown several slices and none is copied."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from benchmark.data.dataset import DataError


def neighbours(table: pd.DataFrame, offsets: Sequence[int]) -> npt.NDArray[np.int64]:
    """Of every slice the slices at these distances; beyond an end of its case, the one at that end.

    Args:
        table: N rows of a pack's table: `case`, and `position`, the number of the slice in its case.
        offsets: O distances, in slices: 0 is the slice itself, -1 the one before it.

    Returns:
        Numbers of rows, (N, O).

    Raises:
        DataError: The images are no slices of cases, or a case lacks one between others: those beside the gap are no
            neighbours.
    """
    if "position" not in table:
        raise DataError(
            "the index has no `position`, so that no image has others beside it: leave `context` and `stack` out"
        )
    case, position = pd.factorize(table["case"])[0], table["position"].to_numpy()
    order = np.lexsort((position, case))
    torn = (np.diff(case[order]) == 0) & (np.diff(position[order]) != 1)
    if torn.any():
        row = table.iloc[order[int(np.flatnonzero(torn)[0])]]
        raise DataError(f"case {row['case']}: not one slice follows position {row['position']}; pack the volume whole")
    counts = np.bincount(case)
    last = np.cumsum(counts)[case][:, None] - 1
    place = np.empty(len(table), dtype=np.int64)
    place[order] = np.arange(len(table))
    beside = np.clip(place[:, None] + np.array(offsets, dtype=np.int64), last - counts[case][:, None] + 1, last)
    found: npt.NDArray[np.int64] = order[beside]
    return found
