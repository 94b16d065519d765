"""Vision transformers of timm: frozen, adapted by LoRA, and trained themselves as far as a configuration says."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import timm
import torch
from safetensors.torch import load_file
from timm.models.vision_transformer import VisionTransformer, checkpoint_filter_fn
from torch import Tensor, nn

from benchmark.errors import one_line
from benchmark.leaf import Leaf, Leaves
from benchmark.method import Mix
from benchmark.models import lora, peft
from benchmark.models.attention import Attention
from benchmark.models.composed import Adapters, Composed
from benchmark.models.dense import Dense
from benchmark.models.heads import Head, Linear, Upscaler, save_heads, stages
from benchmark.models.last_block import LastBlock
from benchmark.models.network import Setup, covered
from benchmark.models.widened import widen
from benchmark.settings import InitialisationSettings, LoraSettings
from benchmark.tasks.task import Task


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

    def forward(self, images: Tensor, done: int = 0) -> tuple[Tensor, Tensor]:
        """Features (n, dim) of images (n, 3, size, size) in [0, 1], normalised as in pretraining, and what heads see.

        That is the features themselves, or the grid of patch tokens (n, side, side, dim). Where blocks are done, the
        images are what `tokens` made of them.
        """
        if done:
            read = images.squeeze(-1).mT.to(self.vit.pos_embed.dtype)
            tokens = self.vit.norm(self.vit.blocks[done:](read))
        else:
            tokens = self.vit.forward_features(self._normalised(images))
        features = self.vit.forward_head(tokens, pre_logits=True).to(images.dtype)
        if not self.pixels:
            return features, features
        grid = tokens[:, self.vit.num_prefix_tokens :].unflatten(1, self.vit.patch_embed.grid_size)
        return features, grid.to(images.dtype)

    def tokens(self, images: Tensor, blocks: int) -> Tensor:
        """What the first blocks, one at least, make of images: (n, dim, tokens, 1), of the images' dtype."""
        [made] = self.vit.forward_intermediates(
            self._normalised(images),
            indices=[blocks - 1],
            return_prefix_tokens=True,
            stop_early=True,
            output_fmt="NLC",
            intermediates_only=True,
        )
        tokens = torch.cat(made[::-1], 1) if self.vit.num_prefix_tokens else made  # Patches come before the class.
        return tokens.to(images.dtype).mT.unsqueeze(-1)

    def _normalised(self, images: Tensor) -> Tensor:
        return ((images - self.mean) / self.std).to(self.vit.pos_embed.dtype)


class ViT(Composed):
    """A vision transformer of timm with a linear head on its features, or an upscaler of its patch tokens.

    Its weights have the roles `norm`, `attention` and `backbone`; `last_block` names those of the last block.

    Attributes:
        backbone: The transformer.

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
        begins, adaptation = initialisation or InitialisationSettings(), lora.Adaptation.of(settings)
        pixels = task.predicts == "pixels"
        self.backbone = Backbone(vit, settings.targets, adaptation, pixels=pixels)
        head: Head = Linear(int(vit.num_features), task.outputs, begins.head)
        if pixels:
            side, patch = vit.patch_embed.grid_size[0], vit.patch_embed.patch_size[0]
            head = Upscaler(int(vit.embed_dim), task.outputs, side, stages(patch), begins.head)
        last = f"blocks.{len(vit.blocks) - 1}."
        words = {"last_block": lambda name: name.startswith(last)}
        dense = Dense(self.backbone, _role, words, kept=[adaptation])
        super().__init__(dense, head, begins, Adapters(settings, adaptation, self.backbone.sites))

    @classmethod
    def load(cls, setup: Setup) -> Self:
        """The transformer with its weights, its position embeddings resampled to the size of the images."""
        vit = build(setup.name, setup.arguments, setup.image_size)
        covered(setup.image_size, vit.patch_embed.patch_size[0], f"the side of a patch of {setup.name}")
        if setup.weights is not None:
            state = checkpoint_filter_fn(load_file(setup.weights), vit)
            try:
                vit.load_state_dict(state, strict=True)
            except RuntimeError as error:
                about = f"{setup.name} {dict(setup.arguments)}"
                raise ValueError(f"{setup.weights}: not the weights of {about}: {one_line(error)}") from None
        return cls(vit, setup.task, setup.lora, setup.initialisation)

    def on(self, device: torch.device | str, precision: str) -> Self:
        """Moved to a device, its weights in a precision; normalisation stays in that of images and leaves."""
        super().on(device, precision)
        self.backbone.vit.to(getattr(torch, precision))
        if precision == "bfloat16" and torch.device(device).type == "cpu":
            widen(self.backbone.vit)
        return self

    def encodes(self, leaves: Collection[Leaf]) -> bool:
        """Where the first block has no leaf, nor what is in front of it."""
        return self._untouched(leaf.name for leaf in leaves) > 0

    def encode(self, images: Tensor, leaves: Collection[Leaf]) -> Tensor:
        """Tokens (n, dim, tokens, 1), by the blocks in front of the first leaf."""
        with self._adaptation.using({}, {}, trace=False):
            return self.backbone.tokens(images, self._untouched(leaf.name for leaf in leaves))

    def inputs(self, images: Tensor, params: Leaves, heads: Mix) -> tuple[Tensor, int]:
        """The images (n, 3, size, size), or tokens and how many blocks have made them."""
        return images, self._untouched(params) if images.shape[-1] == 1 else 0

    def _untouched(self, leaves: Iterable[str]) -> int:
        """How many blocks stand in front of the first of these leaves."""
        blocks = len(self.backbone.vit.blocks)
        for name in leaves:
            site = name.partition("/")[2]
            if site.startswith("blocks."):
                blocks = min(blocks, int(site.split(".")[1]))
            elif site in self._dense.roles and not site.startswith(_LAST):
                return 0
        return blocks

    def export(self, folder: Path, params: Leaves, heads: Mix, adapters: Mix) -> None:
        """In the format of Hugging Face PEFT, for timm's unchanged model; see `benchmark.models.peft`."""
        weights, linear = self._dense.deployed(params, adapters), isinstance(self.head, Linear)
        peft.save(folder, self.layers, self.scale, params, heads if linear else {}, adapters, weights)
        if not linear:
            save_heads(folder, params, heads)


_LAST = ("norm.", "fc_norm.", "attn_pool.")
"""What weights behind the blocks are called; all others but the blocks' are in front of them."""


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
