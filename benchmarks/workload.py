"""The sweep that every side of a comparison runs: FedIT on drawn sites, at several rates and seeds."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd
import torch
from safetensors.torch import save_file

from benchmark.config import (
    AugmentationSettings,
    FederationSettings,
    LoraSettings,
    OptimiserSettings,
    TrainingJob,
    TrainingSettings,
)
from benchmark.data.pack import pack
from benchmark.data.prepare import prepare
from benchmark.files import read_json, sha256, write_json
from benchmark.models.vit import build

VIT = "vit_tiny_patch16_224"
LORA = LoraSettings(targets=("qkv",), rank=4, alpha=4)
"""One adapter on the fused projection: what PEFT can adapt in timm's model as it is."""
AUGMENTATION = AugmentationSettings()


@dataclass(frozen=True)
class Workload:
    """What is trained, and where its files are.

    Attributes:
        folder: Holds images, packed images, weights, and all that the runs write.
        rates: Learning rates.
        seeds: Seeds.
        rounds: Rounds of training and averaging; every client is validated after each.
        image_size: Side in pixels.
        scale: Share of Fed-ISIC2019's real number of images that is drawn.
        batch_size: Images per step.
        precision: Of the frozen backbone.
    """

    folder: str
    rates: tuple[str, ...]
    seeds: tuple[int, ...]
    rounds: int
    image_size: int
    scale: float
    batch_size: int
    precision: str

    @classmethod
    def read(cls, path: Path) -> "Workload":
        """The workload that `prepare` wrote."""
        values = read_json(path)
        return cls(**{key: tuple(value) if isinstance(value, list) else value for key, value in values.items()})

    @property
    def root(self) -> Path:
        """The folder, as a path."""
        return Path(self.folder)

    @property
    def training(self) -> TrainingSettings:
        """Batches and SGD."""
        return TrainingSettings(
            batch_size=self.batch_size, optimiser=OptimiserSettings(momentum=0.9), precision=self.precision
        )

    def job(self) -> TrainingJob:
        """The sweep as the engine's job."""
        return TrainingJob(
            federation="toy_lesions",
            clients=None,
            method="fedit",
            method_settings={},
            rates=self.rates,
            seeds=self.seeds,
            rounds=self.rounds,
            backbone=VIT,
            arguments={},
            lora=LORA,
            head="shared",
            averaging="samples",
            training=self.training,
            augmentation=AUGMENTATION,
            evaluate_every=1,
        )

    def prepare(self) -> None:
        """Draw the images, pack them, and draw the backbone's weights: what every side finds on the disk."""
        source = self.root / "images" / "source.json"
        options = {"scale": self.scale, "side": max(96, self.image_size)}
        settings = FederationSettings(image_size=self.image_size, protocol="lesion_disjoint", options=options)
        prepare("toy_lesions", settings, source.parent, source)
        pack(settings, source, self.root / "pack")
        table = pd.read_parquet(self.root / "pack" / "train.parquet")
        folder = next(Path(read_json(source)["root"]).glob("*/TOY_*.jpg")).parent
        table["path"] = [str(folder / f"{sample}.jpg") for sample in table["sample"]]
        table.to_parquet(self.root / "images.parquet", index=False)
        torch.manual_seed(0)
        weights = self.root / "backbone" / "model.safetensors"
        weights.parent.mkdir(exist_ok=True)
        save_file(build(VIT, {}, self.image_size).state_dict(), weights)
        write_json(weights.parent / "backbone.json", {"sha256": sha256(weights)})
        (self.root / "workload.json").write_text(json.dumps(asdict(self)), encoding="utf-8")

    def sizes(self) -> tuple[int, int]:
        """Training and validation images of all clients."""
        split = pd.read_parquet(self.root / "images.parquet")["split"]
        return int((split == "train").sum()), int((split == "validation").sum())
