"""A small convolutional network with batch normalisation, in one file."""

from pathlib import Path
from typing import Any, Self

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from benchmark.leaf import Leaves
from benchmark.method import Mix
from benchmark.models.composed import Composed
from benchmark.models.dense import Dense
from benchmark.models.heads import Linear, weighted
from benchmark.models.network import Setup
from benchmark.settings import BackboneSettings, InitialisationSettings
from benchmark.tasks.task import Task

WIDTH = 8


def build() -> nn.Sequential:
    """Two convolutions, each normalised over the batch (so without a bias), and the mean over all places."""
    return nn.Sequential(
        nn.Conv2d(3, WIDTH, 3, stride=2, bias=False),
        nn.BatchNorm2d(WIDTH),
        nn.ReLU(),
        nn.Conv2d(WIDTH, WIDTH, 3, bias=False),
        nn.BatchNorm2d(WIDTH),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )


class ConvNet(Composed):
    """The network and a linear head."""

    name = "convnet"
    roles = ("head", "norm", "backbone", "all")

    def __init__(self, task: Task, body: nn.Sequential | None = None) -> None:
        dense = Dense(body or build(), lambda name: "norm" if name.startswith(("1.", "4.")) else "backbone")
        super().__init__(dense, Linear(WIDTH, task.outputs), InitialisationSettings())

    @classmethod
    def fetch(cls, settings: BackboneSettings) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Weights at random, always the same."""
        with torch.random.fork_rng():
            torch.manual_seed(0)
            state = build().state_dict()
        return {name: value for name, value in state.items() if "num_batches" not in name}, {"weights": "drawn"}

    @classmethod
    def load(cls, setup: Setup) -> Self:
        """The network with its weights."""
        body = build()
        if setup.weights is not None:
            body.load_state_dict(load_file(setup.weights), strict=False)
        return cls(setup.task, body)

    def features(self, made: Tensor) -> Tensor:
        """The means over all places."""
        return made

    def predicted(self, made: Tensor, params: Leaves, heads: Mix) -> Tensor:
        """The head sees the features."""
        return weighted(lambda name: self.head(params, name, made), heads)

    def export(self, folder: Path, params: Leaves, heads: Mix, adapters: Mix) -> None:
        """The module's state."""
        folder.mkdir(parents=True, exist_ok=True)
        save_file(
            {n: t.contiguous() for n, t in self._dense.deployed(params, adapters).items()}, folder / "body.safetensors"
        )
