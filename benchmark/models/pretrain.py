"""Command: pretrain the project's own small vision transformer on drawn images.

    python -m benchmark.models.pretrain --output benchmark/models/drawn.safetensors

made the committed file, which `backbone.weights: drawn` takes: so the quickstart has something to fine-tune offline.
Images are equal on every CPU, but a training's floating-point numbers are not: made again on another CPU, or with
another version of torch, the file is as good and has other digits. Rows name it by its hash.

It stands in for a foundation model in one respect only: its features know shapes, textures and colours that are not
those of the federations. Absolute numbers of the quickstart mean nothing beyond the quickstart.
"""

import json
import math
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save
from torch import Tensor, nn
from tqdm import tqdm

from benchmark import provenance
from benchmark.data.drawn_source import SHAPES, TEXTURES, draw_source
from benchmark.files import atomic
from benchmark.job import run
from benchmark.models.vit import build
from benchmark.models.vit_weights import DRAWN_ARGUMENTS, DRAWN_NAME, DRAWN_SIZE

_COLOUR_WEIGHT = 10
"""Weighs squared errors of colours in [0, 1] against a cross-entropy of a few nats."""


@torch.random.fork_rng(devices=[])  # What is drawn here is nobody else's.
def pretrain(
    output: Path, images: int = 10000, epochs: int = 40, batch_size: int = 64, rate: float = 1e-3, seed: int = 0
) -> None:
    """Train the backbone on the drawn source domain, in ten minutes of one core.

    Naming the drawn classes takes a small transformer long; colours and contrasts are learned in seconds. So every
    patch token also learns those of its patch, and the class token those of the image.

    Args:
        output: The file of weights, in float16.
        images: Number of drawn images.
        epochs: Passes over them.
        batch_size: Images per step.
        rate: Peak learning rate of AdamW, warmed up and decayed to zero along a cosine.
        seed: Seed of the drawing, the initialisation and the order of the images.
    """
    torch.set_num_threads(1)
    pictures, labels = (torch.from_numpy(a) for a in draw_source(images, DRAWN_SIZE, seed))
    torch.manual_seed(seed)
    vit = build(DRAWN_NAME, DRAWN_ARGUMENTS, DRAWN_SIZE).train()
    classes = nn.Linear(vit.num_features, SHAPES * TEXTURES)
    of_patch, of_image = nn.Linear(vit.num_features, 6), nn.Linear(vit.num_features, 18)
    parameters = [p for module in (vit, classes, of_patch, of_image) for p in module.parameters()]
    mean, std = (torch.tensor(vit.pretrained_cfg[key]).view(3, 1, 1) for key in ("mean", "std"))
    steps = epochs * math.ceil(images / batch_size)
    optimizer = torch.optim.AdamW(parameters, lr=rate, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps, pct_start=0.1)
    hits = 0
    with tqdm(total=steps, desc="pretraining", unit="step", mininterval=5) as progress:
        for _ in range(epochs):
            hits = 0
            for batch in torch.randperm(images).split(batch_size):
                pixels = pictures[batch].permute(0, 3, 1, 2).float() / 255
                for axis in (-1, -2):
                    if torch.rand(()) < 0.5:
                        pixels = pixels.flip(axis)
                tokens = vit.forward_features((pixels - mean) / std)
                features = vit.forward_head(tokens, pre_logits=True)
                logits = classes(features)
                patches = of_patch(tokens[:, vit.num_prefix_tokens :])
                error = F.mse_loss(patches, _patch_colours(pixels, vit.patch_embed.patch_size))
                error = error + F.mse_loss(of_image(features), _image_colours(pixels))
                loss = F.cross_entropy(logits, labels[batch]) + _COLOUR_WEIGHT * error
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
                hits += int((logits.argmax(-1) == labels[batch]).sum())
                progress.update()
    about = {
        "training": {"images": images, "epochs": epochs, "batch_size": batch_size, "rate": rate, "seed": seed},
        "training_accuracy": hits / images,
        "versions": provenance.versions(),
        "device": provenance.hardware(torch.device("cpu")),
    }
    state = {name: tensor.detach().half().contiguous() for name, tensor in vit.state_dict().items()}
    with atomic(output) as path:
        path.write_bytes(save(state, {"about": json.dumps(about)}))


def _patch_colours(pixels: Tensor, size: tuple[int, int]) -> Tensor:
    """Mean and standard deviation of every patch's colours, (n, 3, H, W) -> (n, patches, 6)."""
    patches = F.unfold(pixels, size, stride=size).unflatten(1, (3, -1))
    return torch.cat([patches.mean(2), patches.std(2)], dim=1).transpose(1, 2)


def _image_colours(pixels: Tensor) -> Tensor:
    """Colours, their spread and the vertical contrast, in the centre and around it, (n, 3, H, W) -> (n, 18)."""
    height, width = pixels.shape[2:]
    inside = torch.zeros(height, width, dtype=torch.bool)
    inside[height // 4 : height - height // 4, width // 4 : width - width // 4] = True
    contrast = 5 * F.pad((pixels[:, :, 1:] - pixels[:, :, :-1]).abs(), (0, 0, 0, 1))  # Brought to the size of colours.
    parts = [(pixels[:, :, where], contrast[:, :, where]) for where in (inside, ~inside)]
    return torch.cat([value for p, c in parts for value in (p.mean(2), p.std(2), c.mean(2))], dim=1)


if __name__ == "__main__":
    raise SystemExit(run(pretrain))
