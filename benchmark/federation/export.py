"""Deployed adapters in the format of Hugging Face PEFT.

A client's adapters become one PEFT adapter on timm's unchanged model: several adapters, and those on thirds of a fused
`qkv`, are one adapter of a higher rank. The weight of each adapter in the method's mix is multiplied into its B, and
that of each head into it; a dense offset of the frozen weight is an adapter of full rank whose A is the identity. So

    model = timm.create_model(name, img_size=size, num_classes=classes, ...)
    PeftModel.from_pretrained(model, "adapters/1")

predicts what the client predicts (but for methods whose mix depends on the image: there it is the mix of `Method.mix`).
"""

from pathlib import Path

import torch
from safetensors.torch import save as serialised
from torch import Tensor

from benchmark.federation.model import Model
from benchmark.files import atomic, write_json
from benchmark.leaf import Leaves, lora_name, offset_name
from benchmark.models.lora import AdaptedLinear


def save(folder: Path, model: Model, params: Leaves) -> None:
    """Write one client's deployed adapters and head.

    Args:
        folder: Receives `adapter_config.json` and `adapter_model.safetensors`.
        model: What the leaves belong to.
        params: The client's deployed leaves.
    """
    heads, adapters = model.parted(model.method.mix(params))
    tensors: dict[str, Tensor] = {}
    ranks: dict[str, int] = {}
    for path, layer in model.backbone.vit.named_modules():
        if not isinstance(layer, AdaptedLinear):
            continue
        pairs = [(adapter, site) for adapter in adapters for site in layer.sites]
        A = torch.cat([params[lora_name(adapter, site.name, "A")] for adapter, site in pairs])
        B = torch.cat([adapters[a] * layer.in_rows(params[lora_name(a, site.name, "B")], site) for a, site in pairs], 1)
        if model.method.offset:
            dense = [layer.in_rows(params[offset_name(site.name)], site) for site in layer.sites]
            A = torch.cat([A, torch.eye(A.shape[1], dtype=A.dtype, device=A.device)])
            B = torch.cat([B, torch.stack(dense).sum(0)], 1)
        ranks[path] = A.shape[0]
        tensors[f"base_model.model.{path}.lora_A.weight"] = A
        tensors[f"base_model.model.{path}.lora_B.weight"] = B
    for name in ("weight", "bias"):
        weighted = [weight * params[f"{head}/{name}"] for head, weight in heads.items()]
        tensors[f"base_model.model.head.{name}"] = torch.stack(weighted).sum(0)
    scale = model.backbone.adaptation.scale
    # Written by hand: to import PEFT takes seconds. What is not named has PEFT's default.
    write_json(
        folder / "adapter_config.json",
        {
            "peft_type": "LORA",
            "r": max(ranks.values()),
            "lora_alpha": scale * max(ranks.values()),
            "rank_pattern": ranks,
            "alpha_pattern": {path: scale * rank for path, rank in ranks.items()},
            "target_modules": list(ranks),
            "modules_to_save": ["head"],
            "inference_mode": True,
        },
    )
    with atomic(folder / "adapter_model.safetensors") as path:
        found = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        path.write_bytes(serialised(found, {"format": "pt"}))
