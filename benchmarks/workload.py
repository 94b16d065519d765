"""The sweep that every side of a comparison runs: one method on drawn sites, at several rates and seeds."""

import json
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd
import torch
from safetensors.torch import save_file
from torch import Tensor

from benchmark.config import FederationSettings, TrainingJob
from benchmark.data.dataset import checked_index, find
from benchmark.data.pack import pack
from benchmark.data.prepare import prepare
from benchmark.files import read_json, sha256, write_json
from benchmark.models.vit import build
from benchmark.settings import AugmentationSettings, BackboneSettings, LoraSettings, OptimiserSettings, TrainingSettings

VIT = "vit_tiny_patch16_224"
TARGETS = {"vit": ("qkv",), "sam": ("q", "v")}
"""Adapted projections, by network: of timm's model the fused one, which PEFT can adapt as it is; of SAM FLAP-SAM's."""
AUGMENTATION = AugmentationSettings()
"""How images are changed, unless they are still."""
STILL = AugmentationSettings(flip=False, rotate=False, brightness=0, contrast=0)
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
        network: `vit`, or `sam` for segmentation.
        method: Whose row it is: `fedit`; of SAM `flap_sam`, whose adapters' factors are then averaged, or `sam_head`.
        weights: A file of MobileSAM's weights; a small SAM is drawn where there is none. Unused by the transformer.
        still: Whether images are not changed: then what is below the first leaf can be computed once.
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
    network: str = "vit"
    method: str = "fedit"
    weights: str = ""
    still: bool = False

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

    @property
    def backbone(self) -> str:
        """The network's variant."""
        return VIT if self.network == "vit" else "mobile_sam" if self.weights else "sam_tiny"

    @property
    def lora(self) -> LoraSettings:
        """One adapter of rank 4."""
        return LoraSettings(targets=TARGETS[self.network], rank=4, alpha=4)

    def job(self) -> TrainingJob:
        """The sweep as the engine's job."""
        return TrainingJob(
            federation=FEDERATIONS[self.task],
            clients=None,
            method=self.method,
            # As a weighted mean of all that is trained, which is what users write.
            method_settings={"average": "factors"} if self.method == "flap_sam" else {},
            rates=self.rates,
            seeds=self.seeds,
            rounds=self.rounds,
            network=self.network,
            backbone=self.backbone,
            arguments={},
            lora=self.lora,
            head="shared",
            averaging="samples",
            training=self.training,
            augmentation=STILL if self.still else AUGMENTATION,
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
        tensors = build(VIT, {}, self.image_size).state_dict() if self.network == "vit" else self._sam()
        save_file(tensors, weights)
        write_json(weights.parent / "backbone.json", {"sha256": sha256(weights)})
        self.write()

    def write(self) -> None:
        """Write what `read` reads."""
        (self.root / "workload.json").write_text(json.dumps(asdict(self)), encoding="utf-8")

    def _sam(self) -> dict[str, Tensor]:
        """SAM's weights for images of this size, by their names in `transformers.SamModel`."""
        from benchmark.models import sam, sam_pretrain, sam_weights  # Here, since nobody else waits for their imports.

        if self.weights:
            tensors, _ = sam_weights.fetch(BackboneSettings(network="sam", name=self.backbone, weights=self.weights))
        else:
            tensors = sam_pretrain.random(self.backbone, {}, 0)
        body, _ = sam.build(self.backbone, {}, self.classes, self.image_size)
        begun = {f"mask_decoder.{name}": tensor for name, tensor in sam.fill(body, tensors).items()}
        own = {n: t for n, t in body.state_dict().items() if n not in ("mean", "std", "positions")}
        return {**own, **begun, sam.CODE: tensors[sam.CODE]}

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
