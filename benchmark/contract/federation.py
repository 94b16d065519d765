"""A federation small enough to be trained in a moment: three hospitals, a transformer of depth two."""

import functools
from collections.abc import Sequence
from typing import Any, Literal

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from benchmark.federation.client import ClientData, Lane, Samples
from benchmark.federation.engine import Engine, State
from benchmark.federation.model import Model
from benchmark.federation.packed_images import PackedImages
from benchmark.method import Method
from benchmark.models.network import Network
from benchmark.models.vit import ViT, build
from benchmark.settings import AugmentationSettings, LoraSettings, TrainingSettings
from benchmark.tasks.classification import Classification
from benchmark.tasks.task import Task

VIT = "vit_tiny_patch16_224"
ARGUMENTS: dict[str, Any] = {"patch_size": 8, "embed_dim": 48, "depth": 2, "num_heads": 3}
SIZE = 32
CLASSES = ("naevus", "melanoma", "keratosis", "vascular")
TRAINING = TrainingSettings(batch_size=8, precision="float64")
LORA = LoraSettings(rank=4)


def client(name: str, count: int) -> ClientData:
    """A hospital with so many drawn images, and nine unseen: noise, brighter for later classes, in its own tint."""
    source = torch.Generator().manual_seed(sum(name.encode()))
    shown = count + 9
    labels = torch.randint(len(CLASSES), (shown,), generator=source)
    tint = 60 * torch.rand(3, generator=source)
    images = 100 * torch.rand(shown, SIZE, SIZE, 3, generator=source) + 25 * labels.view(-1, 1, 1, 1) + tint
    images = images.clamp(0, 255).to(torch.uint8)
    return ClientData(
        name,
        Samples(PackedImages.of(images[:count]), labels[:count]),
        Samples(PackedImages.of(images[count:]), labels[count:]),
    )


def clients() -> list[ClientData]:
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
    hospitals: Sequence[ClientData] | None = None,
    *,
    training: TrainingSettings = TRAINING,
    lora: LoraSettings = LORA,
    head: Literal["shared", "personal"] = "shared",
    trains: Sequence[str] = ("lora", "head"),
    task: Task | None = None,
    network: Network | None = None,
    rounds: int = 2,
) -> Engine:
    """The engine for one method on these hospitals: by default, classification by a small vision transformer."""
    task = task or Classification(CLASSES)
    network = (network or ViT(transformer(), task, lora)).on("cpu", training.precision)
    model = Model.of(network, task, method, trains)
    hospitals = clients() if hospitals is None else hospitals
    return Engine(model, hospitals, training, AugmentationSettings(), head, rounds=rounds, dropout=lora.dropout > 0)


def train(engine: Engine, lanes: Sequence[Lane], rounds: int) -> State:
    """The lanes after all rounds and the closing passes."""
    state = engine.start(lanes)
    for _ in range(rounds):
        state, _ = engine.round(state, lanes)
    return engine.close(state, lanes)


def predictions(engine: Engine, state: State) -> list[Tensor]:
    """Every hospital's predictions of its validation images, (L, n, outputs)."""
    return [
        torch.cat([found for _, found in engine.predictions(own, own.validation.images, params)], 1)
        for own, params in zip(engine.clients, engine.deployed(state), strict=True)
    ]
