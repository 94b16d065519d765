"""Job: the backbone's pretrained weights as one file, from wherever its network brings them.

    python -m benchmark.models.fetch --settings JSON --output DIR

writes `DIR/model.safetensors` (every weight of the backbone, no head) and `DIR/backbone.json` (where it is from).
"""

import json
from pathlib import Path
from typing import Annotated

import torch
from safetensors.torch import save_file

from benchmark.files import atomic, sha256, write_json
from benchmark.job import as_json, run
from benchmark.models.network import find
from benchmark.settings import BackboneSettings


def fetch(settings: Annotated[BackboneSettings, as_json(BackboneSettings)], output: Path) -> None:
    """Bring the weights, and say where they are from.

    Args:
        settings: The backbone's settings.
        output: The folder of `model.safetensors` and `backbone.json`.
    """
    torch.set_num_threads(1)
    state, origin = find(settings.network).fetch(settings)
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


if __name__ == "__main__":
    raise SystemExit(run(fetch))
