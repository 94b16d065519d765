"""Job: the backbone's pretrained weights as one file, from wherever its network brings them.

    python -m benchmark.models.fetch --settings JSON --output DIR

writes `DIR/model.safetensors` (every weight of the backbone, no head) and `DIR/backbone.json` (where it is from).
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file

from benchmark.config import BackboneSettings
from benchmark.files import atomic, sha256, write_json
from benchmark.models.network import find


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job; 0 where both files were written."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--settings", required=True, help="BackboneSettings as JSON")
    parser.add_argument("--output", required=True, type=Path)
    arguments = parser.parse_args(argv)
    settings = BackboneSettings.model_validate_json(arguments.settings)
    torch.set_num_threads(1)
    try:
        state, origin = find(settings.network).fetch(settings)
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    with atomic(arguments.output / "model.safetensors") as path:
        save_file(state, path)
    write_json(
        arguments.output / "backbone.json",
        {
            "settings": json.loads(settings.model_dump_json()),
            "origin": origin,
            "parameters": sum(tensor.numel() for tensor in state.values()),
            "sha256": sha256(arguments.output / "model.safetensors"),
        },
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
