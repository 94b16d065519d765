"""Vision transformers of timm: frozen, adapted by LoRA, and trained themselves as far as a configuration says."""

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors.torch import load_file
from timm.models.vision_transformer import VisionTransformer, checkpoint_filter_fn
from torch import Tensor, nn

from benchmark.config import BackboneSettings, InitialisationSettings, LoraSettings
from benchmark.errors import one_line
from benchmark.leaf import Leaf, Leaves, lora_name
from benchmark.method import Mix, Output
from benchmark.models import lora, peft
from benchmark.models.attention import Attention, fused
from benchmark.models.dense import Dense
from benchmark.models.heads import Head, Linear, Upscaler, save_heads, stages, weighted
from benchmark.models.last_block import LastBlock
from benchmark.models.network import LEAVES, Network
from benchmark.models.widened import widen
from benchmark.tasks.task import Task

_ACTIVATIONS = 18
"""Floats that a transformer block with a fourfold MLP keeps for the backward pass, per token and feature.

The gradients of its inputs need 10; the traces of two adapters on q and v, as FedOPAL-R's, some 7 more. If a method
needs more, the first out-of-memory error halves the lanes at once."""


class Backbone(nn.Module):
    """A vision transformer whose projections add the outputs of LoRA adapters.

    Attributes:
        mean: Of the pixels it was pretrained on, by channel, shape (3, 1, 1).
        std: Likewise, their standard deviation.

    Args:
        vit: The transformer, without a head.
        targets: Which projections of every block are adapted.
        adaptation: What the adapted projections will read.
        pixels: Whether the head sees the grid of patch tokens; otherwise it sees the features of the image.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, vit: VisionTransformer, targets: Sequence[str], adaptation: lora.Adaptation, *, pixels: bool = False
    ) -> None:
        super().__init__()
        self.vit, self.pixels = vit, pixels
        mean, std = (torch.tensor(vit.pretrained_cfg[key]).view(3, 1, 1) for key in ("mean", "std"))
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)
        self.sites = lora.adapt(vit, targets, adaptation)
        for block in vit.blocks:
            if Attention.fits(block.attn):
                block.attn = Attention(block.attn)
            else:
                block.attn.fused_attn = False  # The fused kernel has no batching rule: vmap would loop over lanes.
        if not pixels and LastBlock.fits(vit):
            vit.blocks[-1] = LastBlock(vit.blocks[-1], adaptation)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Features (n, dim) of images (n, 3, size, size) in [0, 1], normalised as in pretraining, and what heads see.

        That is the features themselves, or the grid of patch tokens (n, side, side, dim).
        """
        normalised = (images - self.mean) / self.std
        tokens = self.vit.forward_features(normalised.to(self.vit.pos_embed.dtype))
        features = self.vit.forward_head(tokens, pre_logits=True).to(images.dtype)
        if not self.pixels:
            return features, features
        grid = tokens[:, self.vit.num_prefix_tokens :].unflatten(1, self.vit.patch_embed.grid_size)
        return features, grid.to(images.dtype)


class ViT(Network):
    """A vision transformer of timm with a linear head on its features, or an upscaler of its patch tokens.

    Its weights have the roles `norm`, `attention` and `backbone`; `last_block` names those of the last block.

    Attributes:
        backbone: The transformer.
        head: Makes predictions: a linear layer for an image, an upscaler for each of its pixels.
        settings: Which projections are adapted, and how.

    Args:
        vit: The transformer, without a head; it is changed in place.
        task: What is predicted.
        settings: Which projections are adapted, and how.
        initialisation: What leaves begin with that were not pretrained.
    """

    name = "vit"
    roles = ("lora", "head", "norm", "attention", "backbone", "last_block", "all")
    predicts = ("images", "pixels")

    def __init__(
        self,
        vit: VisionTransformer,
        task: Task,
        settings: LoraSettings,
        initialisation: InitialisationSettings | None = None,
    ) -> None:
        self.settings, self._begins = settings, initialisation or InitialisationSettings()
        self.scale = settings.alpha / settings.rank
        self._adaptation = lora.Adaptation(self.scale, settings.dropout)
        pixels = task.predicts == "pixels"
        self.backbone = Backbone(vit, settings.targets, self._adaptation, pixels=pixels)
        self.head: Head = Linear(int(vit.num_features), task.outputs, self._begins.head)
        if pixels:
            side, patch = vit.patch_embed.grid_size[0], vit.patch_embed.patch_size[0]
            self.head = Upscaler(int(vit.embed_dim), task.outputs, side, stages(patch), self._begins.head)
        last = f"blocks.{len(vit.blocks) - 1}."
        words = {"last_block": lambda name: name.startswith(last)}
        self._dense = Dense(self.backbone, _role, words, kept=[self._adaptation])
        self.sites = [site.name for site in self.backbone.sites]

    @classmethod
    def fetch(cls, settings: BackboneSettings) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Weights from timm's hub, from a file, or the project's own."""
        # Found by its name: how weights are fetched is no part of what names a trained lane.
        found: tuple[dict[str, Tensor], dict[str, Any]] = import_module("benchmark.models.vit_weights").fetch(settings)
        return found

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
    ) -> "ViT":
        """The transformer with its weights, its position embeddings resampled to the size of the images."""
        vit = build(name, arguments, image_size)
        if weights is None:
            return cls(vit, task, lora, initialisation)
        state = checkpoint_filter_fn(load_file(weights), vit)
        try:
            vit.load_state_dict(state, strict=True)
        except RuntimeError as error:
            raise ValueError(f"{weights}: not the weights of {name} {dict(arguments)}: {one_line(error)}") from None
        return cls(vit, task, lora, initialisation)

    def on(self, device: torch.device | str, precision: str) -> "ViT":
        """Moved to a device, its weights in a precision; normalisation stays in that of images and leaves."""
        self._dense.to(device, LEAVES[precision])
        self.backbone.vit.to(getattr(torch, precision))
        if precision == "bfloat16" and torch.device(device).type == "cpu":
            widen(self.backbone.vit)
        return self

    def leaves(
        self, adapters: Sequence[str], heads: Sequence[str], trains: Sequence[str], *, offset: bool = False
    ) -> list[Leaf]:
        """LoRA pairs of every adapter, its weights of the transformer, offsets, and heads."""
        found: list[Leaf] = []
        for adapter in adapters if "lora" in trains else ():
            found += lora.leaves(adapter, self.backbone.sites, self.settings.rank, self._begins.lora)
        found += lora.offsets(self.backbone.sites) if offset else []
        found += self._dense.leaves(adapters, [word for word in trains if word not in ("lora", "head")])
        trained = bool({"head", "all"} & set(trains))
        return found + [leaf for name in heads for leaf in self.head.leaves(name, trainable=trained)]

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
        """See `Network`."""
        pairs = {name: weight for name, weight in adapters.items() if lora_name(name, self.sites[0], "A") in params}
        with self._adaptation.using(params, pairs, trace, dropout) as outputs:
            (features, seen), buffers = self._dense([images], params, adapters, training=training)
        prediction = weighted(lambda name: self.head(params, name, seen), heads)
        return Output(prediction, features, outputs, buffers)

    def pretrained(self, leaf: Leaf) -> Tensor:
        """The transformer's own weight."""
        return self._dense.pretrained(leaf)

    def adapted(self, site: str) -> Tensor:
        """Its rows of a linear layer's weight: a third of the fused one, or all."""
        for layer in self.backbone.vit.modules():
            for own in layer.sites if isinstance(layer, lora.AdaptedLinear) else ():
                if own.name == site:
                    return layer.frozen.weight.detach()[own.first : own.first + own.rows]
        return super().adapted(site)

    def frozen(self) -> Mapping[str, Tensor]:
        """The transformer's weights."""
        state: Mapping[str, Tensor] = self.backbone.state_dict()
        return state

    def step_bytes(self, images: int) -> int:
        """Activations of every block, and of the head."""
        vit = self.backbone.vit
        tokens, heads = vit.patch_embed.num_patches + 1, vit.blocks[0].attn.num_heads
        # The fused kernel keeps its output and a sum for every query; otherwise two matrices of attention are kept.
        attention = vit.embed_dim + heads if fused(self.backbone.mean.device, tokens) else 2 * heads * tokens
        per_block = tokens * (_ACTIVATIONS * vit.embed_dim + attention)
        floats = len(vit.blocks) * per_block + self.head.floats
        return int(images * floats * self.backbone.mean.dtype.itemsize)

    def export(self, folder: Path, params: Leaves, heads: Mix, adapters: Mix) -> None:
        """In the format of Hugging Face PEFT, for timm's unchanged model; see `benchmark.models.peft`."""
        layers = {
            path: layer for path, layer in self.backbone.vit.named_modules() if isinstance(layer, lora.AdaptedLinear)
        }
        weights = self._dense.deployed(params, adapters)
        linear = isinstance(self.head, Linear)
        peft.save(folder, layers, self._adaptation.scale, params, heads if linear else {}, adapters, weights)
        if not linear:
            save_heads(folder, params, heads)


def _role(name: str) -> str:
    """The role of a weight of the transformer."""
    parts = name.split(".")
    if any(part.startswith("norm") or part.endswith("_norm") for part in parts):
        return "norm"
    return "attention" if "attn" in parts else "backbone"


def build(name: str, arguments: Mapping[str, Any], image_size: int) -> VisionTransformer:
    """A timm vision transformer without a head, for square images of so many pixels a side, its weights at random.

    A ValueError says that timm has no such model, or that it is no plain vision transformer.
    """
    if not timm.is_model(name.partition(".")[0]):
        close = ", ".join(timm.list_models(name.partition("_patch")[0] + "*")[:8]) or "see timm.list_models('vit_*')"
        raise ValueError(f"backbone.name: timm has no model {name!r}; some that it has: {close}")
    try:
        model = timm.create_model(name, pretrained=False, num_classes=0, img_size=image_size, **arguments)
    except (TypeError, RuntimeError) as error:
        message = one_line(error)
        raise ValueError(
            f"backbone: timm cannot build {name!r} with {dict(arguments)}: {message}; "
            "adapters need a plain VisionTransformer"
        ) from None
    if not isinstance(model, VisionTransformer):
        raise ValueError(
            f"backbone.name: {name!r} is a {type(model).__name__}; adapters need a plain VisionTransformer"
        )
    return model
