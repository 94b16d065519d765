"""The statistics of one configuration as they stand on disk, read once: intervals, comparisons, tests, stability.

Jobs that show statistics take `--statistics FILE [FILE ...]` in any order: `intervals.parquet`, `comparisons.csv` and
`significance.json` of `benchmark.evaluation.uncertainty`, `stability.csv` of `benchmark.evaluation.stability`. What is
not given is empty.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from benchmark.files import read_json

ALL = "all"
"""Stands for all datasets together, each with the same weight."""
MEAN = "mean"
"""Stands for all clients of a dataset."""

INTERVALS = ["dataset", "client", "method", "quantity", "value", "low", "high", "groups"]
FEW_GROUPS = 10
"""A client with fewer groups (lesions, patients) in its test set has an interval that is too narrow."""
COMPARISONS = ["dataset", "client", "quantity", "method", "other", "probability_better", "difference", "low", "high"]
STABILITY = ["dataset", "method", "varied", "setting", "quantity", "rate", "value"]


@dataclass(frozen=True)
class Statistics:
    """The statistics of one configuration.

    Attributes:
        intervals: One row per value: dataset, client, method, quantity, value, low, high, groups.
        comparisons: One row per two methods: dataset, client, quantity, method, other, probability_better, difference,
            low, high.
        significance: Friedman's test and what follows it.
        stability: One row each: dataset, method, varied, setting, quantity, rate, value.
    """

    intervals: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=INTERVALS))
    comparisons: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=COMPARISONS))
    significance: Mapping[str, Any] = field(
        default_factory=lambda: {"computed": False, "reason": "no statistics were given"}
    )
    stability: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=STABILITY))

    def interval(self, method: str, quantity: str, dataset: str = ALL, client: str = MEAN) -> tuple[float, float]:
        """The 95 % interval of a `mean`, an `average_rank` or, on one client, a `score`; NaN where there is none."""
        return self._bounds.get((dataset, client, method, quantity), (math.nan, math.nan))

    def few_groups(self, dataset: str) -> dict[str, int]:
        """The clients of a dataset with fewer than `FEW_GROUPS` groups in their test sets, and how many they have."""
        table = self.intervals
        rows = table[(table["dataset"] == dataset) & (table["quantity"] == "score") & (table["groups"] < FEW_GROUPS)]
        return {str(client): int(n) for client, n in zip(rows["client"], rows["groups"], strict=True)}

    def places(self, dataset: str = ALL) -> pd.DataFrame:
        """Shares of resampled test sets: a row per ranked method, a column per place."""
        table = self.stability
        rows = table[(table["dataset"] == dataset) & (table["quantity"] == "place")]
        return rows.astype({"setting": int}).pivot(index="method", columns="setting", values="value")

    def rates_by(self, varied: str, dataset: str, method: str) -> dict[str, str]:
        """The rate that each window of `rounds`, or each of the `seeds`, would choose."""
        table = self.stability
        own = (table["dataset"] == dataset) & (table["method"] == method)
        rows = table[own & (table["varied"] == varied) & (table["quantity"] == "rate")]
        return dict(zip(rows["setting"], rows["rate"], strict=True))

    def agreement(self, dataset: str, method: str, rate: str) -> float:
        """The share of resampled sets of clients that would choose a rate."""
        table = self.stability
        own = (table["dataset"] == dataset) & (table["method"] == method) & (table["varied"] == "clients")
        return float(table.loc[own & (table["rate"] == rate), "value"].sum())

    @cached_property
    def _bounds(self) -> dict[tuple[str, str, str, str], tuple[float, float]]:
        table = self.intervals
        keys = zip(table["dataset"], table["client"], table["method"], table["quantity"], strict=True)
        return dict(zip(keys, zip(table["low"], table["high"], strict=True), strict=True))


def read(paths: Iterable[Path]) -> Statistics:
    """Read statistics.

    Args:
        paths: The files, by their names.

    Returns:
        The statistics.

    Raises:
        ValueError: A file has another name than those that are known.
    """
    readers: dict[str, Callable[[Path], Any]] = {
        "intervals.parquet": pd.read_parquet,
        "comparisons.csv": lambda path: pd.read_csv(path, dtype={"client": str}),
        "significance.json": read_json,
        "stability.csv": lambda path: pd.read_csv(path, dtype={"setting": str, "rate": str}),
    }
    found: dict[str, Any] = {}
    for path in paths:
        if path.name not in readers:
            raise ValueError(f"{path}: unknown statistics; give files named {', '.join(readers)}")
        found[path.stem] = readers[path.name](path)
    return Statistics(**found)
