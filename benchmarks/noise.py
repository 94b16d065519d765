"""An engine on clients of noise: what a step costs does not depend on what the images show."""

from collections.abc import Mapping
from typing import Any

import torch

from benchmark.config import Config
from benchmark.federation.client import ClientData, Samples
from benchmark.federation.engine import Engine
from benchmark.federation.methods import load
from benchmark.federation.model import Model
from benchmark.federation.packed_images import PackedImages
from benchmark.methods import method_file
from benchmark.models.vit import ViT, build
from benchmark.sources import ROOT
from benchmark.tasks.classification import Classification

TASK = Classification(tuple("abcdefgh"))


def config(**settings: Any) -> Config:
    """A configuration of ViT-Tiny/16 on nothing but noise.

    Args:
        settings: Whatever is not by default.

    Returns:
        The configuration, of one round.
    """
    needed: Mapping[str, Any] = {"name": "noise", "federations": {"noise": {}}, "rates": ["1e-3"], "rounds": 1}
    return Config.model_validate({**needed, **settings})


def engine(config: Config, method: str, images: int, side: int, device: str, clients: int = 1) -> Engine:
    """A method on clients of noise, its network's weights at random.

    Args:
        config: How it is trained.
        method: The method's name.
        images: Training images of every client, which also are its validation images.
        side: Of the images, in pixels.
        device: `cpu` or `cuda`.
        clients: How many there are.

    Returns:
        The engine.
    """
    vit = build(config.backbone.name, config.backbone.arguments, side)
    network = ViT(vit, TASK, config.lora, config.initialisation).on(device, config.training.precision)
    loaded = load(ROOT / method_file(method), config.method_settings.get(method, {}))
    source = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (images, side, side, 3), dtype=torch.uint8, generator=source)
    labels = torch.randint(TASK.outputs, (images,), generator=source)
    own = Samples(PackedImages.of(pixels.to(device)), labels.to(device))
    return Engine(
        Model.of(network, TASK, loaded, config.trains),
        [ClientData(str(number), own, own) for number in range(clients)],
        config.training,
        config.augmentation,
        config.head,
        config.averaging,
        config.rounds,
        config.lora.dropout > 0,
    )


def first(client: ClientData, count: int) -> ClientData:
    """A client with its first images alone."""
    kept = Samples(client.training.images.only(torch.arange(count)), client.training.targets[:count])
    return ClientData(client.name, kept, kept)
