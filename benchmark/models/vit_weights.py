"""Where a vision transformer's weights are from: timm's hub, a file, or the project's own file.

The project's own is a small transformer that `benchmark.models.pretrain` has trained on drawn images.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import timm
import torch
from huggingface_hub import try_to_load_from_cache
from timm.models import load_state_dict
from timm.models.vision_transformer import checkpoint_filter_fn
from torch import Tensor

from benchmark.errors import one_line
from benchmark.files import sha256
from benchmark.models.vit import build
from benchmark.settings import BackboneSettings

REVISIONS = {"vit_tiny_patch16_224.augreg_in21k": "be259528f793cb777bb6b1127e95d3a85d3932e8"}
"""Of timm's repositories on the hub, by the model's name: what is pushed there later changes no result."""
DRAWN = Path(__file__).with_name("drawn.safetensors")
"""The project's own weights, in float16."""
DRAWN_NAME = "vit_tiny_patch16_224"
DRAWN_ARGUMENTS = {"patch_size": 12, "embed_dim": 96, "depth": 4, "num_heads": 3}
DRAWN_SIZE = 48
"""Side in pixels of the images that it was pretrained on."""


def fetch(settings: BackboneSettings) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """See `Network.fetch`."""
    if settings.weights == "drawn":
        return _drawn(settings)
    if settings.weights == "hub":
        try:
            vit, origin = _from_hub(settings)
        except Exception as error:  # The hub's client raises many kinds; all of them mean: no weights.
            raise OSError(
                f"backbone.weights: could not fetch {settings.name} from timm's hub ({type(error).__name__}: "
                f"{one_line(error, 200)}); with a network run again, or set backbone.weights to a file"
            ) from error
        return _state(vit), {"weights": "hub", **origin}
    return _from_file(settings)


def _from_hub(settings: BackboneSettings) -> tuple[torch.nn.Module, dict[str, str]]:
    """The model with timm's weights, and their repository and revision: the one asked for, else known, else newest."""
    repository = str(timm.get_pretrained_cfg(settings.name).hf_hub_id)
    revision = settings.revision or REVISIONS.get(settings.name, "")
    overlay = {"hf_hub_id": f"{repository}@{revision}"} if revision else None
    vit = timm.create_model(
        settings.name, pretrained=True, num_classes=0, pretrained_cfg_overlay=overlay, **settings.arguments
    )
    cached = (try_to_load_from_cache(repository, file) for file in ("model.safetensors", "pytorch_model.bin"))
    newest = next((Path(path).parent.name for path in cached if isinstance(path, str)), "")
    return vit, {"source": repository, "revision": revision or newest}


def _drawn(settings: BackboneSettings) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The project's own weights, of the one transformer that they are of."""
    if (settings.name, settings.arguments) != (DRAWN_NAME, DRAWN_ARGUMENTS):
        raise ValueError(
            f"backbone.weights: `drawn` is a {DRAWN_NAME} of {DRAWN_ARGUMENTS}, not a {settings.name} of "
            f"{settings.arguments}; set `name` and `arguments` so, or name a file"
        )
    vit = build(DRAWN_NAME, DRAWN_ARGUMENTS, DRAWN_SIZE)
    vit.load_state_dict(load_state_dict(str(DRAWN), weights_only=True), strict=True)
    return _state(vit), {"weights": "drawn", "source": DRAWN.name, "source_sha256": sha256(DRAWN)}


def _from_file(settings: BackboneSettings) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """A checkpoint file of this very model; its classifier is left out, and nothing else may be missing."""
    path = Path(settings.weights)
    if not path.is_file():
        raise OSError(f"backbone.weights: {path} is no file; allowed: `hub`, `drawn`, or the path of a checkpoint")
    vit = build(settings.name, settings.arguments, timm.get_pretrained_cfg(settings.name).input_size[-1])
    try:
        state = checkpoint_filter_fn(load_state_dict(str(path), weights_only=True), vit)
    except Exception as error:  # Readers of both formats raise many kinds; all of them mean: no checkpoint.
        raise ValueError(f"{path}: not a checkpoint that can be read ({type(error).__name__}: {error})") from None
    state = {key: value for key, value in state.items() if not key.startswith(("head.", "head_dist."))}
    try:
        vit.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise ValueError(f"{path}: not a checkpoint of {settings.name}: {one_line(error, 300)}") from None
    return _state(vit), {"weights": "file", "source": path.name, "source_sha256": sha256(path)}


def _state(model: torch.nn.Module) -> dict[str, Tensor]:
    state: Mapping[str, Tensor] = model.state_dict()
    return {key: value.detach().to("cpu", torch.float32).contiguous() for key, value in state.items()}
