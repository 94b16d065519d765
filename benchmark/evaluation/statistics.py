"""The statistics of one comparison as they stand in its folder, read once: intervals, comparisons, tests, stability.

`intervals.parquet`, `comparisons.csv` and `significance.json` are written by `benchmark.evaluation.uncertainty`,
`stability.csv` by `benchmark.evaluation.stability`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from benchmark.files import read_json

ALL = "all"
"""Stands for all federations together, each with the same weight."""
MEAN = "mean"
"""Stands for all clients of a federation."""

INTERVALS = [
    *("federation", "client", "method", "quantity", "value", "low", "high"),
    *("groups", "fewest", "rarest", "reason"),
]
"""`groups`: of the test set. `fewest`: of them, those of the part (class) that the fewest show, `rarest`."""
FEW_GROUPS = 10
"""A part (class) with fewer groups (lesions, patients, ...) has a ratio (recall) that says little."""
COMPARISONS = [
    *("federation", "client", "quantity", "method", "other"),
    *("difference", "low", "high", "probability_better", "apart"),
]
STABILITY = ["federation", "method", "varied", "setting", "quantity", "rate", "value"]


@dataclass(frozen=True)
class Statistics:
    """The statistics of one configuration.

    Attributes:
        intervals: One row per value, columns `INTERVALS`.
        comparisons: One row per two methods, columns `COMPARISONS`.
        significance: Friedman's test and what follows it.
        stability: One row each: federation, method, varied, setting, quantity, rate, value.
    """

    intervals: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=INTERVALS))
    comparisons: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=COMPARISONS))
    significance: Mapping[str, Any] = field(
        default_factory=lambda: {"computed": False, "reason": "no statistics were given"}
    )
    stability: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=STABILITY))

    def interval(self, method: str, quantity: str, federation: str = ALL, client: str = MEAN) -> tuple[float, float]:
        """The 95 % interval of a quantity of a method, or the places that it may have; NaN where there is none."""
        return self._bounds.get((federation, client, method, quantity), (math.nan, math.nan))

    def of(self, quantity: str, federation: str = ALL, client: str = MEAN) -> pd.DataFrame:
        """All methods' values of a quantity, by method."""
        own = _where(self.intervals, federation=federation, client=client, quantity=quantity)
        return own.set_index("method")

    def without_intervals(self, federation: str) -> dict[str, int]:
        """The clients of a federation that have no intervals, and how many groups their test sets have."""
        rows = self._scores(federation)
        rows = rows[rows["reason"] != ""]
        return {str(client): int(n) for client, n in zip(rows["client"], rows["groups"], strict=True)}

    def few_groups(self, federation: str) -> dict[str, str]:
        """The other clients of which fewer than `FEW_GROUPS` groups show a part: the rarest part, and how many do."""
        rows = self._scores(federation)
        rows = rows[(rows["fewest"] < FEW_GROUPS) & (rows["reason"] == "")]
        about = zip(rows["client"], rows["rarest"], rows["fewest"], strict=True)
        return {str(client): f"{part} {n}".strip() for client, part, n in about}

    def pairs(self, quantity: str, federation: str = ALL) -> pd.DataFrame:
        """All comparisons of a quantity over a federation's clients, by method and other."""
        own = _where(self.comparisons, federation=federation, client=MEAN, quantity=quantity)
        return own.set_index(["method", "other"])

    def places(self, federation: str = ALL) -> pd.DataFrame:
        """Shares of draws of all scores: a row per ranked method, a column per place."""
        rows = _where(self.stability, federation=federation, quantity="place")
        return rows.astype({"setting": int}).pivot(index="method", columns="setting", values="value")

    def rates_by(self, varied: str, federation: str, method: str) -> dict[str, str]:
        """The rate that each window of `rounds`, or each of the `seeds`, would choose."""
        rows = _where(self.stability, federation=federation, method=method, varied=varied, quantity="rate")
        return dict(zip(rows["setting"], rows["rate"], strict=True))

    def agreement(self, federation: str, method: str, rate: str) -> float:
        """The share of resampled sets of clients that would choose a rate."""
        rows = _where(self.stability, federation=federation, method=method, varied="clients", rate=rate)
        return float(rows["value"].sum())

    def by_draw(self, name: str) -> pd.DataFrame:
        """Average ranks on every draw alone of those that share a name: a row per ranked method, a column per draw."""
        rows = _where(self.stability, federation=name, varied="draws")
        draws = list(dict.fromkeys(rows["setting"]))
        return rows.pivot(index="method", columns="setting", values="value")[draws]

    def _scores(self, federation: str) -> pd.DataFrame:
        """One method's scores, whose columns about test sets are those of all."""
        return _where(self.intervals, federation=federation, quantity="score").drop_duplicates("client")

    @cached_property
    def _bounds(self) -> dict[tuple[str, str, str, str], tuple[float, float]]:
        table = self.intervals
        keys = zip(table["federation"], table["client"], table["method"], table["quantity"], strict=True)
        return dict(zip(keys, zip(table["low"], table["high"], strict=True), strict=True))


def read(folder: Path) -> Statistics:
    """The statistics that stand in the folder of a comparison."""
    return Statistics(
        intervals=pd.read_parquet(folder / "intervals.parquet"),
        comparisons=pd.read_csv(folder / "comparisons.csv", dtype={"client": str}),
        significance=read_json(folder / "significance.json"),
        stability=pd.read_csv(folder / "stability.csv", dtype={"setting": str, "rate": str}),
    )


def _where(table: pd.DataFrame, **values: str) -> pd.DataFrame:
    """The rows of a table that have these values in these columns."""
    for column, value in values.items():
        table = table[table[column] == value]
    return table
