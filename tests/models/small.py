"""A network for tests of what lies below its head."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor

from benchmark.leaf import Leaves
from benchmark.method import Mix
from benchmark.models.network import Setup
from benchmark.models.vit import ViT
from benchmark.settings import InitialisationSettings, LoraSettings
from benchmark.tasks.classification import Classification

TASK = Classification(("one", "other"))


def network(vit: VisionTransformer, lora: LoraSettings | None = None, precision: str = "float64") -> ViT:
    """A transformer as a network for two classes."""
    return ViT(vit, TASK, lora or LoraSettings()).on("cpu", precision)


def features(
    network: ViT, images: Tensor, params: Leaves, mix: Mix, *, trace: bool = False
) -> tuple[Tensor, Mapping[str, Sequence[Tensor]]]:
    """Features (n, dim), and what the adapters put out; the head's leaves are zero."""
    head = {leaf.name: torch.zeros(leaf.shape, dtype=images.dtype) for leaf in network.head.leaves("head")}
    output = network(images, {**head, **params}, {"head": 1.0}, mix, trace=trace)
    return output.features, output.adapters


def loaded(weights: Path, name: str, arguments: Mapping[str, Any], size: int, lora: LoraSettings | None = None) -> ViT:
    """A network with the weights of a file, for images of one size."""
    return ViT.load(Setup(weights, name, arguments, TASK, size, lora or LoraSettings(), InitialisationSettings()))
