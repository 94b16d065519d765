"""A small convolutional network with batch normalisation, in one file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from benchmark.config import BackboneSettings, InitialisationSettings, LoraSettings
from benchmark.leaf import Leaf, Leaves
from benchmark.method import Mix, Output
from benchmark.models.dense import Dense
from benchmark.models.heads import Linear, weighted
from benchmark.models.network import LEAVES, Network
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


class ConvNet(Network):
    """The network and a linear head."""

    name = "convnet"
    roles = ("head", "norm", "backbone", "all")

    def __init__(self, task: Task, body: nn.Sequential | None = None) -> None:
        self._dense = Dense(body or build(), lambda name: "norm" if name.startswith(("1.", "4.")) else "backbone")
        self.head = Linear(WIDTH, task.outputs)

    @classmethod
    def fetch(cls, settings: BackboneSettings) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Weights at random, always the same."""
        with torch.random.fork_rng():
            torch.manual_seed(0)
            state = build().state_dict()
        return {name: value for name, value in state.items() if "num_batches" not in name}, {"weights": "drawn"}

    @classmethod
    def load(
        cls,
        weights: Path | None,
        name: str,
        arguments: Mapping[str, Any],
        task: Task,
        image_size: int,
        lora: LoraSettings,
        initialisation: InitialisationSettings,
    ) -> "ConvNet":
        """The network with its weights."""
        body = build()
        if weights is not None:
            body.load_state_dict(load_file(weights), strict=False)
        return cls(task, body)

    def on(self, device: torch.device | str, precision: str) -> "ConvNet":
        """Moved."""
        self._dense.to(device, LEAVES[precision])
        return self

    def leaves(
        self, adapters: Sequence[str], heads: Sequence[str], trains: Sequence[str], *, offset: bool = False
    ) -> list[Leaf]:
        """Its weights as far as they are trained, and heads."""
        own = self._dense.leaves(adapters, [word for word in trains if word != "head"])
        return own + [leaf for name in heads for leaf in self.head.leaves(name)]

    def __call__(
        self,
        images: Tensor,
        params: Leaves,
        heads: Mix,
        adapters: Mix,
        *,
        trace: bool = False,
        training: bool = False,
        dropout: Tensor | None = None,
    ) -> Output:
        """Features are the means over all places."""
        features, buffers = self._dense([images], params, adapters, training=training)
        prediction = weighted(lambda name: self.head(params, name, features), heads)
        return Output(prediction, features, {}, buffers)

    def pretrained(self, leaf: Leaf) -> Tensor:
        """The module's own."""
        return self._dense.pretrained(leaf)

    def frozen(self) -> Mapping[str, Tensor]:
        """All weights and buffers."""
        state: Mapping[str, Tensor] = self._dense.module.state_dict()
        return state

    def step_bytes(self, images: int) -> int:
        """Far too much, which is no harm."""
        return images << 16

    def export(self, folder: Path, params: Leaves, heads: Mix, adapters: Mix) -> None:
        """The module's state."""
        folder.mkdir(parents=True, exist_ok=True)
        save_file(
            {n: t.contiguous() for n, t in self._dense.deployed(params, adapters).items()}, folder / "body.safetensors"
        )
