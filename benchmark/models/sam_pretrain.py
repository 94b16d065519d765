"""Pretraining a small SAM on drawn shapes, so that there is one to fine-tune offline.

It stands in for the foundation model in one respect only: encoder and decoder know what a shape is. Absolute numbers of
what is fine-tuned from it mean nothing.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from benchmark.data.drawn_shapes import CLASSES, draw_shapes
from benchmark.draws import initial
from benchmark.leaf import Initial, Leaf
from benchmark.models import sam
from benchmark.settings import BackboneSettings, LoraSettings


def pretrain(
    settings: BackboneSettings,
    images: int = 1024,
    image_size: int = 64,
    epochs: int = 20,
    batch_size: int = 16,
    rate: float = 1e-3,
) -> tuple[dict[str, Tensor], float]:
    """Train all of a SAM on drawn shapes: a minute or two of one core for `sam_tiny`.

    Args:
        settings: The variant, its sizes, and the seed.
        images: Number of drawn images.
        image_size: Their side, in pixels.
        epochs: Passes over them.
        batch_size: Images of a step.
        rate: The highest learning rate of AdamW.

    Returns:
        Its tensors by their names in `transformers.SamModel`, and the share of the last epoch's pixels that were told
        rightly.
    """
    pixels, masks = (torch.from_numpy(own) for own in draw_shapes(images, image_size, settings.seed))
    with torch.random.fork_rng(devices=[]):  # What is drawn here is nobody else's.
        torch.manual_seed(settings.seed)
        tensors = random(settings.name, settings.arguments, settings.seed)
        body, head = sam.build(settings.name, settings.arguments, CLASSES, image_size)
        network = sam.Sam(body, head, sam.fill(body, tensors), LoraSettings(targets=["q"], rank=1))
        leaves = network.leaves(["all"], ["head"], ["all"])
        params = {leaf.name: _first(network, leaf, settings.seed).requires_grad_(leaf.trainable) for leaf in leaves}
        trained = [tensor for tensor in params.values() if tensor.requires_grad]
        steps = epochs * math.ceil(images / batch_size)
        optimiser = torch.optim.AdamW(trained, lr=rate, weight_decay=0.05)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps, pct_start=0.1)
        told = 0
        with tqdm(total=steps, desc="pretraining", unit="step", mininterval=5) as progress:
            for _ in range(epochs):
                told = 0
                for batch in torch.randperm(images).split(batch_size):
                    shown, target = pixels[batch].permute(0, 3, 1, 2).float() / 255, masks[batch].long()
                    logits = network(shown, params, {"head": 1.0}, {"all": 1.0}, training=True).prediction
                    true = F.one_hot(target, CLASSES).movedim(-1, 1)
                    likely = logits.softmax(1)
                    overlap = 2 * (likely * true).sum((0, 2, 3)) / (likely**2 + true).sum((0, 2, 3))
                    loss = 0.2 * F.cross_entropy(logits, target) + 0.8 * (1 - overlap.mean())
                    optimiser.zero_grad()
                    loss.backward()
                    optimiser.step()
                    schedule.step()
                    told += int((logits.argmax(1) == target).sum())
                    progress.update()
    found = {name.removeprefix("all/"): tensor.detach() for name, tensor in params.items() if name.startswith("all/")}
    begun = {f"mask_decoder.{theirs}": params[f"head/{ours}"].detach() for ours, theirs in sam.BEGUN.items()}
    return {**tensors, **found, **begun}, told / masks.numel()


def random(name: str, arguments: dict[str, Any], seed: int) -> dict[str, Tensor]:
    """A SAM's tensors before any training, by their names in `transformers.SamModel`.

    Args:
        name: The variant.
        arguments: What differs from its sizes.
        seed: Of the draws.

    Returns:
        The head's, and those that the library leaves next to zero for weights that are to be loaded, drawn from the
        seed; the others as the library draws them.
    """
    _, sizes = sam.named(name, arguments)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        body, head = sam.build(name, arguments, 2, 2 * sam.PATCH)
    state = {n: t for n, t in body.state_dict().items() if n not in ("mean", "std", "positions")}

    def normal(own: str, shape: Sequence[int], spread: float) -> Tensor:
        return initial(Leaf(own, "", "", tuple(shape), Initial("normal", spread)), seed, torch.float32)

    for own, tensor in state.items():
        if own.startswith("vision_encoder.") and tensor.dim() > 1:
            state[own] = normal(own, tensor.shape, 0.02 if "pos" in own else 1 / math.sqrt(tensor[0].numel()))
    found = {leaf.name: initial(leaf, seed, torch.float32) for leaf in head.upscaler.stages("head")}
    begun = {f"mask_decoder.{theirs}": found[f"head/{ours}"] for ours, theirs in sam.BEGUN.items()}
    return {**state, **begun, sam.CODE: normal(sam.CODE, (2, sizes["width"] // 2), 1.0)}


def _first(network: sam.Sam, leaf: Leaf, seed: int) -> Tensor:
    pretrained = leaf.initial.kind == "pretrained"
    return network.pretrained(leaf).clone() if pretrained else initial(leaf, seed, torch.float32)
