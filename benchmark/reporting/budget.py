"""What every method was allowed to try before it was tested: a fair comparison gives all the same."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmark.reporting.inputs import Results


@dataclass(frozen=True)
class Budget:
    """The runs of one method on one dataset.

    Attributes:
        rates: Learning rates that were tried.
        seeds: Seeds of each rate.
        rounds: Rounds of each run.
    """

    rates: int
    seeds: int
    rounds: int

    def __str__(self) -> str:
        """As people read it: `15 runs of 50 rounds (5 rates, 3 seeds)`."""
        return (
            f"{_counted(self.rates * self.seeds, 'run')} of {_counted(self.rounds, 'round')}"
            f" ({_counted(self.rates, 'rate')}, {_counted(self.seeds, 'seed')})"
        )


def budgets(results: Results) -> dict[tuple[str, str], Budget]:
    """The budget of every method, by dataset and method.

    Args:
        results: The results.

    Returns:
        The budgets, in the order of the runs. The longest run of a method counts.
    """
    runs: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for run in results.runs:
        runs.setdefault((run["federation"], run["method"]["name"]), []).append(run)
    return {key: _budget(own) for key, own in runs.items()}


def _budget(runs: Sequence[Mapping[str, Any]]) -> Budget:
    """The budget of one method on one dataset."""
    rates, seeds = {run["rate"] for run in runs}, {run["seed"] for run in runs}
    return Budget(len(rates), len(seeds), max(run["rounds"] for run in runs))


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("s" if number != 1 else "")
