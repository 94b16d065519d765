"""A measured number as a table shows it: a value, or the reason why there is none."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pandas as pd

MISSING = "missing"
DIVERGED = "diverged"


@dataclass(frozen=True)
class Measure:
    """A mean over seeds, or an average rank.

    Attributes:
        mean: The mean; NaN where a model diverged or a cell is missing.
        sd: Standard deviation over seeds (n - 1 below the line); NaN with one seed.
        missing: Whether a cell is missing. Nothing is averaged over the cells that remain.
        low: The low end of its 95 % interval; NaN where there is none.
        high: The high end.
    """

    mean: float
    sd: float = math.nan
    missing: bool = False
    low: float = math.nan
    high: float = math.nan

    def text(self, digits: int = 3) -> str:
        """The number as people read it, `0.726 ± 0.010 (0.700 to 0.751)`, or why there is none."""
        if self.reason:
            return self.reason
        spread = "" if math.isnan(self.sd) else f" ± {self.sd:.{digits}f}"
        interval = "" if math.isnan(self.low) else f" ({self.low:.{digits}f} to {self.high:.{digits}f})"
        return f"{self.mean:.{digits}f}{spread}{interval}"

    def number(self) -> float | str:
        """The mean as a CSV file holds it, with all its digits, or why there is none."""
        return self.reason or self.mean

    def columns(self, name: str, *, suffix: str = "", empty: bool = False) -> dict[str, float | str | None]:
        """Columns of a CSV file: the number, or none where it stays empty, and the ends of its interval."""
        number = None if empty else self.number()
        return {f"{name}{suffix}": number, f"{name}_low{suffix}": self.low, f"{name}_high{suffix}": self.high}

    @property
    def reason(self) -> str:
        """Why there is no number; empty where there is one."""
        return MISSING if self.missing else DIVERGED if math.isnan(self.mean) else ""


def over_seeds(cells: pd.DataFrame) -> Measure:
    """The mean over clients in each seed, then over seeds, and its standard deviation over seeds.

    From the cells of one method on one federation: seed, client, value, missing.
    """
    if cells.empty or cells["missing"].any():
        return Measure(math.nan, missing=True)
    per_seed = cells.pivot(index="seed", columns="client", values="value").mean(axis=1, skipna=False)
    return Measure(float(per_seed.mean(skipna=False)), float(per_seed.std(skipna=False)))


def mean_of(measures: Sequence[Measure]) -> Measure:
    """The mean of several measures, missing where one is."""
    missing = any(measure.missing for measure in measures)
    return Measure(sum(measure.mean for measure in measures) / len(measures), missing=missing)


def rank_of(ranks: "pd.Series[float]", method: str) -> Measure:
    """A method's average rank; missing where a cell is, and for a control."""
    average = float(ranks.get(method, math.nan))
    return Measure(average, missing=math.isnan(average))


def within(measure: Measure, interval: tuple[float, float]) -> Measure:
    """A measure with its interval; a measure that is missing or diverged has none."""
    low, high = (math.nan, math.nan) if measure.reason else interval
    return replace(measure, low=low, high=high)


def counted(number: int, noun: str) -> str:
    """A number of things: `1 run`, `3 runs`."""
    return f"{number} {noun}{'s' if number != 1 else ''}"
