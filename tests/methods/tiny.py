"""A model small enough for its gradients to be written out by hand, and two hospitals that train it on one batch each.

The network is one frozen linear layer on the pixels, which LoRA adapts, and a linear head. Batches hold all images of a
hospital, and augmentation is off: so no draw but that of the initial leaves has any effect on what is trained.
`Twin` is the same in NumPy.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from benchmark.federation.client import ClientData, Lane, Samples
from benchmark.federation.engine import Engine, State
from benchmark.federation.model import Model
from benchmark.federation.packed_images import PackedImages
from benchmark.leaf import Leaf, Leaves, offset_name
from benchmark.method import Method, Mix, Output
from benchmark.models import lora
from benchmark.models.heads import Linear, weighted
from benchmark.models.network import Network, Setup
from benchmark.settings import AugmentationSettings, OptimiserSettings, TrainingSettings
from benchmark.tasks.classification import Classification

Array = npt.NDArray[np.float64]
Params = dict[str, Array]

INPUTS, FEATURES, CLASSES, RANK, SCALE = 12, 6, 3, 2, 2.0
SITE = "layer"
RATE, MOMENTUM, EPOCHS, ROUNDS = 0.2, 0.9, 2, 3
LANE = Lane(str(RATE), 0)
W0 = np.random.default_rng(0).normal(0, 0.5, (FEATURES, INPUTS))
"""The frozen layer."""
COUNTS = {"north": 7, "south": 21}
"""Training images of each hospital: averages by images and uniform ones differ."""


class Tiny(Network):
    """The frozen layer, with LoRA, and a linear head."""

    name = "tiny"
    roles = ("lora", "head")
    sites = (SITE,)
    scale = SCALE
    _head = Linear(FEATURES, CLASSES, 0.3)

    @classmethod
    def fetch(cls, settings: Any) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """No job of the workflow trains it."""
        raise OSError("the tiny network has no pretrained weights")

    @classmethod
    def load(cls, setup: Setup) -> "Tiny":
        """See `fetch`."""
        raise ValueError("the tiny network is not loaded from a file")

    def on(self, device: torch.device | str, precision: str) -> "Tiny":
        """It is float64, on the CPU."""
        return self

    def leaves(
        self, adapters: Sequence[str], heads: Sequence[str], trains: Sequence[str], *, offset: bool = False
    ) -> list[Leaf]:
        """Pairs, offset and heads."""
        site = [lora.Site(SITE, 0, FEATURES, INPUTS)]
        found = [leaf for name in adapters for leaf in lora.leaves(name, site, RANK, "kaiming")]
        found += lora.offsets(site) if offset else []
        return found + [leaf for name in heads for leaf in self._head.leaves(name)]

    def __call__(
        self, images: Tensor, params: Leaves, heads: Mix, adapters: Mix, *, trace: bool = False, **options: Any
    ) -> Output:
        """Features, and logits of them; what each adapter adds, where it is traced."""
        x = images.flatten(1)
        features, traced = x @ torch.from_numpy(W0).T, {}
        for name, weight in adapters.items():
            A, B = params[f"{name}/{SITE}.A"], params[f"{name}/{SITE}.B"]
            own = SCALE * (x @ A.T @ B.T)
            traced[name] = [own]
            features = features + (weight.reshape(-1, 1) if isinstance(weight, Tensor) else weight) * own
        if offset_name(SITE) in params:
            features = features + SCALE * (x @ params[offset_name(SITE)].T)
        prediction = weighted(lambda name: self._head(params, name, features), heads)
        return Output(prediction, features, traced if trace else {}, {})

    def pretrained(self, leaf: Leaf) -> Tensor:
        """No leaf is."""
        raise ValueError(f"{leaf.name} was not pretrained")

    def adapted(self, site: str) -> Tensor:
        """The layer."""
        return torch.from_numpy(W0)

    def frozen(self) -> Mapping[str, Tensor]:
        """The layer."""
        return {SITE: torch.from_numpy(W0)}

    def export(self, folder: Path, params: Leaves, heads: Mix, adapters: Mix) -> None:
        """Nobody reads it."""


def hospitals() -> list[ClientData]:
    """Two of them: drawn images of 2 x 2 pixels, and labels that the images do not say."""
    source = torch.Generator().manual_seed(1)
    found = []
    for name, count in COUNTS.items():
        images = torch.randint(256, (count + 4, 2, 2, 3), generator=source, dtype=torch.uint8)
        labels = torch.randint(CLASSES, (count + 4,), generator=source)
        own, unseen = slice(count), slice(count, None)
        found.append(
            ClientData(
                name,
                Samples(PackedImages.of(images[own]), labels[own]),
                Samples(PackedImages.of(images[unseen]), labels[unseen]),
            )
        )
    return found


def engine(method: Method, clients: Sequence[ClientData] | None = None, momentum: float = MOMENTUM) -> Engine:
    """The engine that trains a method on the tiny network."""
    task = Classification([f"class {number}" for number in range(CLASSES)])
    optimiser = OptimiserSettings(momentum=momentum)
    training = TrainingSettings(batch_size=99, local_epochs=EPOCHS, optimiser=optimiser, precision="float64")
    still = AugmentationSettings(flip=False, rotate=False, brightness=0, contrast=0)
    model = Model.of(Tiny(), task, method)
    return Engine(model, clients or hospitals(), training, still, "shared", rounds=ROUNDS)


def run(ours: Engine, rounds: int = ROUNDS, *, close: bool = True) -> State:
    """One lane after so many rounds, and the closing passes."""
    state = ours.start([LANE])
    for _ in range(rounds):
        state, _ = ours.round(state, [LANE])
    return ours.close(state, [LANE]) if close else state


def held(state: State, k: int) -> Params:
    """What one client holds, in NumPy."""
    return {name: leaf[k, 0].numpy().copy() for name, leaf in state.params.items()}


def fresh(ours: Engine, round: int, k: int) -> Params:
    """What one client's leaves would be if they began anew after so many rounds: read, since it was drawn."""
    return {name: leaf[k, 0].numpy().copy() for name, leaf in ours.fresh([LANE], round).items()}


class Twin:
    """The tiny network on one hospital's images, in NumPy: its loss, and the gradients by hand.

    Attributes:
        x: Its training images, (n, inputs).
        y: Their labels as rows of zeros and a one, (n, classes).
        size: How many they are.

    Args:
        client: The hospital.
    """

    def __init__(self, client: ClientData) -> None:
        self.x = pixels(client.training)
        self.y = np.eye(CLASSES)[client.training.targets.numpy()]
        self.size = len(self.x)

    def forward(self, p: Params, adapters: Mapping[str, float], heads: Mapping[str, float]) -> tuple[Array, Array]:
        """Features (n, features) and logits (n, classes)."""
        W = W0 + SCALE * sum(
            (m * p[f"{a}/{SITE}.B"] @ p[f"{a}/{SITE}.A"] for a, m in adapters.items()),
            p.get(f"offset/{SITE}", np.zeros_like(W0)),
        )
        features = self.x @ W.T
        return features, sum(m * (features @ p[f"{h}/weight"].T + p[f"{h}/bias"]) for h, m in heads.items())

    def loss(self, p: Params, adapters: Mapping[str, float], heads: Mapping[str, float]) -> float:
        """The mean cross-entropy."""
        return float(-(self.y * np.log(_softmax(self.forward(p, adapters, heads)[1]))).sum() / self.size)

    def gradients(self, p: Params, adapters: Mapping[str, float], heads: Mapping[str, float]) -> Params:
        """Of the loss: by every leaf of these adapters and heads, and by the effective `W`, `head` and `bias`."""
        features, logits = self.forward(p, adapters, heads)
        dz = (_softmax(logits) - self.y) / self.size
        found: Params = {"head": dz.T @ features, "bias": dz.sum(0)}
        for head, m in heads.items():
            found[f"{head}/weight"], found[f"{head}/bias"] = m * found["head"], m * found["bias"]
        dW = (dz @ sum(m * p[f"{h}/weight"] for h, m in heads.items())).T @ self.x
        found["W"] = dW
        for adapter, m in adapters.items():
            A, B = p[f"{adapter}/{SITE}.A"], p[f"{adapter}/{SITE}.B"]
            found[f"{adapter}/{SITE}.A"], found[f"{adapter}/{SITE}.B"] = SCALE * m * B.T @ dW, SCALE * m * dW @ A.T
        return found


class Momentum:
    """SGD with momentum that begins anew.

    Args:
        momentum: How much of the last step is kept.
    """

    def __init__(self, momentum: float = MOMENTUM) -> None:
        self.momentum, self.velocity = momentum, dict[str, Array]()

    def step(self, p: Params, gradients: Mapping[str, Array], names: Sequence[str]) -> None:
        """Change the named leaves."""
        for name in names:
            self.velocity[name] = self.momentum * self.velocity.get(name, 0 * gradients[name]) + gradients[name]
            p[name] = p[name] - RATE * self.velocity[name]


def leaves(*parts: str) -> list[str]:
    """Names of the leaves of adapters and heads."""
    return [
        f"{part}/{end}"
        for part in parts
        for end in (("weight", "bias") if part.endswith("head") else (f"{SITE}.A", f"{SITE}.B"))
    ]


def pixels(samples: Samples) -> Array:
    """Images as the network sees them, (n, inputs): channel by channel, in [0, 1]."""
    return samples.images[:].numpy().transpose(0, 3, 1, 2).reshape(len(samples), -1) / 255.0


def apart(found: Mapping[str, Array], expected: Mapping[str, Array]) -> float:
    """The largest difference in the leaves that are expected."""
    return max(float(np.abs(found[name] - value).max()) for name, value in expected.items())


def _softmax(z: Array) -> Array:
    e = np.exp(z - z.max(1, keepdims=True))
    return np.asarray(e / e.sum(1, keepdims=True))
