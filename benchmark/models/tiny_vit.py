"""TinyViT (arXiv 2207.10666) as SAM's encoder, as in MobileSAM (arXiv 2306.14289).

The layers are timm's, but for two. In timm's attention, q, k and v come out of one layer, head by head, and a table of
biases is looked up once and kept; here each has a layer of its own, which an adapter can be added to, and the table is
looked up in every pass, so that it may be trained. A map that windows do not cover is padded with zeros, which all
become the same q, k and v: they are computed once. Batch normalisation is folded into the convolution before it: the
statistics that it was pretrained with hold for whatever is trained, as FLAP-SAM's rows need.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import torch.nn.functional as F
from timm.models.tiny_vit import Attention as Fused
from timm.models.tiny_vit import ConvNorm, TinyVit, TinyVitBlock
from torch import Tensor, nn

from benchmark.errors import one_line
from benchmark.models.lora import AdaptedLinear
from benchmark.models.network import covered

_5M = {"embed_dims": (64, 128, 160, 320), "depths": (2, 2, 6, 2), "num_heads": (2, 4, 5, 10)}
"""TinyViT-5M."""
_WINDOWS = (7, 7, 14, 7)


class Attention(nn.Module):
    """Attention within windows, with a learned bias for every distance, q, k and v in layers of their own.

    Args:
        fused: timm's, whose weights are shared.
    """

    q: nn.Module
    k: nn.Module
    v: nn.Module
    attention_bias_idxs: Tensor

    def __init__(self, fused: Fused) -> None:
        super().__init__()
        self.heads, self.norm, self.proj = fused.num_heads, fused.norm, fused.proj
        self.side = fused.resolution[0]
        self.attention_biases = fused.attention_biases
        self.register_buffer("attention_bias_idxs", fused.attention_bias_idxs, persistent=False)
        for name, own in unfused(fused.qkv.weight, fused.qkv.bias, self.heads).items():
            layer = nn.Linear(fused.qkv.in_features, len(own["weight"]))
            layer.load_state_dict(own)
            setattr(self, name, layer)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (n, height, width, dim) to the same."""
        kept, side = x.shape[1:3], self.side
        below, right = (-own % side for own in kept)
        if isinstance(self.q, AdaptedLinear) and self.q.adaptation.trace is not None:
            x = F.pad(x, (0, 0, 0, right, 0, below))  # A trace has the outputs of all places.
            below = right = 0
        n, height, width, _ = x.shape
        tokens = x.flatten(1, 2)
        if below or right:  # One more token stands for all of the padding.
            tokens = F.pad(tokens, (0, 0, 0, 1))
        tokens = self.norm(tokens)
        q, k, v = (own(tokens).unflatten(-1, (self.heads, -1)) for own in (self.q, self.k, self.v))
        k, v = (_windows(own, height, width, side) for own in (k, v))
        near = self.attention_bias_idxs
        if max(height, width) <= side:  # One window: nobody reads what its padding finds.
            near = near.view(side, side, -1)[:height, :width].flatten(0, 1)
            q = q[:, : height * width].transpose(1, 2)
            read = F.scaled_dot_product_attention(q, k, v, attn_mask=self.attention_biases[:, near])
            found = read.transpose(1, 2).unflatten(1, (height, width))
        else:
            q = _windows(q, height, width, side)
            read = F.scaled_dot_product_attention(q, k, v, attn_mask=self.attention_biases[:, near])
            rows, columns = (height + below) // side, (width + right) // side
            found = read.reshape(n, rows, columns, self.heads, side, side, -1).permute(0, 1, 4, 2, 5, 3, 6)
            found = found.reshape(n, rows * side, columns * side, self.heads, -1)
        # As one list of places: of a map with gaps in memory, lanes' own weights would be copied for every row.
        mixed: Tensor = self.proj(found[:, : kept[0], : kept[1]].flatten(3).flatten(1, 2))
        return mixed.unflatten(1, kept)


def _windows(tokens: Tensor, height: int, width: int, side: int) -> Tensor:
    """Tokens of a map, and the one that stands for its padding, window by window.

    Args:
        tokens: Shape (n, height * width, heads, d); one more where windows do not cover the map.
        height: Of the map.
        width: Likewise.
        side: Of a window.

    Returns:
        Shape (n * windows, heads, side^2, d).
    """
    pad = (0, 0, 0, 0, 0, -width % side, 0, -height % side)
    places = tokens[:, : height * width].unflatten(1, (height, width))
    if any(pad):
        beyond = 1 - F.pad(tokens.new_ones(height, width, 1, 1), pad)
        places = F.pad(places, pad) + beyond * tokens[:, -1, None, None]
    split = places.unflatten(2, (-1, side)).unflatten(1, (-1, side))
    return split.permute(0, 1, 3, 5, 2, 4, 6).flatten(4, 5).flatten(0, 2)


class Block(nn.Module):
    """Attention, a convolution of neighbours and a perceptron, each added to what it reads.

    Args:
        block: timm's, whose layers are shared.
    """

    def __init__(self, block: TinyVitBlock) -> None:
        super().__init__()
        self.attn, self.local_conv, self.mlp = block.attn, block.local_conv, block.mlp

    def forward(self, x: Tensor) -> Tensor:
        """Maps (n, height, width, dim) to the same."""
        x = x + self.attn(x)
        x = self.local_conv(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        mixed: Tensor = x + self.mlp(x)
        return mixed


class Encoder(nn.Module):
    """The four stages at a sixteenth of the image's side, and SAM's neck.

    Args:
        width: Features of the grid.
        image_size: Side of the images, in pixels: a multiple of 32.
        sizes: Arguments of timm's `TinyVit` that differ from TinyViT-5M's.

    Raises:
        ValueError: The image's side does not fit.
    """

    def __init__(self, width: int, image_size: int, sizes: Mapping[str, Any] = MappingProxyType({})) -> None:
        super().__init__()
        covered(image_size, 32, "which TinyViT needs")
        vit = _rebuilt(original(sizes))
        self.patch_embed, self.stages = vit.patch_embed, vit.stages
        channels = self.stages[3].downsample.conv3.out_channels
        self.neck = nn.Sequential(
            nn.Conv2d(channels, width, 1, bias=False),
            LayerNorm2d(width),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            LayerNorm2d(width),
        )

    def forward(self, pixels: Tensor) -> Tensor:
        """Pixels (n, 3, S, S) to the grid (n, width, S / 16, S / 16)."""
        grid: Tensor = self.neck(self.stages(self.patch_embed(pixels)))
        return grid


class LayerNorm2d(nn.LayerNorm):
    """Layer normalisation over the channels of maps (n, channels, h, w)."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=1e-6)

    def forward(self, maps: Tensor) -> Tensor:
        """Maps to the same."""
        return super().forward(maps.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def rebuilt(tensors: Mapping[str, Tensor], sizes: Mapping[str, Any] = MappingProxyType({})) -> dict[str, Tensor]:
    """Weights of timm's `TinyVit` as those of `Encoder`.

    Args:
        tensors: By timm's names; a classifier's norm may be missing.
        sizes: As `Encoder` is given them.

    Returns:
        By their names in `Encoder`, but for the neck's.

    Raises:
        ValueError: A tensor is missing, is too much, or has another shape.
    """
    vit = original(sizes)
    try:
        missing, unexpected = vit.load_state_dict(tensors, strict=False)
    except RuntimeError as error:
        raise ValueError(one_line(error, 300)) from None
    faults = [f"there is no {name}" for name in missing if not name.startswith("head.")]
    faults += [f"{name} is too much" for name in unexpected]
    if faults:
        raise ValueError("; ".join(faults[:3]) + (f"; and {len(faults) - 3} more" if len(faults) > 3 else ""))
    state: Mapping[str, Tensor] = _rebuilt(vit).state_dict()
    return {name: tensor for name, tensor in state.items() if not name.startswith("head.")}


def original(sizes: Mapping[str, Any]) -> TinyVit:
    """timm's, at a sixteenth of the image's side, as MobileSAM has it, and not at a thirty-second."""
    vit = TinyVit(**{**_5M, "window_sizes": _WINDOWS, "num_classes": 0, "drop_path_rate": 0.0, **sizes})
    vit.stages[3].downsample.conv2.conv.stride = (1, 1)
    return vit.eval()


def _rebuilt(vit: TinyVit) -> TinyVit:
    """The same with q, k and v apart and batch normalisation folded into convolutions, in place."""
    kinds = ((Fused, Attention), (ConvNorm, ConvNorm.fuse), (TinyVitBlock, Block))
    for kind, new in kinds:
        for path, layer in list(vit.named_modules()):
            if isinstance(layer, kind):
                parent, _, own = path.rpartition(".")
                setattr(vit.get_submodule(parent), own, new(layer))
    return vit


def unfused(weight: Tensor, bias: Tensor, heads: int) -> dict[str, dict[str, Tensor]]:
    """What q, k and v are of a layer whose rows are, head by head, those of q, of k and of v in equal parts.

    Args:
        weight: Shape (3 out, in).
        bias: Shape (3 out,).
        heads: Of attention.

    Returns:
        By name, `weight` (out, in) and `bias` (out,).
    """
    parts = (own.detach().unflatten(0, (heads, 3, -1)).unbind(1) for own in (weight, bias))
    return {
        name: {"weight": w.flatten(0, 1), "bias": b.flatten(0, 1)} for name, w, b in zip("qkv", *parts, strict=True)
    }
