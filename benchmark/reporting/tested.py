"""What was tested: how large every client's test set is, what a method takes for what in it, and how sure it is."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

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
        cases: Number of cases that each have a score of their own; None where samples are scored together.
    """

    samples: int
    groups: int
    support: npt.NDArray[np.int64] | None
    cases: int | None


ClientTests = dict[str, dict[str, ClientTest]]
"""By federation and client."""


def client_tests(results: Results) -> ClientTests:
    """The test set of every client, by federation and client, and by the name that draws share.

    There are no clients where nothing was tested. All models of a client were tested on the same samples.
    """
    found: ClientTests = {federation: {} for federation in (*results.federations, *results.drawn)}
    for federation, own in found.items():
        task = results.task(federation)
        tested = [paths for method in results.order for paths in _files(results, federation, method)]
        for paths in tested[:1]:
            for client, about, values in counts.of_clients(paths, task):
                grouped = counts.added(about["group"], values)
                cases = int(about["case"].nunique()) if task.unit == "case" else None
                own[client] = ClientTest(about["sample"].nunique(), len(grouped), task.support(grouped), cases)
    return found


def confusions(results: Results, federation: str, method: str) -> dict[str, Floats]:
    """What a method takes each class for, by client that was tested, over all seeds; empty where the task has none.

    Samples of each class (row) by the class that they were taken for (column), (C, C).
    """
    task = results.task(federation)
    found: dict[str, Floats] = {}
    for paths in _files(results, federation, method):
        for client, _, values in counts.of_clients(paths, task):
            if (matrix := task.confusion(values)) is not None:
                found[client] = found.get(client, 0.0) + matrix
    return found


def stated(results: Results, federation: str, method: str) -> dict[str, Floats]:
    """How sure a method is of each of its n predictions over all seeds, and whether it is right: by client, (n, 2).

    The largest probability, and 1 where the class that has it is true, 0 where it is not; NaN where a model diverged. A
    ValueError says that the task, which is to be a classification, kept no probabilities.
    """
    task = results.task(federation)
    found: dict[str, list[Floats]] = {}
    for path in (path for paths in _files(results, federation, method) for path in paths):
        kept = pd.read_parquet(path.with_name(counts.KEPT))
        names = [name for name in kept if str(name).startswith("probability_")]
        if not names:
            raise ValueError(
                f"{path.with_name(counts.KEPT)}: no column probability_0, which the figure `reliability` needs; let"
                f" `kept` of the task {task.name} return the probability of every class, and evaluate again"
            )
        confidences = kept.groupby("client")[names]
        for client, _, values in counts.of_clients([path], task):
            confidence = confidences.get_group(client).to_numpy(np.float64).max(1)
            hit = values[..., task.counted.index("hit")].sum(-1)
            found.setdefault(client, []).append(np.stack([confidence, hit], -1))
    return {client: np.concatenate(parts) for client, parts in found.items()}


def _files(results: Results, federation: str, method: str) -> list[list[Path]]:
    """The counts of a row's tests for each seed that was tested: a file, or one of every draw."""
    draws = results.comparison.draws(federation)
    seeds = sorted({run["seed"] for draw in draws for run in results.runs_of(draw, method)})
    found = [results.comparison.tests(federation, method, seed, counts.FILE) for seed in seeds]
    return [paths for paths in found if all(path.is_file() for path in paths)]
