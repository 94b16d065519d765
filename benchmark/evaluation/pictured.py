"""Which test cases are shown, by rule and not by eye: of a client the worst one and the median."""

from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

from benchmark.evaluation.merit import merit
from benchmark.tasks.task import Floats, Task


class Case(NamedTuple):
    """A test case as one model predicts it: its score, NaN where the model diverged, and the sample to be pictured."""

    case: str
    value: float
    sample: str


def scored(about: pd.DataFrame, values: Floats, task: Task) -> list[Case]:
    """Every case of a client, sorted by name.

    Args:
        about: Of n samples at least the columns sample and case.
        values: Their counts, (n, C, F).
        task: What is learned.

    Returns:
        The cases.
    """
    found = []
    for case, own in about.groupby("case").indices.items():
        sample = about["sample"].iloc[own[task.pictured(values[own])]]
        found.append(Case(str(case), float(task.score(values[own].sum(0, keepdims=True))), str(sample)))
    return found


def chosen(cases: Sequence[Case], task: Task) -> dict[str, Case]:
    """Those that are shown, by their place, `median` and `worst`; a client's single case is its worst one."""
    merits = merit([one.value for one in cases], higher_is_better=task.higher_is_better)
    order = sorted(range(len(cases)), key=lambda number: (merits[number], cases[number].case))
    return {place: cases[order[number]] for number, place in {len(cases) // 2: "median", 0: "worst"}.items()}
