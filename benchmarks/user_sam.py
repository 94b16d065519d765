"""A client of SAM as people write it: `transformers.SamModel` in Hugging Face PEFT, with FLAP-SAM's head.

The encoder, the decoder and the head's first stages are the library's. Of MobileSAM's encoder, which the library has
not, the layers are timm's, with q, k and v apart, as PEFT needs them.
"""

import math
import re
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from timm.models.tiny_vit import Attention, ConvNorm
from torch import Tensor, nn
from transformers import SamModel
from transformers.models.sam.modeling_sam import SamFeedForward, SamLayerNorm, SamVisionAttention

from benchmark.draws import initial
from benchmark.leaf import Initial, Leaf
from benchmark.models import sam, tiny_vit
from benchmarks.workload import Workload

HEAD = ("mask_tokens", "output_hypernetworks_mlps", "upscale_conv1", "upscale_layer_norm", "upscale_conv2")
"""The decoder's modules that belong to the head."""
STAGES = {
    "upscale_conv2.1": "norm1",
    "upscale_conv2.3": "up2",
    "upscale_conv2.4": "norm2",
    "upscale_conv2.6": "up3",
}
"""What FLAP-SAM adds to the head, and the engine's names of it; the stages before begin as pretrained."""
LAYERS = {"proj_in": "mlp0", "layers.0": "mlp1", "proj_out": "mlp2"}
"""Likewise of what reads a class's token."""


class Apart(nn.Module):
    """A fused layer as three, so that PEFT can adapt each of them.

    Args:
        fused: Its rows are those of q, of k and of v.
        heads: In how many parts of which each has rows of q, of k and of v.
    """

    def __init__(self, fused: nn.Linear, heads: int = 1) -> None:
        super().__init__()
        self.heads = heads
        for name, own in tiny_vit.unfused(fused.weight, fused.bias, heads).items():
            layer = nn.Linear(fused.in_features, len(own["weight"]))
            layer.load_state_dict(own)
            setattr(self, name, layer)

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) to (..., 3 out)."""
        parts = [own(x).unflatten(-1, (self.heads, -1)) for own in (self.q, self.k, self.v)]
        return torch.cat(parts, -1).flatten(-2)


class Encoder(nn.Module):
    """MobileSAM's encoder: timm's blocks, as they pad their windows, and SAM's neck; it returns what SAM's does."""

    def __init__(self, width: int, image_size: int) -> None:
        super().__init__()
        vit: Any = tiny_vit.original({})
        for path, layer in list(vit.named_modules()):
            if isinstance(layer, ConvNorm):
                parent, _, own = path.rpartition(".")
                setattr(vit.get_submodule(parent), own, layer.fuse())
            elif isinstance(layer, Attention):
                layer.qkv = Apart(layer.qkv, layer.num_heads)
        self.patch_embed, self.stages = vit.patch_embed, vit.stages
        self.neck = tiny_vit.Encoder(width, image_size).neck

    def forward(self, pixels: Tensor) -> tuple[Tensor]:
        """Pixels (n, 3, S, S) to the grid (n, width, S / 16, S / 16)."""
        return (self.neck(self.stages(self.patch_embed(pixels))),)


class Outliner(nn.Module):
    """SAM without prompts, whose head widens the grid four times, to the size of the image (arXiv 2407.21739)."""

    def __init__(self, workload: Workload) -> None:
        super().__init__()
        variant, sizes = sam.named(workload.backbone, {})
        width = sizes["width"]
        self.sam = SamModel(sam.configured(sizes, workload.classes, workload.image_size))
        if variant.tiny_vit:
            self.sam.vision_encoder = Encoder(width, workload.image_size)
        state = load_file(workload.root / "backbone" / "model.safetensors")
        if variant.tiny_vit:
            state = {re.sub(r"attn\.([qkv])\.", r"attn.qkv.\1.", name): tensor for name, tensor in state.items()}
        fresh = self.sam.load_state_dict(state, strict=False)
        assert not fresh.unexpected_keys, fresh.unexpected_keys
        for layer in self.sam.modules():
            if isinstance(layer, SamVisionAttention):
                layer.qkv = Apart(layer.qkv)
        decoder, channels = self.sam.mask_decoder, [width // 8, width // 16, width // 32]
        stages: list[nn.Module] = [decoder.upscale_conv2]
        for inputs, outputs in pairwise(channels):
            norm = SamLayerNorm(inputs, data_format="channels_first")
            stages += [norm, nn.GELU(), nn.ConvTranspose2d(inputs, outputs, 2, 2)]
        decoder.upscale_conv2 = nn.Sequential(*stages)
        own = [SamFeedForward(width, width, channels[-1], 3) for _ in range(workload.classes)]
        decoder.output_hypernetworks_mlps = nn.ModuleList(own)

    def forward(self, pixels: Tensor) -> Tensor:
        """Normalised pixels (n, 3, S, S) to logits (n, classes, S, S): the library's decoder, for all of its masks."""
        decoder, n = self.sam.mask_decoder, len(pixels)
        grid = self.sam.vision_encoder(pixels)[0]
        tokens = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])
        read, keys = decoder.transformer(
            point_embeddings=tokens.expand(n, 1, -1, -1),
            image_embeddings=grid + self.sam.prompt_encoder.no_mask_embed.weight.reshape(1, -1, 1, 1),
            image_positional_embeddings=self.sam.get_image_wide_positional_embeddings().expand(n, -1, -1, -1),
            attention_similarity=None,
        )
        wide = decoder.upscale_conv1(keys[:, 0].transpose(1, 2).reshape(grid.shape))
        wide = F.gelu(decoder.upscale_conv2(F.gelu(decoder.upscale_layer_norm(wide))))
        own = [mlp(read[:, 0, 1 + c]) for c, mlp in enumerate(decoder.output_hypernetworks_mlps)]
        return (torch.stack(own, 1) @ wide.flatten(2)).unflatten(2, wide.shape[2:])


def build(workload: Workload) -> tuple[nn.Module, Tensor, Tensor]:
    """The network with what the workload's method trains, and the mean and the deviation (3, 1, 1) of its pixels."""
    model: Any = Outliner(workload).requires_grad_(False)
    decoder = model.sam.mask_decoder
    if workload.method == "flap_sam":
        lora = workload.lora
        model = get_peft_model(
            model, LoraConfig(r=lora.rank, lora_alpha=lora.alpha, target_modules=r".*\.(q|v|q_proj|v_proj)")
        )
    for name in HEAD:
        getattr(decoder, name).requires_grad_(True)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in sam.PIXELS["sam"])
    return model, mean, std


def begun(workload: Workload, name: str, parameter: nn.Parameter, seed: int) -> Tensor:
    """What a parameter begins with: drawn as the engine draws the leaf that it is, or is a part of, or as loaded."""
    _, _, own = name.rpartition("mask_decoder.")
    if not own.startswith(HEAD):
        site, _, factor = name.removeprefix("base_model.model.").removeprefix("sam.").partition(".lora_")
        site, shape = site.replace(".qkv.", ".").removesuffix("_proj"), tuple(parameter.shape)
        begins = Initial("uniform", 1 / math.sqrt(shape[1])) if factor[0] == "A" else Initial()
        return initial(Leaf(f"global/{site}.{factor[0]}", "global", "lora", shape, begins), seed, torch.float32)
    path, _, kind = own.rpartition(".")
    module, _, rest = path.partition(".")
    if module == "mask_tokens":
        leaf, part = "tokens", ...
    elif module == "output_hypernetworks_mlps":
        number, _, layer = rest.partition(".")
        leaf, part = f"{LAYERS[layer]}.{kind}", int(number)
    elif path in STAGES:
        leaf, part = f"{STAGES[path]}.{kind}", ...
    else:
        return parameter
    width = sam.named(workload.backbone, {})[1]["width"]
    head = sam.MaskHead(width, workload.classes, workload.image_size // sam.PATCH)
    leaves = {own.name: own for own in head.leaves("head")}
    return initial(leaves[f"head/{leaf}"], seed, torch.float32)[part]
