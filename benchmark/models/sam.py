"""The Segment Anything model (SAM, arXiv 2304.02643) without prompts, as FLAP-SAM adapts it (arXiv 2407.21739).

An image encoder makes a grid of features, one for every 16 x 16 pixels. The mask decoder, a small transformer, lets one
token for each class and the grid read each other. The head widens the grid to the pixels, and a class's logit in a
pixel is the product of what is there and of what the class's token has become. Modules and names are those of
`transformers.SamModel`; the encoder may be TinyViT instead, as in MobileSAM (arXiv 2306.14289).

Weights have the roles `attention` (of encoder and decoder), `norm`, `prompt`, `decoder` and `backbone` (the rest of the
encoder). In `trains`, `encoder` and `decoder` name all weights of either, whatever their role.
"""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import AttentionInterface
from transformers.models.sam.configuration_sam import (
    SamConfig,
    SamMaskDecoderConfig,
    SamPromptEncoderConfig,
    SamVisionConfig,
)
from transformers.models.sam.modeling_sam import (
    SamAttention,
    SamMaskDecoder,
    SamPromptEncoder,
    SamVisionAttention,
    SamVisionEncoder,
)

from benchmark.leaf import Initial, Leaf, Leaves
from benchmark.method import Mix
from benchmark.models import lora, peft, tiny_vit
from benchmark.models.attention import attend
from benchmark.models.composed import Adapters, Composed
from benchmark.models.dense import Dense
from benchmark.models.heads import Upscaler, save_heads, weighted
from benchmark.models.network import LEAVES, Setup, covered
from benchmark.settings import InitialisationSettings, LoraSettings

PATCH = 16
"""Side of the square of pixels that one place of the grid stands for."""
PIXELS = {"sam": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)), "published": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))}
"""Mean and standard deviation of channels, by `normalisation`: as SAM was pretrained, or none, as FLAP-SAM's code."""
_HEAD = ("mask_tokens.", "output_hypernetworks_mlps.", "upscale_conv1.", "upscale_layer_norm.", "upscale_conv2.")
"""What names begin with in the mask decoder that belong to the head."""
_FRESH = ("iou_prediction_head.",)
"""Likewise, what is made anew for other classes."""
_DEAD = (
    "prompt_encoder.mask_embed.",
    "prompt_encoder.point_embed.",
    "prompt_encoder.not_a_point_embed.",
    "mask_decoder.iou_prediction_head.",
)
"""What no image without prompts reaches, though FLAP-SAM's rows train and send it."""
BEGUN = {
    f"{own}.{kind}": f"{theirs}.{kind}"
    for own, theirs in (("up0", "upscale_conv1"), ("norm0", "upscale_layer_norm"), ("up1", "upscale_conv2"))
    for kind in ("weight", "bias")
}
"""The head's leaves that begin as pretrained, as in FLAP-SAM's code, and their names in the mask decoder."""


@dataclass(frozen=True)
class Variant:
    """A SAM that a configuration can name.

    Attributes:
        tiny_vit: Whether its encoder is TinyViT-5M.
        hub: Repository and revision of its pretrained weights; none where there are no official ones.
        arguments: Its sizes, as `backbone.arguments` may change them.
    """

    tiny_vit: bool
    hub: tuple[str, str] | None
    arguments: Mapping[str, Any]


_DECODER = {"width": 256, "decoder_mlp": 2048, "decoder_heads": 8, "normalisation": "sam"}
_TRANSFORMER = {"encoder_width": 768, "encoder_depth": 12, "encoder_heads": 12, "window": 14, "global_every": 3}
_SMALL = {"encoder_width": 96, "encoder_depth": 4, "encoder_heads": 3, "window": 7, "global_every": 2}
VARIANTS = {
    "sam_vit_base": Variant(
        False,
        ("facebook/sam-vit-base", "70c1a07f894ebb5b307fd9eaaee97b9dfc16068f"),
        {**_TRANSFORMER, **_DECODER},
    ),
    "mobile_sam": Variant(True, None, _DECODER),
    "sam_tiny": Variant(False, None, {**_SMALL, **_DECODER, "width": 64, "decoder_mlp": 256, "decoder_heads": 4}),
}


class Body(nn.Module):
    """Encoder and two-way decoder, without what predicts.

    Attributes:
        mean: Of the pixels it was pretrained on, by channel, shape (3, 1, 1).
        std: Likewise, their standard deviation.
        positions: The fixed code of the grid's places, (1, width, side, side).

    Args:
        encoder: Makes (n, width, side, side) of images (n, 3, S, S).
        prompts: Its embedding of no mask is added to the grid; it also holds what no image without prompts reads.
        decoder: The transformer, the token of the mask's quality and what would predict it.
        normalisation: Of the pixels; see `PIXELS`.
    """

    mean: Tensor
    std: Tensor
    positions: Tensor

    def __init__(
        self, encoder: nn.Module, prompts: SamPromptEncoder, decoder: SamMaskDecoder, normalisation: str
    ) -> None:
        super().__init__()
        self.vision_encoder, self.prompt_encoder, self.mask_decoder = encoder, prompts, decoder
        decoder.config._attn_implementation = "lanes"
        for name in {own.partition(".")[0] for own in _HEAD}:
            delattr(decoder, name)
        for name, values in zip(("mean", "std"), PIXELS[normalisation], strict=True):
            self.register_buffer(name, torch.tensor(values).view(3, 1, 1))
        code = prompts.shared_embedding.positional_embedding.detach()
        self.register_buffer("positions", _positions(code, prompts.image_embedding_size[0]))
        del prompts.shared_embedding

    def encode(self, images: Tensor) -> Tensor:
        """Images (n, 3, S, S) in [0, 1] to the grid (n, width, side, side), of the weights' dtype."""
        pixels = (images - self.mean) / self.std
        grid: Tensor = self.vision_encoder(pixels.to(self.mask_decoder.iou_token.weight.dtype))
        return grid

    def forward(self, images: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Run the network.

        Args:
            images: Shape (n, 3, S, S), values in [0, 1]; or their grid (n, width, side, side).
            tokens: Of H heads, shape (H, C, width).

        Returns:
            What the tokens have become (H, n, C, width), and the grid (H, n, side, side, width).
        """
        # As `SamMaskDecoder.forward` does it, without its choice among masks, its prompts, and its forecast of quality.
        encoded = images.shape[-2:] == self.positions.shape[-2:]
        grid = images.to(self.mask_decoder.iou_token.weight.dtype) if encoded else self.encode(images)
        seen = grid + self.prompt_encoder.no_mask_embed.weight.view(1, -1, 1, 1)
        read: list[Tensor] = []
        found: list[Tensor] = []
        for own in tokens:
            queries = torch.cat([self.mask_decoder.iou_token.weight, own.to(grid.dtype)])
            queries, keys = self.mask_decoder.transformer(
                point_embeddings=queries.expand(len(images), 1, -1, -1),
                image_embeddings=seen,
                image_positional_embeddings=self.positions.to(grid.dtype).expand(len(images), -1, -1, -1),
                attention_similarity=None,
            )
            read.append(queries[:, 0, 1:])
            found.append(keys[:, 0].unflatten(1, grid.shape[2:]))
        return torch.stack(read).to(images.dtype), torch.stack(found).to(images.dtype)


class VisionEncoder(SamVisionEncoder):
    """SAM's vision transformer, whose forward pass is plain: without the library's recording of its layers.

    Args:
        config: Its sizes.
    """

    def __init__(self, config: SamVisionConfig) -> None:
        super().__init__(config)
        layers: Any = self.layers
        for layer in layers:
            layer.attn = VisionAttention(layer.attn)

    def forward(self, pixels: Tensor) -> Tensor:
        """Pixels (n, 3, S, S) to the grid (n, width, side, side)."""
        hidden = self.patch_embed(pixels) + self.pos_embed
        for layer in self.layers:
            hidden = layer(hidden)
        grid: Tensor = self.neck(hidden)
        return grid


class VisionAttention(nn.Module):
    """Attention within a window, or the whole grid, with a learned code of vertical and of horizontal distances.

    It is the library's in products that lanes share, and in the precision of its weights: the library's own computes
    its softmax in float32, or with a kernel that `torch.vmap` cannot follow to the code's gradient.

    Args:
        attention: The library's, whose weights are shared.
    """

    def __init__(self, attention: SamVisionAttention) -> None:
        super().__init__()
        self.heads, self.scale = attention.num_attention_heads, attention.scale
        self.qkv, self.proj = attention.qkv, attention.proj
        self.rel_pos_h, self.rel_pos_w = attention.rel_pos_h, attention.rel_pos_w

    def forward(self, hidden_states: Tensor) -> tuple[Tensor, None]:
        """Windows (n, side, side, dim) to the same; and no attention, which the library's layer does not read."""
        n, side, _, _ = hidden_states.shape
        qkv = self.qkv(hidden_states).reshape(n, side**2, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        q, k, v = qkv.flatten(1, 2).unbind(0)  # (n heads, places, d)
        places = torch.arange(side, device=q.device)
        apart = places[:, None] - places[None] + side - 1
        own = q.unflatten(1, (side, side))
        down = torch.einsum("bhwc,hkc->bhwk", own, self.rel_pos_h[apart])
        across = torch.einsum("bhwc,wkc->bhwk", own, self.rel_pos_w[apart])
        codes = down[:, :, :, :, None] + across[:, :, :, None, :]
        weights = ((q * self.scale) @ k.transpose(-2, -1) + codes.reshape(-1, side**2, side**2)).softmax(-1)
        seen = (weights @ v).reshape(n, self.heads, side, side, -1).permute(0, 2, 3, 1, 4).flatten(3)
        return self.proj(seen), None


def _attended(_: nn.Module, q: Tensor, k: Tensor, v: Tensor, *__: Any, **___: Any) -> tuple[Tensor, None]:
    """The decoder's attention as the library calls it: (n, heads, tokens, d) to (n, tokens, heads, d)."""
    return attend(q, k, v).transpose(1, 2), None


AttentionInterface.register("lanes", _attended)


@dataclass(frozen=True)
class MaskHead:
    """A token for each class, what reads the tokens, and what widens the grid: all that SAM's prediction depends on.

    The logit of a class in a pixel is the product of two vectors: what a perceptron of three layers (the class's own)
    makes of the class's token, and what the upscaler makes of the pixel (arXiv 2304.02643, appendix A).

    Attributes:
        width: Of tokens and grid.
        classes: Numbers that the task predicts of each pixel.
        side: Side of the grid.
    """

    width: int
    classes: int
    side: int

    @property
    def upscaler(self) -> Upscaler:
        """Four stages, each twice as wide: from the grid to the pixels."""
        return Upscaler(self.width, self.classes, self.side, [2, 2, 2, 2], first=self.width // 4, least=1, eps=1e-6)

    @property
    def inputs(self) -> int:
        """The grid's."""
        return self.width

    def leaves(self, name: str, *, trainable: bool = True) -> list[Leaf]:
        """The leaves of a head of this name."""
        wide, last = self.width, self.upscaler.channels[-1]
        spread = Initial("uniform", 1 / math.sqrt(wide))
        fresh: list[tuple[str, tuple[int, ...], Initial]] = [("tokens", (self.classes, wide), Initial("normal", 1.0))]
        for layer, outputs in enumerate((wide, wide, last)):
            fresh += [
                (f"mlp{layer}.weight", (self.classes, outputs, wide), spread),
                (f"mlp{layer}.bias", (self.classes, outputs), spread),
            ]
        found = [Leaf(f"{name}/{own}", name, "head", shape, begins, trainable) for own, shape, begins in fresh]
        for leaf in self.upscaler.stages(name, trainable=trainable):
            site = BEGUN.get(leaf.name.removeprefix(f"{name}/"), "")
            found.append(replace(leaf, initial=Initial("pretrained"), site=site) if site else leaf)
        return found

    def __call__(self, params: Leaves, name: str, seen: tuple[Tensor, Tensor]) -> Tensor:
        """Tokens (n, C, width) and grid (n, side, side, width) to logits (n, C, S, S), by the head of this name."""
        read, grid = seen
        for layer in range(3):
            weight, bias = params[f"{name}/mlp{layer}.weight"], params[f"{name}/mlp{layer}.bias"]
            read = torch.einsum("nci,coi->nco", read, weight) + bias
            read = F.relu(read) if layer < 2 else read
        upscaler = self.upscaler
        return upscaler.placed(read @ upscaler.widened(params, name, grid).transpose(1, 2))


class Sam(Composed):
    """SAM without prompts, adapted in the q and v of every attention of encoder and decoder.

    Settings (`backbone.arguments`): `normalisation`, `sam` or `published`; the sizes `width` (of grid and tokens),
    `decoder_mlp` and `decoder_heads`; and, where the encoder is no TinyViT, `encoder_width`, `encoder_depth`,
    `encoder_heads`, `window` and `global_every`: every so many blocks, one looks at the whole grid.

    Args:
        body: Encoder and decoder; changed in place.
        head: Its upscaler's first layers may begin as pretrained.
        pretrained: The tensors that leaves of the head begin with, by their names in the mask decoder.
        settings: Which projections are adapted, and how.
        initialisation: What leaves begin with that were not pretrained.
    """

    name = "sam"
    roles = ("lora", "head", "attention", "norm", "prompt", "decoder", "encoder", "backbone", "all")
    predicts = ("pixels",)

    def __init__(
        self,
        body: Body,
        head: MaskHead,
        pretrained: Mapping[str, Tensor],
        settings: LoraSettings,
        initialisation: InitialisationSettings | None = None,
    ) -> None:
        self.body, self._head = body, pretrained
        adaptation = lora.Adaptation.of(settings)
        sites = lora.replace(body, _projections(body, settings.targets), adaptation)
        words: dict[str, Callable[[str], bool]] = {
            "encoder": lambda name: name.startswith("vision_encoder."),
            "decoder": lambda name: name.startswith("mask_decoder."),
        }
        dense = Dense(body, _role, words, kept=[adaptation], dead=_DEAD)
        super().__init__(dense, head, initialisation or InitialisationSettings(), Adapters(settings, adaptation, sites))

    @classmethod
    def load(cls, setup: Setup) -> Self:
        """The network with its weights; tables that depend on the image's size are resampled to it."""
        covered(setup.image_size, PATCH, "which the grid of SAM needs")
        body, head = build(setup.name, setup.arguments, setup.task.outputs, setup.image_size)
        pretrained: Mapping[str, Tensor] = {}
        if setup.weights is not None:
            try:
                pretrained = fill(body, load_file(setup.weights))
            except ValueError as error:
                about = f"{setup.name} {dict(setup.arguments)}"
                raise ValueError(f"{setup.weights}: not the weights of {about}: {error}") from None
        return cls(body, head, pretrained, setup.lora, setup.initialisation)

    def on(self, device: torch.device | str, precision: str) -> Self:
        """Moved to a device, its weights in a precision; pixels are normalised in that of images and leaves."""
        super().on(device, precision)
        dtype = getattr(torch, precision)
        for part in (self.body.vision_encoder, self.body.prompt_encoder, self.body.mask_decoder):
            part.to(dtype)
        self._head = {name: tensor.to(device, LEAVES[precision]) for name, tensor in self._head.items()}
        return self

    def encodes(self, leaves: Collection[Leaf]) -> bool:
        """Where the image encoder has no leaf."""
        return not any(leaf.site.startswith("vision_encoder.") for leaf in leaves)

    def encode(self, images: Tensor, leaves: Collection[Leaf]) -> Tensor:
        """The grid (n, width, side, side), by the encoder."""
        with self._adaptation.using({}, {}, trace=False):
            return self.body.encode(images).to(images.dtype)

    def inputs(self, images: Tensor, params: Leaves, heads: Mix) -> Sequence[Tensor]:
        """The images (n, 3, S, S) or their grid, and the tokens of H heads (H, C, width)."""
        return images, torch.stack([params[f"{name}/tokens"] for name in heads])

    def features(self, made: tuple[Tensor, Tensor]) -> Tensor:
        """The mean (n, width) of the grid that the first head sees."""
        return made[1][0].mean((1, 2))

    def predicted(self, made: tuple[Tensor, Tensor], params: Leaves, heads: Mix) -> Tensor:
        """The logits (n, C, S, S)."""
        of_head = dict(zip(heads, zip(*made, strict=True), strict=True))
        return weighted(lambda name: self.head(params, name, of_head[name]), heads)

    def pretrained(self, leaf: Leaf) -> Tensor:
        """The network's own weight, or that of its upscaler."""
        return self._head[leaf.site] if leaf.role == "head" else super().pretrained(leaf)

    def export(self, folder: Path, params: Leaves, heads: Mix, adapters: Mix) -> None:
        """Adapters in the format of Hugging Face PEFT, for `transformers.SamModel`; heads beside them."""
        weights = self._dense.deployed(params, adapters)
        peft.save(folder, self.layers, self.scale, params, {}, adapters, weights)
        save_heads(folder, params, heads)


def build(name: str, arguments: Mapping[str, Any], classes: int, image_size: int) -> tuple[Body, MaskHead]:
    """A SAM for images of a size and so many classes, its weights at random.

    Args:
        name: A name of `VARIANTS`.
        arguments: See `Sam`.
        classes: Numbers that the task predicts of each pixel.
        image_size: Side of the square images, in pixels.

    Returns:
        Encoder and decoder, and the head.

    Raises:
        ValueError: There is no such variant, or it has no such argument.
    """
    variant, chosen = named(name, arguments)
    try:
        config: Any = configured(chosen, classes, image_size)
        encoder = (
            tiny_vit.Encoder(chosen["width"], image_size) if variant.tiny_vit else VisionEncoder(config.vision_config)
        )
        decoder = SamMaskDecoder(config.mask_decoder_config)
        body = Body(encoder, SamPromptEncoder(config), decoder, chosen["normalisation"])
    except (TypeError, ValueError) as error:
        raise ValueError(f"backbone.arguments: no SAM can be built of {dict(arguments)}: {error}") from None
    return body, MaskHead(chosen["width"], classes, image_size // PATCH)


def named(name: str, arguments: Mapping[str, Any]) -> tuple[Variant, dict[str, Any]]:
    """A variant by its name, and its arguments with those that a configuration changes.

    Args:
        name: A name of `VARIANTS`.
        arguments: What the configuration changes.

    Returns:
        Both.

    Raises:
        ValueError: There is no such variant, or it has no such argument.
    """
    if name not in VARIANTS:
        raise ValueError(f"backbone.name: there is no SAM {name!r}; allowed: {', '.join(VARIANTS)}")
    variant = VARIANTS[name]
    if unknown := sorted(set(arguments) - set(variant.arguments)):
        raise ValueError(
            f"backbone.arguments: {name} has no {', '.join(unknown)}; allowed: {', '.join(variant.arguments)}"
        )
    chosen = {**variant.arguments, **arguments}
    if chosen["normalisation"] not in PIXELS:
        raise ValueError(
            f"backbone.arguments: normalisation is {chosen['normalisation']!r}; allowed: {', '.join(PIXELS)}"
        )
    return variant, chosen


def configured(sizes: Mapping[str, Any], classes: int, image_size: int) -> SamConfig:
    """The configuration that transformers builds a SAM of.

    Args:
        sizes: All arguments of a variant; an encoder's that has none of its own is the library's default.
        classes: A token for each.
        image_size: Side of the images, in pixels.

    Returns:
        Of a model without weights.
    """
    width, every = sizes["width"], sizes.get("global_every", 3)
    vision = {
        theirs: sizes[ours]
        for ours, theirs in (
            ("encoder_width", "hidden_size"),
            ("encoder_depth", "num_hidden_layers"),
            ("encoder_heads", "num_attention_heads"),
            ("window", "window_size"),
        )
        if ours in sizes
    }
    whole = list(range(every - 1, vision.get("num_hidden_layers", 12), every))
    return SamConfig(
        vision_config=SamVisionConfig(
            image_size=image_size, output_channels=width, num_pos_feats=width // 2, global_attn_indexes=whole, **vision
        ),
        prompt_encoder_config=SamPromptEncoderConfig(image_size=image_size, hidden_size=width),
        mask_decoder_config=SamMaskDecoderConfig(
            num_multimask_outputs=classes - 1,
            hidden_size=width,
            iou_head_hidden_dim=width,
            mlp_dim=sizes["decoder_mlp"],
            num_attention_heads=sizes["decoder_heads"],
            layer_norm_eps=1e-5,  # torch's default, which the original decoder has; the library's is 1e-6.
        ),
    )


def fill(body: Body, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Give encoder and decoder their weights; tables that depend on the image's size are resampled.

    Args:
        body: Of any size of images.
        tensors: By their names in `transformers.SamModel`, of any size of images. What predicts a mask's quality is
            made anew for other classes and never read: it becomes zero.

    Returns:
        What the head's leaves may begin with, by name in the mask decoder.

    Raises:
        ValueError: A tensor is missing, is too much, or has another shape.
    """
    given = dict(tensors)
    code = given.pop(CODE, None)
    if code is None:
        raise ValueError(f"there is no {CODE}")
    given.pop("prompt_encoder.shared_embedding.positional_embedding", None)  # The same tensor once more.
    decoder = "mask_decoder."
    head = {n.removeprefix(decoder): given.pop(n) for n in list(given) if n.startswith(decoder) and _of_head(n)}
    state = {name: tensor for name, tensor in body.state_dict().items() if name not in ("mean", "std", "positions")}
    fresh = {name for name in state if name.startswith(tuple(decoder + own for own in _FRESH))}
    given = {name: tensor for name, tensor in given.items() if not name.startswith(tuple(decoder + o for o in _FRESH))}
    faults = [f"there is no {name}" for name in state if name not in given and name not in fresh]
    faults += [f"{name} is too much" for name in given if name not in state]
    faults += [f"there is no {decoder}{name}" for name in BEGUN.values() if name not in head]
    if faults:
        raise ValueError("; ".join(faults[:3]) + (f"; and {len(faults) - 3} more" if len(faults) > 3 else ""))
    width, side = body.positions.shape[1], body.positions.shape[-1]
    begins = {leaf.site: leaf.shape for leaf in MaskHead(width, 1, side).leaves("head") if leaf.site}
    _checked(CODE, code, (2, width // 2))
    for name, shape in begins.items():
        _checked(f"{decoder}{name}", head[name], shape)
    tables, filled = _tables(body), {name: torch.zeros_like(state[name]) for name in fresh}
    for name, tensor in given.items():
        filled[name] = _resampled(tensor, state[name].shape) if name in tables else tensor
        _checked(name, filled[name], state[name].shape)
    body.load_state_dict(filled, strict=False)
    body.positions = _positions(code, side)
    return {name: head[name] for name in begins}


CODE = "shared_image_embedding.positional_embedding"


def _of_head(name: str) -> bool:
    return name.startswith(tuple(f"mask_decoder.{own}" for own in _HEAD))


def _tables(body: Body) -> set[str]:
    """Names of the tables that depend on the image's size: of positions, and of distances in blocks without windows."""
    layers: Any = getattr(body.vision_encoder, "layers", ())
    whole = [number for number, layer in enumerate(layers) if not getattr(layer, "window_size", 1)]
    distances = {f"vision_encoder.layers.{number}.attn.rel_pos_{way}" for number in whole for way in "hw"}
    return {"vision_encoder.pos_embed", *distances}


def _resampled(table: Tensor, shape: torch.Size) -> Tensor:
    """A table of a checkpoint in the shape that it has for images of this size; itself where it is of another kind."""
    grid = table.dim() == 4
    if table.shape == shape or table.dim() != len(shape) or table.shape[-1] != shape[-1] or (grid and len(table) != 1):
        return table
    if grid:
        places = table.permute(0, 3, 1, 2).float()
        return F.interpolate(places, tuple(shape[1:3]), mode="bilinear", align_corners=False).permute(0, 2, 3, 1)
    return F.interpolate(table.T[None].float(), shape[0], mode="linear", align_corners=False)[0].T


def _checked(name: str, tensor: Tensor, shape: Sequence[int]) -> None:
    """A ValueError says that a checkpoint's tensor has not the shape that is expected of it."""
    if tuple(tensor.shape) != tuple(shape):
        raise ValueError(f"{name} has the shape {tuple(tensor.shape)}; expected {tuple(shape)}")


def _positions(code: Tensor, side: int) -> Tensor:
    """SAM's fixed code (2, width / 2) of the centres of a grid's places, (1, width, side, side)."""
    centres = (torch.arange(side, dtype=torch.float64, device=code.device) + 0.5) / side
    rows, columns = torch.meshgrid(centres, centres, indexing="ij")
    angles = 2 * math.pi * ((2 * torch.stack([columns, rows], -1) - 1) @ code.double())
    return torch.cat([angles.sin(), angles.cos()], -1).permute(2, 0, 1)[None]


def _projections(body: Body, targets: Sequence[str]) -> dict[str, list[lora.Site]]:
    """The sites of every layer that is adapted, by the layer's path, in the order of the forward pass."""
    if unknown := sorted(set(targets) - set("qkv")):
        raise ValueError(f"lora.targets: SAM has no {', '.join(unknown)}; allowed: q, k, v")
    found: dict[str, list[lora.Site]] = {}
    for path, layer in body.named_modules():
        for third, target in enumerate("qkv"):
            if target not in targets or not isinstance(layer, VisionAttention | SamAttention | tiny_vit.Attention):
                continue
            fused, own = isinstance(layer, VisionAttention), f"{path}.{target}"
            at = f"{path}.qkv" if fused else f"{own}_proj" if isinstance(layer, SamAttention) else own
            linear: Any = body.get_submodule(at)
            rows = linear.out_features // 3 if fused else linear.out_features
            found.setdefault(at, []).append(lora.Site(own, third * rows if fused else 0, rows, linear.in_features))
    return found


def _role(name: str) -> str:
    """The role of a weight of encoder or decoder."""
    parts = name.split(".")
    if parts[0] == "prompt_encoder":
        return "prompt"
    if any("norm" in part or part == "bn" for part in parts):
        return "norm"
    if any(part == "attn" or "_attn" in part for part in parts):
        return "attention"
    return "decoder" if parts[0] == "mask_decoder" else "backbone"
