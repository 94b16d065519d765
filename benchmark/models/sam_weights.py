"""Where SAM's weights are from: the hub, a file, or pretraining on drawn images."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import hf_hub_download
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from benchmark.errors import one_line
from benchmark.files import sha256
from benchmark.models import tiny_vit
from benchmark.models.sam import CODE, PATCH, build, fill, named
from benchmark.models.sam_pretrain import pretrain
from benchmark.settings import BackboneSettings

_ALLOWED = "`drawn`, or the path of a safetensors file"
_TWICE = "prompt_encoder.shared_embedding.positional_embedding"
"""The code of positions, which a checkpoint may hold under a second name."""


def fetch(settings: BackboneSettings) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """See `Network.fetch`; tensors have their names in `transformers.SamModel`."""
    if settings.weights == "drawn":
        tensors, told = pretrain(settings)
        return tensors, {"weights": "drawn", "training_accuracy": told}
    if settings.weights == "hub":
        path, about = _hub(settings)
    else:
        path = Path(settings.weights)
        about = {"weights": "file", "source": path.name}
    if not path.is_file():
        raise OSError(f"backbone.weights: {path} is no file; allowed: `hub`, {_ALLOWED}")
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise ValueError(
            f"{path}: not a safetensors file that can be read ({one_line(error, 200)}); copy or fetch it again"
        ) from None
    try:
        tensors = _named(tensors, settings)
        # Of any size: a checkpoint that does not fit is refused now, and not when training begins.
        body, _ = build(settings.name, settings.arguments, 2, 2 * PATCH)
        fill(body, tensors)
    except ValueError as error:
        raise ValueError(
            f"{path}: not a checkpoint of {settings.name}: {error}; name its file in backbone.weights, or the SAM that "
            "this one is of in backbone.name and backbone.arguments"
        ) from None
    return tensors, {**about, "source_sha256": sha256(path)}


def _hub(settings: BackboneSettings) -> tuple[Path, dict[str, Any]]:
    """The file in the hub's cache, where it is fetched to unless it is there; and where it is from."""
    hub = named(settings.name, settings.arguments)[0].hub
    if hub is None:
        raise ValueError(f"backbone.weights: no hub has {settings.name}; allowed: {_ALLOWED}")
    repository, revision = hub
    try:
        path = hf_hub_download(repository, "model.safetensors", revision=revision)
    except Exception as error:  # The hub's client raises many kinds; all of them mean: no weights.
        raise OSError(
            f"backbone.weights: could not fetch {repository} at {revision[:7]} ({type(error).__name__}: "
            f"{one_line(error, 200)}); with a network run again, or set backbone.weights to a file"
        ) from error
    return Path(path), {"weights": "hub", "source": repository, "revision": revision}


def _named(tensors: Mapping[str, Tensor], settings: BackboneSettings) -> dict[str, Tensor]:
    """Tensors by their names in `transformers.SamModel`, those of TinyViT by their names in ours."""
    found: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if name.startswith("encoder."):
            found[f"vision_{name}"] = tensor
        elif name.startswith("neck."):
            found[f"vision_encoder.{name}"] = tensor
        else:
            found[name] = tensor
    if CODE not in found and _TWICE in found:
        found[CODE] = found[_TWICE]
    found.pop(_TWICE, None)
    start = "vision_encoder."
    if named(settings.name, settings.arguments)[0].tiny_vit and f"{start}patch_embed.conv1.bn.weight" in found:
        own = {
            n.removeprefix(start): found.pop(n) for n in list(found) if n.startswith(f"{start}") and ".neck." not in n
        }
        found |= {f"{start}{name}": tensor for name, tensor in tiny_vit.rebuilt(own).items()}
    return {name: tensor.float().contiguous() for name, tensor in found.items()}
