"""The sweep that every side of a comparison runs: FedIT on drawn sites, at several rates and seeds, for either task."""

import json
from dataclasses import asdict, dataclass
from functools import cached_property
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
from benchmark.data.dataset import checked_index, find
from benchmark.data.pack import pack
from benchmark.data.prepare import prepare
from benchmark.files import read_json, sha256, write_json
from benchmark.models.vit import build

VIT = "vit_tiny_patch16_224"
LORA = LoraSettings(targets=("qkv",), rank=4, alpha=4)
"""One adapter on the fused projection: what PEFT can adapt in timm's model as it is."""
AUGMENTATION = AugmentationSettings()
FEDERATIONS = {"classification": "toy_lesions", "segmentation": "toy_volumes"}
"""The drawn sites of each task."""


@dataclass(frozen=True)
class Workload:
    """What is trained, and where its files are.

    Attributes:
        folder: Holds images, packed images, weights, and all that the runs write.
        rates: Learning rates.
        seeds: Seeds.
        rounds: Rounds of training and averaging; every client is validated after each.
        image_size: Side in pixels.
        scale: Share of Fed-ISIC2019's real number of images that is drawn, or of the drawn volumes' patients.
        batch_size: Images per step.
        precision: Of the frozen backbone.
        task: `classification` of drawn lesions, or `segmentation` of drawn volumes.
    """

    folder: str
    rates: tuple[str, ...]
    seeds: tuple[int, ...]
    rounds: int
    image_size: int
    scale: float
    batch_size: int
    precision: str
    task: str = "classification"

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
            federation=FEDERATIONS[self.task],
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
        dataset = find(FEDERATIONS[self.task])
        protocol = "lesion_disjoint" if self.task == "classification" else "published"
        settings = FederationSettings(image_size=self.image_size, protocol=protocol, options=options)
        prepare(dataset.name, settings, source.parent, source)
        pack(settings, source, self.root / "pack")
        packed = pd.read_parquet(self.root / "pack" / "train.parquet", columns=["sample", "client", "split"])
        root = Path(read_json(source)["root"])
        index = checked_index(dataset, root, protocol, settings.split_seed)
        files = [name for name in ("path", "target") if name in index]
        index[files] = index[files].map(lambda path: str(root / path))
        target = "label" if self.task == "classification" else "target"
        table = packed.merge(index[["sample", "path", target]].rename(columns={target: "target"}), on="sample")
        table.to_parquet(self.root / "images.parquet", index=False)
        torch.manual_seed(0)
        weights = self.root / "backbone" / "model.safetensors"
        weights.parent.mkdir(exist_ok=True)
        save_file(build(VIT, {}, self.image_size).state_dict(), weights)
        write_json(weights.parent / "backbone.json", {"sha256": sha256(weights)})
        (self.root / "workload.json").write_text(json.dumps(asdict(self)), encoding="utf-8")

    @cached_property
    def images(self) -> pd.DataFrame:
        """Every training and validation image: sample, client, split, path, and its label or its mask's path."""
        return pd.read_parquet(self.root / "images.parquet")

    @property
    def classes(self) -> int:
        """How many classes there are to tell apart."""
        return len(find(FEDERATIONS[self.task]).classes)

    def sizes(self) -> tuple[int, int]:
        """Training and validation images of all clients."""
        split = self.images["split"]
        return int((split == "train").sum()), int((split == "validation").sum())
