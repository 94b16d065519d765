"""Pretraining a small vision transformer on drawn images, so that the quickstart has something to fine-tune offline.

Its result stands in for a foundation model's in one respect only: its features know shapes, textures and colours that
are not those of the federations. Absolute numbers of the quickstart mean nothing beyond the quickstart.
"""

import math

import torch
import torch.nn.functional as F
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from tqdm import tqdm

from benchmark.config import BackboneSettings
from benchmark.data.drawn_source import draw_source
from benchmark.models.vit import build

_COLOUR_WEIGHT = 10
"""Weighs squared errors of colours in [0, 1] against a cross-entropy of a few nats."""


@torch.random.fork_rng(devices=[])  # What is drawn here is nobody else's.
def pretrain(settings: BackboneSettings) -> tuple[VisionTransformer, float]:
    """Train a backbone on the drawn source domain.

    Naming the drawn classes takes a small transformer longer than a quickstart has. Colours and contrasts are learned
    in seconds: so every patch token also learns those of its patch, and the class token those of the image.

    Args:
        settings: The backbone and, in `pretraining`, how to train it.

    Returns:
        The backbone without its heads, and the share of the last epoch's images that were classified rightly.
    """
    plan = settings.pretraining
    images, labels = (torch.from_numpy(a) for a in draw_source(plan.images, plan.image_size, plan.seed))
    torch.manual_seed(plan.seed)
    vit = build(settings.name, settings.arguments, plan.image_size).train()
    classes = nn.Linear(vit.num_features, int(labels.max()) + 1)
    of_patch, of_image = nn.Linear(vit.num_features, 6), nn.Linear(vit.num_features, 18)
    parameters = [p for module in (vit, classes, of_patch, of_image) for p in module.parameters()]
    mean, std = (torch.tensor(vit.pretrained_cfg[key]).view(3, 1, 1) for key in ("mean", "std"))
    steps = plan.epochs * math.ceil(plan.images / plan.batch_size)
    optimizer = torch.optim.AdamW(parameters, lr=plan.rate, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, plan.rate, total_steps=steps, pct_start=0.1)
    hits = 0
    with tqdm(total=steps, desc="pretraining", unit="step", mininterval=5) as progress:
        for _ in range(plan.epochs):
            hits = 0
            for batch in torch.randperm(plan.images).split(plan.batch_size):
                pixels = images[batch].permute(0, 3, 1, 2).float() / 255
                if torch.rand(()) < 0.5:
                    pixels = pixels.flip(-1)
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
    return vit, hits / plan.images


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
