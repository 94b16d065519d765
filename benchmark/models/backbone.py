"""The frozen backbone: a timm vision transformer, adapted by leaves."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors.torch import load_file
from timm.models.vision_transformer import VisionTransformer, checkpoint_filter_fn
from torch import Tensor, nn

from benchmark.config import LoraSettings
from benchmark.errors import one_line
from benchmark.leaf import Leaf, Leaves
from benchmark.method import Mix
from benchmark.models import lora
from benchmark.models.attention import Attention
from benchmark.models.last_block import LastBlock
from benchmark.models.widened import widen

LEAVES = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.float32}
"""The dtype of images and leaves, by the precision of the frozen weights: updates are too small for bfloat16."""


class Backbone(nn.Module):
    """A frozen vision transformer whose projections add the outputs of LoRA adapters.

    Attributes:
        mean: Of the pixels it was pretrained on, by channel, shape (3, 1, 1).
        std: Likewise, their standard deviation.
        sites: The adapted projections in the order of the forward pass, with their numbers of inputs.
        dim: Size of the features.

    Args:
        vit: The transformer, without a head.
        settings: Which projections are adapted, and how.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, vit: VisionTransformer, settings: LoraSettings) -> None:
        super().__init__()
        self.vit = vit.eval().requires_grad_(False)
        self.settings = settings
        self.dim = int(vit.num_features)
        mean, std = (torch.tensor(vit.pretrained_cfg[key]).view(3, 1, 1) for key in ("mean", "std"))
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)
        self.adaptation = lora.Adaptation(scale=settings.alpha / settings.rank)
        self.sites = lora.adapt(vit, settings.targets, self.adaptation)
        for block in vit.blocks:
            if Attention.fits(block.attn):
                block.attn = Attention(block.attn)
            else:
                block.attn.fused_attn = False  # The fused kernel has no batching rule: vmap would loop over lanes.
        if LastBlock.fits(vit):
            vit.blocks[-1] = LastBlock(vit.blocks[-1], self.adaptation)

    def on(self, device: torch.device | str, precision: str) -> "Backbone":
        """Moved to a device, its frozen weights in a precision; normalisation stays in that of images and leaves."""
        self.to(device, LEAVES[precision])
        self.vit.to(getattr(torch, precision))
        if precision == "bfloat16" and torch.device(device).type == "cpu":
            widen(self.vit)
        return self

    def leaves(self, adapters: Sequence[str], *, offset: bool = False) -> list[Leaf]:
        """The leaves of adapters of these names, and the offsets of frozen weights where they are wanted."""
        pairs = [leaf for name in adapters for leaf in lora.leaves(name, self.sites, self.settings.rank)]
        return pairs + (lora.offsets(self.sites) if offset else [])

    def forward(
        self, images: Tensor, params: Leaves, mix: Mix, *, trace: bool = False
    ) -> tuple[Tensor, Mapping[str, Sequence[Tensor]]]:
        """Features of images.

        Args:
            images: Shape (n, 3, size, size), values in [0, 1]; normalised here, as the backbone was pretrained.
            params: The leaves of the adapters in use.
            mix: The weight of each adapter's output.
            trace: Whether to return every adapter's output too.

        Returns:
            Features (n, dim), of the images' dtype, and by adapter its output at every site (n, tokens, out): empty
            without `trace`.
        """
        with self.adaptation.using(params, mix, trace) as outputs:
            normalised = (images - self.mean) / self.std
            tokens = self.vit.forward_features(normalised.to(self.vit.pos_embed.dtype))
            return self.vit.forward_head(tokens, pre_logits=True).to(images.dtype), outputs


def build(name: str, arguments: Mapping[str, Any], image_size: int) -> VisionTransformer:
    """A timm vision transformer without a head, its weights at random.

    Args:
        name: timm's name of the model.
        arguments: Passed to timm.
        image_size: Side of the square images, in pixels.

    Returns:
        The model.

    Raises:
        ValueError: timm has no such model, or it is no plain vision transformer.
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


def load(weights: Path, name: str, arguments: Mapping[str, Any], image_size: int, settings: LoraSettings) -> Backbone:
    """A frozen backbone with pretrained weights, its position embeddings resampled to the size of the images.

    Args:
        weights: A safetensors file as `benchmark.models.fetch` writes it: every weight of the backbone, no head.
        name: timm's name of the model.
        arguments: Passed to timm.
        image_size: Side of the square images, in pixels.
        settings: Which projections are adapted.

    Returns:
        The backbone.

    Raises:
        ValueError: The file does not hold exactly this model's weights.
    """
    vit = build(name, arguments, image_size)
    state = checkpoint_filter_fn(load_file(weights), vit)
    try:
        vit.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise ValueError(f"{weights}: not the weights of {name} {dict(arguments)}: {one_line(error)}") from None
    return Backbone(vit, settings)
