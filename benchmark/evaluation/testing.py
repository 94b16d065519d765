"""What the models of a row make of a test split, client by client.

`evaluate` and `show` open the split and hand it over here; `outside` opens and tests that of hospitals outside.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from benchmark.data.packed import Split
from benchmark.federation.job import Job, as_tensor, in_context, read_states
from benchmark.tasks.task import Floats, Task


@dataclass
class Worth:
    """What predictions of one model are worth, chunk by chunk; the predictions themselves are not held.

    Attributes:
        task: What is predicted.
    """

    task: Task
    _counts: list[Floats] = field(default_factory=list)
    _kept: list[dict[str, npt.NDArray[Any]]] = field(default_factory=list)

    def add(self, prediction: torch.Tensor, targets: torch.Tensor) -> None:
        """The predictions of the next m images, (m, outputs, ...), and their targets, (m, ...)."""
        self._counts.append(self.task.counts(prediction, targets).cpu().numpy())
        self._kept.append(self.task.kept(prediction, targets))

    @property
    def counts(self) -> Floats:
        """What every prediction is worth, (n, C, F)."""
        return np.concatenate(self._counts)

    @property
    def kept(self) -> dict[str, npt.NDArray[Any]]:
        """What the task keeps of predictions beside their counts: n values for each column."""
        return {name: np.concatenate([part[name] for part in self._kept]) for name in self._kept[0]}


@dataclass(frozen=True)
class Tested:
    """What a client's model makes of the client's test images.

    Attributes:
        rows: The n rows of the test split's table.
        worth: Of every lane, what the predictions are worth.
        shown: Of every lane, what a picture shows of predictions, (n, ...); none where that is not asked for.
    """

    rows: pd.DataFrame
    worth: list[Worth]
    shown: list[npt.NDArray[Any]]


def every_client(
    job: Job, test: Split, states: Sequence[Path], *, shown: Collection[str] | None = None
) -> Iterator[Tested]:
    """Test every client.

    Args:
        job: Model, method and clients.
        test: The test split.
        states: The leaves each client predicts with, (K, ...), of each of L lanes.
        shown: Samples that pictures show: these alone are predicted then, and what a picture shows of them is kept.

    Yields:
        What each client's model makes of its images.
    """
    engine, task = job.engine, job.engine.model.task
    images = in_context(as_tensor(test.images), test.table, job.settings.context)
    wanted = test.table if shown is None else test.table[test.table["sample"].isin(shown)]
    lanes = [read_states(path, engine.device) for path in states]
    for client in engine.clients:
        own = {name: torch.stack([lane[client.name][name] for lane in lanes]) for name in lanes[0][client.name]}
        rows = wanted[wanted["client"] == client.name]
        places = rows.index.to_numpy()
        targets = torch.from_numpy(test.targets[places].copy()).to(engine.device)
        worth = [Worth(task) for _ in lanes]
        pictures: list[list[npt.NDArray[Any]]] = [[] for _ in lanes if shown is not None]
        for which, prediction in engine.predictions(client, images.only(torch.from_numpy(places)), own):
            for counted, lane in zip(worth, prediction, strict=True):
                counted.add(lane, targets[which])
            for pictured, lane in zip(pictures, prediction, strict=False):
                pictured.append(task.shown(lane))
        yield Tested(rows, worth, [np.concatenate(parts) for parts in pictures])
