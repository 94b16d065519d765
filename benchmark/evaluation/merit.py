"""What is better: one place for the direction of a score, for ties, and for models that diverged."""

from typing import Any

import numpy as np
import numpy.typing as npt

DIGITS = 12
"""Numbers equal to this many decimals are ties: the same terms added in another order differ by rounding alone."""


def merit(values: npt.ArrayLike, *, higher_is_better: npt.ArrayLike) -> npt.NDArray[Any]:
    """Numbers that are larger where something is better, and equal where it is a tie.

    Args:
        values: Scores or ranks of any shape; NaN where a model diverged.
        higher_is_better: Direction, one for all or one for each value.

    Returns:
        The same shape; what diverged is the worst.
    """
    numbers = np.asarray(values, dtype=np.float64).round(DIGITS)
    return np.where(np.isnan(numbers), -np.inf, np.where(higher_is_better, numbers, -numbers))
