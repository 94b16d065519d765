"""A client as people write it today: timm's model in Hugging Face PEFT, a DataLoader over files, torch's SGD.

Order, augmentation and initialisation come from the engine's keyed draws, so that both sides do the same work and must
end with the same model; how the work is done is the user's own: images are decoded when they are needed and changed
one by one, and masks are made of torch's own layers.
"""

import math
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd
import timm
import torch
import torch.nn.functional as F
from peft import LoraConfig, get_peft_model
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Sampler

from benchmark.data.picture import decode, fit
from benchmark.draws import generator, initial
from benchmark.leaf import Initial, Leaf
from benchmarks.workload import AUGMENTATION, VIT, Workload

DICE = 0.8
"""Weight of soft Dice beside cross-entropy, as in FLAP-SAM (arXiv 2407.21739)."""
SECONDS = 3.0
"""Spent on how fast a step is, but for the slowest ones."""
Item = tuple[int, Tensor | None]
"""An image's number, and the five draws that change it."""
Batch = tuple[Tensor, Tensor]
"""Images, and their labels or masks."""


class Pictures(Dataset[tuple[Tensor, Tensor]]):
    """One client's images and their labels or masks, decoded from files whenever they are asked for."""

    def __init__(self, table: pd.DataFrame, size: int) -> None:
        self.paths, self.targets, self.size = table["path"].tolist(), table["target"].tolist(), size

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, item: Item) -> tuple[Tensor, Tensor]:
        """An image (3, size, size) in [0, 1] and its label, or its mask (size, size); changed where draws are given."""
        number, draws = item
        path, target = Path(self.paths[number]), self.targets[number]
        image = torch.from_numpy(decode(path, self.size, "crop").copy()).permute(2, 0, 1)
        changes = None if draws is None else draws.tolist()
        image = image / 255 if changes is None else lit(moved(image, changes), changes)
        if not isinstance(target, str):
            return image, torch.tensor(target)
        with Image.open(target) as picture:
            mask = torch.from_numpy(fit(picture, path, self.size, "crop").astype(np.int64))
        return image, mask if changes is None else moved(mask[None], changes)[0]


def moved(image: Tensor, draws: list[float]) -> Tensor:
    """An image or a mask (channels, size, size), mirrored and turned."""
    mirrored, upside_down, turned, _, _ = draws
    if mirrored < 0.5:
        image = image.flip(2)
    if upside_down < 0.5:
        image = image.flip(1)
    # None, half a turn, a quarter to the left, a quarter to the right.
    return torch.rot90(image, (0, 2, 1, 3)[int(4 * turned)], (1, 2))


def lit(image: Tensor, draws: list[float]) -> Tensor:
    """An image (3, size, size) uint8 in [0, 1], with other brightness and contrast."""
    *_, shift, scale = draws
    values = image / 255
    mean = values.mean()
    values = (values - mean) * (1 + AUGMENTATION.contrast * (2 * scale - 1)) + mean
    return (values + AUGMENTATION.brightness * (2 * shift - 1)).clamp(0, 1)


class Upscaler(nn.Module):
    """From the grid of tokens to the image, doubled four times by transposed convolutions; then a linear layer."""

    def __init__(self, inputs: int, classes: int) -> None:
        super().__init__()
        sizes = [inputs, 64, 32, 16, 8]
        for stage in range(4):
            setattr(self, f"up{stage}", nn.ConvTranspose2d(sizes[stage], sizes[stage + 1], 2, 2))
            if stage < 3:
                setattr(self, f"norm{stage}", nn.LayerNorm(sizes[stage + 1]))
        self.last = nn.Linear(sizes[-1], classes)

    def forward(self, grid: Tensor) -> Tensor:
        """(n, inputs, side, side) to logits (n, classes, 16 side, 16 side)."""
        for stage in range(4):
            grid = getattr(self, f"up{stage}")(grid)
            if stage < 3:
                grid = getattr(self, f"norm{stage}")(grid.movedim(1, -1)).movedim(-1, 1)
            grid = F.gelu(grid)
        logits: Tensor = self.last(grid.movedim(1, -1))
        return logits.movedim(-1, 1)


class Outliner(nn.Module):
    """A transformer whose patch tokens are upscaled to masks."""

    def __init__(self, vit: nn.Module, classes: int) -> None:
        super().__init__()
        self.vit, self.head = vit, Upscaler(int(vit.embed_dim), classes)

    def forward(self, images: Tensor) -> Tensor:
        """(n, 3, size, size) to logits (n, classes, size, size)."""
        tokens = self.vit.forward_features(images)[:, self.vit.num_prefix_tokens :]
        logits: Tensor = self.head(tokens.movedim(1, -1).unflatten(2, self.vit.patch_embed.grid_size).float())
        return logits


def mask_loss(logits: Tensor, masks: Tensor) -> Tensor:
    """Cross-entropy and soft Dice of the batch, with squares below the line."""
    p = logits.softmax(1)
    true = F.one_hot(masks, logits.shape[1]).movedim(-1, 1)
    both, all = (p * true).sum((0, 2, 3)), (p**2).sum((0, 2, 3)) + true.sum((0, 2, 3))
    dice = (2 * both + 1e-5) / (all + 1e-5)
    return (1 - DICE) * F.cross_entropy(logits, masks) + DICE * (1 - dice.mean())


class KeyedOrder(Sampler[Item]):
    """The order of one pass and its changes, of which `still` images have none; set `round` before iterating."""

    def __init__(self, size: int, client: str, seed: int, *, still: bool = False) -> None:
        self.size, self.client, self.seed, self.still, self.round = size, client, seed, still, 0

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[Item]:
        key = (self.seed, self.client, f"round {self.round} pass 0")
        order = torch.randperm(self.size, generator=generator(*key, "order"))
        if self.still:
            return iter([(number, None) for number in order.tolist()])
        draws = torch.rand(self.size, 5, generator=generator(*key, "augmentation"), dtype=torch.float64)
        return iter(zip(order.tolist(), draws, strict=True))


class Site:
    """One client's two loaders."""

    def __init__(self, workload: Workload, name: str, seed: int, workers: int) -> None:
        table = workload.images
        own = dict(iter(table[table["client"] == name].groupby("split")))
        train, held = (Pictures(own[part], workload.image_size) for part in ("train", "validation"))
        self.order = KeyedOrder(len(train), name, seed, still=workload.still)
        common = {"num_workers": workers, "persistent_workers": workers > 0, "pin_memory": torch.cuda.is_available()}
        self.train = DataLoader(train, workload.batch_size, sampler=self.order, **common)
        self.validation = DataLoader(held, 64, sampler=[(number, None) for number in range(len(held))], **common)


class Learner:
    """PEFT's model, trained and measured on one client after another."""

    def __init__(self, workload: Workload, seed: int, device: str) -> None:
        build, begun = transformer, _begun
        if workload.network == "sam":
            from benchmarks import user_sam  # Here, since nobody else waits for its imports.

            build, begun = user_sam.build, user_sam.begun
        self.criterion = mask_loss if workload.task == "segmentation" else F.cross_entropy
        model, mean, std = build(workload)
        self.model, mean, std = model.to(device), mean.to(device), std.to(device)
        self.normalise = lambda images: (images - mean) / std
        self.trained = {name: p for name, p in self.model.named_parameters() if p.requires_grad}
        self.device = device
        self.mixed = torch.autocast(device, torch.bfloat16, enabled=workload.precision == "bfloat16")
        with torch.no_grad():
            for name, parameter in self.trained.items():
                parameter.copy_(begun(workload, name, parameter, seed))

    def load(self, weights: dict[str, Tensor]) -> None:
        """Take over adapters and head."""
        with torch.no_grad():
            for name, parameter in self.trained.items():
                parameter.copy_(weights[name])

    def weights(self) -> dict[str, Tensor]:
        """Adapters and head, as copies."""
        return {name: parameter.detach().clone() for name, parameter in self.trained.items()}

    def fit(self, loader: DataLoader[Batch], rate: float) -> None:
        """One local epoch."""
        self.model.train()
        optimizer = torch.optim.SGD(self.trained.values(), lr=rate, momentum=0.9)
        for images, targets in loader:
            with self.mixed:
                logits = self.model(self.normalise(images.to(self.device, non_blocking=True)))
            loss = self.criterion(logits.float(), targets.to(self.device, non_blocking=True))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    def loss(self, loader: DataLoader[Batch]) -> float:
        """Mean loss over a client's validation images, of masks batch by batch."""
        self.model.eval()
        total = torch.zeros((), device=self.device)
        count = 0
        with torch.no_grad():
            for images, targets in loader:
                with self.mixed:
                    logits = self.model(self.normalise(images.to(self.device)))
                total += self.criterion(logits.float(), targets.to(self.device)) * len(targets)
                count += len(targets)
        return float(total) / count


def step_seconds(workload: Workload, threads: int) -> float:
    """Seconds of one step on the CPU, forward and backward, the median of at most twelve."""
    torch.set_num_threads(threads)
    learner, size = Learner(workload, 0, "cpu"), workload.image_size
    images = torch.rand(workload.batch_size, 3, size, size)
    ticks = [time.perf_counter()]
    while len(ticks) < 4 or (len(ticks) < 14 and ticks[-1] - ticks[0] < SECONDS):
        learner.model(learner.normalise(images)).sum().backward()
        ticks.append(time.perf_counter())
    return median(end - begin for begin, end in pairwise(ticks[1:]))


def transformer(workload: Workload) -> tuple[nn.Module, Tensor, Tensor]:
    """A transformer of timm in PEFT, adapters and head trained; mean and deviation (3, 1, 1) of its pixels."""
    masks, lora = workload.task == "segmentation", workload.lora
    vit = timm.create_model(VIT, num_classes=0 if masks else workload.classes, img_size=workload.image_size)
    vit.load_state_dict(load_file(workload.root / "backbone" / "model.safetensors"), strict=False)
    config = LoraConfig(r=lora.rank, lora_alpha=lora.alpha, target_modules=list(lora.targets), modules_to_save=["head"])
    model = get_peft_model(Outliner(vit, workload.classes) if masks else vit, config)
    mean, std = (torch.tensor(vit.pretrained_cfg[key]).view(3, 1, 1) for key in ("mean", "std"))
    return model, mean, std


def _begun(workload: Workload, name: str, parameter: nn.Parameter, seed: int) -> Tensor:
    """What a PEFT parameter begins with: drawn as the engine draws the leaf that it is."""
    return initial(_leaf(name, parameter), seed, torch.float32)


def _leaf(name: str, parameter: nn.Parameter) -> Leaf:
    """The engine's leaf that a PEFT parameter is: their common initialisation is keyed by its name."""
    shape = tuple(parameter.shape)
    if ".head." in name:
        own = name.partition(".modules_to_save.default.")[2].removeprefix("last.")
        return Leaf(f"head/{own}", "head", "head", shape, _begins(own, shape))
    site, _, rest = name.removeprefix("base_model.model.").removeprefix("vit.").partition(".lora_")
    begins = Initial("uniform", 1 / math.sqrt(shape[1])) if rest[0] == "A" else Initial()
    return Leaf(f"global/{site}.{rest[0]}", "global", "lora", shape, begins)


def _begins(own: str, shape: tuple[int, ...]) -> Initial:
    """What a head's parameter begins with."""
    if own.endswith("bias"):
        return Initial()
    if own.startswith("norm"):
        return Initial("constant", 1.0)
    return Initial("uniform", 1 / math.sqrt(shape[0])) if own.startswith("up") else Initial("normal", 0.02)
