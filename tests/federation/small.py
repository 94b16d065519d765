"""A federation small enough to be trained in a moment: three hospitals, a transformer of depth two."""

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from benchmark.config import AugmentationSettings, LoraSettings, TrainingSettings
from benchmark.federation.client import Client, Lane
from benchmark.federation.engine import SUPPORT, Engine, State
from benchmark.federation.methods import load
from benchmark.federation.model import Model, predict
from benchmark.federation.rows import Rows
from benchmark.method import Method
from benchmark.models.backbone import Backbone, build
from benchmark.tasks.classification import Classification

ROOT = Path(__file__).resolve().parents[2]
METHODS = sorted(path.stem for path in (ROOT / "methods").glob("[a-z]*.py"))
"""Names of the methods, found as the workflow finds them: a newcomer's file is tested too."""

VIT = "vit_tiny_patch16_224"
ARGUMENTS: dict[str, Any] = {"patch_size": 8, "embed_dim": 48, "depth": 2, "num_heads": 3}
SIZE = 32
CLASSES = ("naevus", "melanoma", "keratosis", "vascular")
TRAINING = TrainingSettings(batch_size=8, precision="float64")
LANES = (Lane("1e-1", 0), Lane("2e-2", 0), Lane("1e-1", 1), Lane("2e-2", 1))
"""Two rates and two seeds."""


def method(name: str, **settings: float | bool | str) -> Method:
    """The method of `methods/{name}.py`, with these settings."""
    return load(ROOT / "methods" / f"{name}.py", settings)


def client(name: str, count: int, unseen: int = 9) -> Client:
    """A hospital with drawn images: noise, brighter for later classes, each hospital with its own tint."""
    source = torch.Generator().manual_seed(sum(name.encode()))
    labels = torch.randint(len(CLASSES), (count + unseen,), generator=source)
    tint = 60 * torch.rand(3, generator=source)
    images = 100 * torch.rand(count + unseen, SIZE, SIZE, 3, generator=source) + 25 * labels.view(-1, 1, 1, 1) + tint
    images = images.clamp(0, 255).to(torch.uint8)
    return Client(name, Rows.of(images[:count]), labels[:count], Rows.of(images[count:]), labels[count:])


def clients() -> list[Client]:
    """Three hospitals; with batches of eight, the last batch of each is smaller."""
    return [client("north", 13), client("east", 21), client("south", 10)]


@functools.cache
def weights() -> dict[str, Tensor]:
    """The transformer's weights: drawn large enough for every layer to matter."""
    vit = build(VIT, ARGUMENTS, SIZE)
    source = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in vit.parameters():
            spread = 1 / parameter.shape[-1] ** 0.5 if parameter.dim() == 2 else 0.1
            centre = 1.0 if parameter.dim() == 1 else 0.0
            parameter.copy_(centre + spread * torch.randn(parameter.shape, generator=source))
    return {name: tensor.clone() for name, tensor in vit.state_dict().items()}


def transformer() -> VisionTransformer:
    """Timm's transformer with these weights, without a head."""
    vit = build(VIT, ARGUMENTS, SIZE)
    vit.load_state_dict(weights())
    for block in vit.blocks:
        block.attn.fused_attn = False
    return vit


def engine(
    method: Method,
    hospitals: Sequence[Client] | None = None,
    *,
    training: TrainingSettings = TRAINING,
    lora: LoraSettings | None = None,
    head: str = "shared",
) -> Engine:
    """The engine for one method on these hospitals."""
    backbone = Backbone(transformer(), lora or LoraSettings(rank=4)).on("cpu", training.precision)
    model = Model.of(backbone, Classification(CLASSES), method)
    return Engine(model, clients() if hospitals is None else hospitals, training, AugmentationSettings(), head)


def train(engine: Engine, lanes: Sequence[Lane], rounds: int) -> State:
    """The lanes after all rounds and the closing passes."""
    state = engine.start(lanes)
    for _ in range(rounds):
        state, _ = engine.round(state, lanes)
    return engine.close(state, lanes)


def logits(engine: Engine, state: State) -> list[Tensor]:
    """Every hospital's logits of its validation images, (L, n, classes)."""
    return [
        predict(engine.model, own.validation_images, own.support(SUPPORT, engine.dtype), params, chunk=4)
        for own, params in zip(engine.clients, engine.deployed(state), strict=True)
    ]


def same(left: Mapping[str, Tensor], right: Mapping[str, Tensor]) -> bool:
    """Whether two sets of leaves are equal to the bit."""
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def apart(left: Mapping[str, Tensor], right: Mapping[str, Tensor]) -> float:
    """The largest difference between two sets of leaves."""
    assert left.keys() == right.keys()
    return max(float((left[name] - right[name]).abs().max()) for name in left)
