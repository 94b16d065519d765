"""Job: the backbone's pretrained weights as one file, from timm's hub, a file, or the drawn source domain.

    python -m benchmark.models.fetch --settings JSON --output DIR

writes `DIR/model.safetensors` (every weight of the backbone, no head) and `DIR/backbone.json` (where it is from).
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import timm
import torch
from safetensors.torch import save_file
from timm.models import load_state_dict
from timm.models.vision_transformer import checkpoint_filter_fn
from torch import Tensor

from benchmark.config import BackboneSettings
from benchmark.errors import one_line
from benchmark.files import atomic, sha256, write_json
from benchmark.job import as_json, run
from benchmark.models.backbone import build
from benchmark.models.pretrain import pretrain


def fetch(settings: Annotated[BackboneSettings, as_json(BackboneSettings)], output: Path) -> None:
    """Bring the weights, and say where they are from.

    Args:
        settings: The backbone's settings.
        output: The folder of `model.safetensors` and `backbone.json`.
    """
    torch.set_num_threads(1)
    state, origin = _weights(settings)
    with atomic(output / "model.safetensors") as path:
        save_file(state, path)
    write_json(
        output / "backbone.json",
        {
            "settings": json.loads(settings.model_dump_json()),
            "origin": origin,
            "parameters": sum(tensor.numel() for tensor in state.values()),
            "sha256": sha256(output / "model.safetensors"),
        },
    )


def _weights(settings: BackboneSettings) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The backbone's state, without a head, and where it is from."""
    if settings.weights == "drawn":
        vit, accuracy = pretrain(settings)
        return _state(vit), {"weights": "drawn", "training_accuracy": accuracy}
    if settings.weights == "hub":
        try:
            vit = timm.create_model(settings.name, pretrained=True, num_classes=0, **settings.arguments)
        except Exception as error:  # The hub's client raises many kinds; all of them mean: no weights.
            raise OSError(
                f"backbone.weights: could not fetch {settings.name} from timm's hub ({type(error).__name__}: "
                f"{one_line(error, 200)}); with a network run again, or set backbone.weights to a file"
            ) from error
        return _state(vit), {"weights": "hub", "source": dict(vit.pretrained_cfg).get("hf_hub_id", "")}
    return _from_file(settings)


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


if __name__ == "__main__":
    raise SystemExit(run(fetch))
