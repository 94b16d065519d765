"""What was tested: how large every client's test set is, and what a method takes for what in it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmark.evaluation import counts
from benchmark.reporting.inputs import Results
from benchmark.tasks.task import Floats


@dataclass(frozen=True)
class ClientTest:
    """A client's test set.

    Attributes:
        samples: Number of its samples.
        groups: Number of its groups: of lesions, say.
        support: How many groups show each part of the score, (C,); None where the score has no parts.
    """

    samples: int
    groups: int
    support: npt.NDArray[np.int64] | None


ClientTests = dict[str, dict[str, ClientTest]]
"""By federation and client."""


def client_tests(results: Results) -> ClientTests:
    """The test set of every client.

    Args:
        results: The results.

    Returns:
        By federation and client, and by the name that draws share; without clients where nothing was tested. All models
        of a client were tested on the same samples.
    """
    found: ClientTests = {federation: {} for federation in (*results.federations, *results.drawn)}
    for federation, own in found.items():
        task = results.task(federation)
        tested = [paths for method in results.order for paths in _files(results, federation, method)]
        for paths in tested[:1]:
            for client, about, values in counts.of_clients(paths, task):
                grouped = counts.added(about["group"], values)
                own[client] = ClientTest(about["sample"].nunique(), len(grouped), task.support(grouped))
    return found


def confusions(results: Results, federation: str, method: str) -> dict[str, Floats]:
    """What a method takes each class for, on every client that was tested.

    Args:
        results: The results.
        federation: The federation.
        method: The method.

    Returns:
        By client, samples of each class (row) by the class that they were taken for (column), (C, C), over all seeds;
        empty where the task has no confusions.
    """
    task = results.task(federation)
    found: dict[str, Floats] = {}
    for paths in _files(results, federation, method):
        for client, _, values in counts.of_clients(paths, task):
            if (matrix := task.confusion(values)) is not None:
                found[client] = found.get(client, 0.0) + matrix
    return found


def _files(results: Results, federation: str, method: str) -> list[list[Path]]:
    """The counts of a row's tests for each seed that was tested: a file, or one of every draw."""
    draws = results.comparison.draws(federation)
    seeds = sorted({run["seed"] for draw in draws for run in results.runs_of(draw, method)})
    found = [results.comparison.tests(federation, method, seed, counts.FILE) for seed in seeds]
    return [paths for paths in found if all(path.is_file() for path in paths)]
