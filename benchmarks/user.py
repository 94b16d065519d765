"""A client as people write it today: timm's model in Hugging Face PEFT, a DataLoader over JPEG files, torch's SGD.

Order, augmentation and initialisation come from the engine's keyed draws, so that both sides do the same work and must
end with the same model; how the work is done is the user's own: images are decoded when they are needed and changed
one by one.
"""

import math
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import timm
import torch
import torch.nn.functional as F
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Sampler

from benchmark.data.picture import decode
from benchmark.draws import generator, initial
from benchmark.leaf import Initial, Leaf
from benchmarks.workload import AUGMENTATION, LORA, VIT, Workload

CLASSES = 8
Item = tuple[int, Tensor | None]
"""An image's number, and the five draws that change it."""


class Photographs(Dataset[tuple[Tensor, int]]):
    """One client's images, decoded from JPEG whenever they are asked for."""

    def __init__(self, table: pd.DataFrame, size: int) -> None:
        self.paths, self.labels, self.size = table["path"].tolist(), table["label"].tolist(), size

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, item: Item) -> tuple[Tensor, int]:
        """An image (3, size, size) in [0, 1], changed where draws are given, and its label."""
        number, draws = item
        image = torch.from_numpy(decode(Path(self.paths[number]), self.size, "crop").copy()).permute(2, 0, 1)
        return (image / 255 if draws is None else changed(image, draws.tolist())), self.labels[number]


def changed(image: Tensor, draws: list[float]) -> Tensor:
    """One augmented image: (3, size, size) uint8 to the same in [0, 1]."""
    mirrored, upside_down, turned, shift, scale = draws
    if mirrored < 0.5:
        image = image.flip(2)
    if upside_down < 0.5:
        image = image.flip(1)
    # None, half a turn, a quarter to the left, a quarter to the right.
    image = torch.rot90(image, (0, 2, 1, 3)[int(4 * turned)], (1, 2))
    values = image / 255
    mean = values.mean()
    values = (values - mean) * (1 + AUGMENTATION.contrast * (2 * scale - 1)) + mean
    return (values + AUGMENTATION.brightness * (2 * shift - 1)).clamp(0, 1)


class KeyedOrder(Sampler[Item]):
    """The order and the changes of one pass; the pass is set before the loader is iterated."""

    def __init__(self, size: int, client: str, seed: int) -> None:
        self.size, self.client, self.seed, self.round = size, client, seed, 0

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[Item]:
        key = (self.seed, self.client, f"round {self.round} pass 0")
        order = torch.randperm(self.size, generator=generator(*key, "order"))
        draws = torch.rand(self.size, 5, generator=generator(*key, "augmentation"), dtype=torch.float64)
        return iter(zip(order.tolist(), draws, strict=True))


class Site:
    """One client's two loaders."""

    def __init__(self, workload: Workload, name: str, seed: int, workers: int) -> None:
        table = pd.read_parquet(workload.root / "images.parquet")
        own = dict(iter(table[table["client"] == name].groupby("split")))
        train, held = (Photographs(own[part], workload.image_size) for part in ("train", "validation"))
        self.order = KeyedOrder(len(train), name, seed)
        common = {"num_workers": workers, "persistent_workers": workers > 0, "pin_memory": torch.cuda.is_available()}
        self.train = DataLoader(train, workload.batch_size, sampler=self.order, **common)
        self.validation = DataLoader(held, 64, sampler=[(number, None) for number in range(len(held))], **common)


class Learner:
    """PEFT's model, trained and measured on one client after another."""

    def __init__(self, workload: Workload, seed: int, device: str) -> None:
        vit = timm.create_model(VIT, num_classes=CLASSES, img_size=workload.image_size)
        vit.load_state_dict(load_file(workload.root / "backbone" / "model.safetensors"), strict=False)
        config = LoraConfig(
            r=LORA.rank, lora_alpha=LORA.alpha, target_modules=list(LORA.targets), modules_to_save=["head"]
        )
        self.model = get_peft_model(vit, config).to(device)
        mean, std = (torch.tensor(vit.pretrained_cfg[key]).view(3, 1, 1).to(device) for key in ("mean", "std"))
        self.normalise = lambda images: (images - mean) / std
        self.trained = {name: p for name, p in self.model.named_parameters() if p.requires_grad}
        self.device = device
        self.mixed = torch.autocast(device, torch.bfloat16, enabled=workload.precision == "bfloat16")
        with torch.no_grad():
            for name, parameter in self.trained.items():
                parameter.copy_(initial(_leaf(name, parameter), seed, torch.float32))

    def load(self, weights: dict[str, Tensor]) -> None:
        """Take over adapters and head."""
        with torch.no_grad():
            for name, parameter in self.trained.items():
                parameter.copy_(weights[name])

    def weights(self) -> dict[str, Tensor]:
        """Adapters and head, as copies."""
        return {name: parameter.detach().clone() for name, parameter in self.trained.items()}

    def fit(self, loader: DataLoader[tuple[Tensor, int]], rate: float) -> None:
        """One local epoch."""
        self.model.train()
        optimizer = torch.optim.SGD(self.trained.values(), lr=rate, momentum=0.9)
        for images, labels in loader:
            with self.mixed:
                logits = self.model(self.normalise(images.to(self.device, non_blocking=True)))
            loss = F.cross_entropy(logits.float(), labels.to(self.device, non_blocking=True))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    def loss(self, loader: DataLoader[tuple[Tensor, int]]) -> float:
        """Mean cross-entropy over a client's validation images."""
        self.model.eval()
        total = torch.zeros((), device=self.device)
        count = 0
        with torch.no_grad():
            for images, labels in loader:
                with self.mixed:
                    logits = self.model(self.normalise(images.to(self.device)))
                total += F.cross_entropy(logits.float(), labels.to(self.device), reduction="sum")
                count += len(labels)
        return float(total) / count


def _leaf(name: str, parameter: nn.Parameter) -> Leaf:
    """The engine's leaf that a PEFT parameter is: their common initialisation is keyed by its name."""
    shape = tuple(parameter.shape)
    if ".head." in name:
        kind = name.rpartition(".")[2]
        return Leaf(f"head/{kind}", "head", "head", shape, Initial("normal", 0.02) if kind == "weight" else Initial())
    site, _, rest = name.removeprefix("base_model.model.").partition(".lora_")
    begins = Initial("uniform", 1 / math.sqrt(shape[1])) if rest[0] == "A" else Initial()
    return Leaf(f"global/{site}.{rest[0]}", "global", "lora", shape, begins)
