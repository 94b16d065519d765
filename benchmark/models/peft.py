"""Deployed leaves in the format of Hugging Face PEFT.

A client's adapters become one PEFT adapter on timm's unchanged model: several adapters, and those on thirds of a fused
`qkv`, are one adapter of a higher rank. The weight of each adapter in the method's mix is multiplied into its B, and
that of each head into it; a dense offset of the frozen weight is an adapter of full rank whose A is the identity. Of
clients without adapters there is one that adds zero. So

    model = timm.create_model(name, img_size=size, num_classes=classes, ...)
    model.load_state_dict(safetensors.torch.load_file("adapters/1/weights.safetensors"), strict=False)
    PeftModel.from_pretrained(model, "adapters/1")

predicts what the client predicts (but for methods whose mix depends on the image: there it is the mix of `Method.mix`).
The second line is for clients that trained weights of the network itself; others have no such file. A head that is no
linear layer stands beside, in `head.safetensors` (`benchmark.models.heads`).
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save as serialised
from torch import Tensor

from benchmark.files import atomic, write_json
from benchmark.leaf import Leaves, lora_name, offset_name
from benchmark.method import Mix
from benchmark.models.lora import AdaptedLinear


def save(
    folder: Path,
    layers: Mapping[str, AdaptedLinear],
    scale: float,
    params: Leaves,
    heads: Mix,
    adapters: Mix,
    weights: Leaves,
) -> None:
    """Write the leaves that one client predicts with.

    The folder receives `adapter_config.json`, `adapter_model.safetensors` and, where there are any,
    `weights.safetensors`: the `weights` of the network itself that were trained. Layers and weights have their names in
    timm's model. `scale` is alpha / rank; heads and adapters have these weights in the mix; heads that are no
    linear layers are not named, and are written beside.
    """
    tensors: dict[str, Tensor] = {}
    ranks: dict[str, int] = {}
    for path, layer in layers.items():
        A, B = _factors(layer, params, adapters)
        if not len(A) and (ranks or path != list(layers)[-1]):
            continue
        if not len(A):  # PEFT loads no adapter that adapts nothing: where heads alone are trained, this one adds zero.
            A, B = A.new_zeros(1, A.shape[1]), B.new_zeros(len(B), 1)
        ranks[path] = len(A)
        tensors[f"base_model.model.{path}.lora_A.weight"] = A
        tensors[f"base_model.model.{path}.lora_B.weight"] = B
    for name in ("weight", "bias") if heads else ():
        weighted = [weight * params[f"{head}/{name}"] for head, weight in heads.items()]
        tensors[f"base_model.model.head.{name}"] = torch.stack(weighted).sum(0)
    largest = max(ranks.values(), default=1)
    # Written by hand: to import PEFT takes seconds. What is not named has PEFT's default.
    write_json(
        folder / "adapter_config.json",
        {
            "peft_type": "LORA",
            "r": largest,
            "lora_alpha": scale * largest,
            "rank_pattern": ranks,
            "alpha_pattern": {path: scale * rank for path, rank in ranks.items()},
            "target_modules": list(ranks),
            "modules_to_save": ["head"] if heads else None,
            "inference_mode": True,
        },
    )
    _write(folder / "adapter_model.safetensors", tensors)
    if weights:
        _write(folder / "weights.safetensors", weights)


def _factors(layer: AdaptedLinear, params: Leaves, adapters: Mix) -> tuple[Tensor, Tensor]:
    """A (rank, in) and B (out, rank) of all adapters and offsets of a layer together; the rank may be 0."""
    pairs = [
        (
            params[lora_name(adapter, site.name, "A")],
            weight * params[lora_name(adapter, site.name, "B")],
            site,
        )
        for adapter, weight in adapters.items()
        for site in layer.sites
        if lora_name(adapter, site.name, "A") in params
    ]
    dense = [(params[offset_name(site.name)], site) for site in layer.sites if offset_name(site.name) in params]
    inputs, outputs = layer.frozen.in_features, layer.frozen.out_features
    As, Bs = [torch.empty(0, inputs)], [torch.empty(outputs, 0)]
    if pairs:
        As, Bs = [A for A, _, _ in pairs], [layer.in_rows(B, site) for _, B, site in pairs]
    if dense:
        offset = torch.stack([layer.in_rows(own, site) for own, site in dense]).sum(0)
        As.append(torch.eye(inputs, dtype=offset.dtype, device=offset.device))
        Bs.append(offset)
    return torch.cat(As), torch.cat(Bs, 1)


def _write(path: Path, tensors: Leaves) -> None:
    with atomic(path) as temporary:
        found = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        temporary.write_bytes(serialised(found, {"format": "pt"}))
