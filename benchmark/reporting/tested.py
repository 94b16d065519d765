"""What a row's tests say beside its scores: what was taken for what, and how many units show each part."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmark.evaluation import counts
from benchmark.reporting.inputs import Results
from benchmark.tasks.task import Floats


def confusions(results: Results, federation: str, method: str) -> dict[str, Floats]:
    """What a method takes each class for, on every client that was tested.

    Args:
        results: The results.
        federation: The federation.
        method: The method.

    Returns:
        By client, samples of each class (row) by the class that they were taken for (column), (C, C), over all seeds;
        none where the task has no confusions.
    """
    task = results.task(federation)
    found: dict[str, Floats] = {}
    for path in _files(results, federation, method):
        for client, _, values in counts.of_clients(path, task):
            if (matrix := task.confusion(values)) is not None:
                found[client] = found.get(client, 0.0) + matrix
    return found


def support(results: Results, federation: str) -> dict[str, npt.NDArray[np.int64]]:
    """How many groups of every client's test set show each part: lesions of each class, say.

    Args:
        results: The results.
        federation: The federation.

    Returns:
        By client, (C,), from the first test that there is: all models were tested on the same samples. No client where
        the score has no parts.
    """
    task = results.task(federation)
    tested = [path for method in results.order for path in _files(results, federation, method)]
    found = {}
    for path in tested[:1]:
        for client, about, values in counts.of_clients(path, task):
            if (shown := task.support(counts.added(about["group"], values))) is not None:
                found[client] = shown
    return found


def _files(results: Results, federation: str, method: str) -> list[Path]:
    """The counts of a row's tests, one file for each seed that was tested."""
    seeds = sorted({run["seed"] for run in results.runs_of(federation, method)})
    paths = (Path(results.comparison.places.test(federation, method, seed, counts.FILE)) for seed in seeds)
    return [path for path in paths if path.is_file()]
