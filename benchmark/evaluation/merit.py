"""What is better: one place for the direction of a score, for ties, and for models that diverged."""

from typing import Any

import numpy as np
import numpy.typing as npt

DIGITS = 12
"""Numbers equal to this many decimals are ties: the same terms added in another order differ by rounding alone."""


def merit(values: npt.ArrayLike, *, higher_is_better: npt.ArrayLike) -> npt.NDArray[Any]:
    """Numbers that are larger where something is better, and equal where it is a tie; what diverged (NaN) is the worst.

    Values are scores or ranks of any shape; the direction is one for all, or one for each.
    """
    numbers = np.asarray(values, dtype=np.float64).round(DIGITS)
    return np.where(np.isnan(numbers), -np.inf, np.where(higher_is_better, numbers, -numbers))
