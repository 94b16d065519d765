"""`train` jobs on three small hospitals, without Snakemake: in this process, or in a child that may be killed."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file, save_file

from benchmark.federation.train import train
from benchmark.files import read_json, sha256, write_json
from benchmark.job import run
from benchmark.models.unet import build
from benchmark.plan import Plan
from tests.federation.small import ARGUMENTS, CLASSES, SIZE, VIT, clients, weights

CONFIGURATION: dict[str, Any] = {
    "name": "small",
    "federations": {"hospitals": {"dataset": "toy_lesions", "image_size": SIZE}},
    "rates": ["1e-1", "2e-2"],
    "rounds": 4,
    "backbone": {"name": VIT, "arguments": ARGUMENTS},
    "lora": {"rank": 4},
    "training": {"batch_size": 8},
    "checkpoint_every": 1,
}


@dataclass(frozen=True)
class Workplace:
    """A packed federation and its backbone's weights.

    Attributes:
        folder: Where they are.
        method: The method's file.
    """

    folder: Path
    method: Path

    def command(self, output: Path, *options: str, store: Path | None = None, **changes: Any) -> list[str]:
        """The arguments of a `train` job, for the configuration with these changes."""
        plan = Plan.of({**CONFIGURATION, **changes})
        return [
            *("--settings", plan.training("hospitals", self.method.stem), "--running", plan.running),
            *("--method", str(self.method)),
            *("--pack", str(self.folder / "pack"), "--backbone", str(self.folder / "backbone")),
            *("--store", str(store or output / "store"), "--output", str(output), *options),
        ]

    def train(self, output: Path, *options: str, store: Path | None = None, **changes: Any) -> int:
        """Run a job in this process; returns its exit status."""
        return run(train, self.command(output, *options, store=store, **changes))

    def start(
        self, output: Path, *options: str, store: Path | None = None, user: int | None = None, **changes: Any
    ) -> int:
        """Start a job in a child process, as another user if one is given; returns its id.

        A forked child saves the seconds of importing.
        """
        command = self.command(output, *options, store=store, **changes)
        if child := os.fork():
            return child
        sys.stderr = (output.parent / f"{output.name}.log").open("a", buffering=1)
        if user is not None:
            os.setuid(user)
        os._exit(run(train, command))


UNET: dict[str, Any] = {
    "federations": {"hospitals": {"dataset": "toy_volumes", "image_size": SIZE}},
    "backbone": {"network": "unet", "name": "unet", "weights": "drawn", "arguments": {"channels": 2, "levels": 2}},
    "methods": ["fedavg_ft"],
    "trains": ["all"],
}
"""What of the configuration is another one where a U-Net, with batch normalisation, outlines bright pixels."""


def workplace(folder: Path, method: Path, *, masks: bool = False) -> Workplace:
    """Write the small federation's pack and backbone: the transformer, or where `masks` are learned the U-Net."""
    pack, backbone = folder / "pack", folder / "backbone"
    for made in (pack, backbone):
        made.mkdir(parents=True)
    images, rows = [], []
    for client in clients():
        parts = {
            "train": (client.training.images, client.training.targets),
            "validation": (client.validation.images, client.validation.targets),
        }
        for split, (pictures, labels) in parts.items():
            images.append(pictures[:].numpy())
            rows += [{"client": client.name, "label": label, "split": split} for label in labels.tolist()]
    np.save(pack / "train.npy", np.concatenate(images))
    table = pd.DataFrame(rows)
    outlined = (np.concatenate(images).mean(-1) > 110).astype(np.uint8)
    np.save(pack / "train.targets.npy", outlined if masks else table["label"].to_numpy())
    table.assign(sample=table.index.astype(str), group=table.index.astype(str)).to_parquet(pack / "train.parquet")
    hashes = {name: sha256(pack / name) for name in ("train.npy", "train.targets.npy", "train.parquet")}
    task, classes = ("segmentation", ["background", "bright"]) if masks else ("classification", list(CLASSES))
    write_json(pack / "manifest.json", {"task": task, "image_size": SIZE, "classes": classes, "hashes": hashes})
    body = dict(build(UNET["backbone"]["arguments"]).state_dict()) if masks else weights()
    save_file(body, backbone / "model.safetensors")
    write_json(backbone / "backbone.json", {"sha256": sha256(backbone / "model.safetensors")})
    return Workplace(folder, method)


def runs(output: Path) -> dict[str, Path]:
    """The folders of an output's runs, by their names in it."""
    return {str(path.parent.relative_to(output)): path.parent for path in sorted(output.glob("lr=*/seed=*/run.json"))}


def origins(output: Path) -> dict[str, str]:
    """Where each run's result came from."""
    return {name: read_json(folder / "run.json")["origin"] for name, folder in runs(output).items()}


def assert_equal_runs(found: Path, expected: Path) -> None:
    """Leaves, adapters and metrics of all runs are equal to the bit."""
    assert runs(found).keys() == runs(expected).keys()
    for name, folder in runs(expected).items():
        for file in sorted(folder.rglob("*.safetensors")):
            own = runs(found)[name] / file.relative_to(folder)
            mine, theirs = load_file(own), load_file(file)
            assert mine.keys() == theirs.keys()
            assert all(torch.equal(mine[leaf], theirs[leaf]) for leaf in theirs), f"{own} differs"
        pd.testing.assert_frame_equal(
            pd.read_parquet(runs(found)[name] / "metrics.parquet"), pd.read_parquet(folder / "metrics.parquet")
        )


def copied(place: Workplace, folder: Path, old: str, new: str) -> Workplace:
    """The same federation with an edited copy of the method's file."""
    text = place.method.read_text(encoding="utf-8")
    assert old in text
    folder.mkdir(parents=True, exist_ok=True)
    (folder / place.method.name).write_text(text.replace(old, new), encoding="utf-8")
    return Workplace(place.folder, folder / place.method.name)
