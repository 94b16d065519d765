"""Routing of six experts beside its naive form: the same logits, seconds and memory of both; and seeds side by side.

    python -m benchmarks.routing
    python -m benchmarks.routing --device cuda    # seeds side by side alone, on a GPU

The naive form runs each layer of every expert and adds up the weighted outputs, with torch's own modules. Ours mixes
adapters by their ranks and convolutions by their kernels, and runs once. Measured is one step of adapting: the entropy
of predictions, and its gradient by gates and normalisation. Networks and images are drawn, on one thread of a CPU; that
gradients are the same too, tests/adaptations/test_iop.py shows in float64.
"""

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Any, Literal

import torch
from torch import Tensor, nn

from benchmark.adaptation import COMMON, Adaptation, entropy
from benchmark.adaptations import adaptation_file
from benchmark.federation.adapting import GATES, OUTSIDE, Bank, Mixture, mixed, side_by_side
from benchmark.federation.methods import load, made
from benchmark.federation.model import Model
from benchmark.federation.packed_images import PackedImages
from benchmark.job import run
from benchmark.leaf import Leaf, Leaves, belonging, pairs
from benchmark.methods import method_file
from benchmark.models import unet, vit
from benchmark.models.dense import public
from benchmark.settings import LoraSettings, LoraTarget
from benchmark.sources import ROOT
from benchmark.tasks.classification import Classification
from benchmark.tasks.segmentation import Segmentation
from benchmarks.memory import most_held

CLASSES = ("background", "disc", "cup")
EXPERTS = (*(f"site {number}" for number in range(5)), COMMON)


class SideBySide(nn.Module):
    """The layers of all experts at one place; each image's outputs are weighted and added.

    Args:
        layers: One of each expert.
        weigh: Their weights (n, E), of the mean of what they read over tokens or pixels (n, channels).
    """

    def __init__(self, layers: Sequence[nn.Module], weigh: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.layers, self.weigh = nn.ModuleList(layers), weigh

    def forward(self, x: Tensor) -> Tensor:
        """Maps (n, channels, H, W), tokens (n, tokens, channels) or features (n, channels) to the layers' likewise."""
        pooled = x.mean((2, 3)) if x.dim() == 4 else x.mean(1) if x.dim() == 3 else x
        weights = self.weigh(pooled).T.reshape(len(self.layers), -1, *[1] * (x.dim() - 1))
        return torch.stack([own * layer(x) for own, layer in zip(weights, self.layers, strict=True)]).sum(0)


class Plain(nn.Module):
    """What one expert predicts with, of torch's own modules.

    Args:
        body: A U-Net's stages, or a vision transformer without a head.
        head: Reads its last map, or its features.
    """

    def __init__(self, body: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.body, self.head = body, head

    def forward(self, images: Tensor) -> Tensor:
        """Images (n, 3, S, S) in [0, 1] to logits."""
        if isinstance(self.body, unet.Body):
            return self.head(self.body(images)[1].permute(0, 3, 1, 2))
        return self.head(self.body((images - 0.5) / 0.5))


def naive(
    body: nn.Module, model: Model, bank: Bank, learned: Leaves, adaptation: Adaptation
) -> tuple[nn.Module, dict[str, Tensor]]:
    """The experts side by side.

    Args:
        body: A U-Net's stages, or a vision transformer without a head: as the model's network was made of.
        model: Of such a network; each expert has one adapter, `global`, and one head.
        bank: The experts; what has no gate is that of `COMMON`, which is the last.
        learned: Gates and normalisation, by the names that they have in a mixture.
        adaptation: Says what gates make of means.

    Returns:
        What predicts, in evaluation mode; and the leaves that it has learned, with gradients.
    """
    network: Any = model.network
    frozen = {public(name): tensor for name, tensor in network.frozen().items()}
    experts = [_plain(body, network, frozen, leaves) for leaves in bank.experts.values()]
    whole, found = copy.deepcopy(experts[-1]), {name: leaf.detach().clone() for name, leaf in learned.items()}
    for name, leaf in belonging(found, OUTSIDE).items():
        norm = whole.get_parameter(f"body.{name}")
        norm.data += leaf - frozen[name]
        found[f"{OUTSIDE}/{name}"] = norm
    paths = {layer.sites[0].name: path for path, layer in network.layers.items()}
    for place in network.places(bank.experts[COMMON], {"global": 1.0}):
        path = place if place == "head" else f"body.{paths.get(place, place)}"
        gate = belonging(found, f"{GATES}/{place}")
        whole.set_submodule(
            path, SideBySide([own.get_submodule(path) for own in experts], partial(adaptation.weigh, gate))
        )
    return whole.eval(), {name: leaf.requires_grad_() for name, leaf in found.items()}


def _plain(body: nn.Module, network: Any, frozen: Leaves, leaves: Leaves) -> Plain:
    """One expert, its adapter merged into the weights."""
    own = {**frozen, **belonging(leaves, "global")}
    for path, layer in network.layers.items():
        weight = own[f"{path}.weight"].clone()
        for site in layer.sites:
            weight[site.first : site.first + site.rows] += network.scale * pairs(leaves, "global")[site.name].product
        own[f"{path}.weight"] = weight
    weight, bias = leaves["head/weight"], leaves["head/bias"]
    maps = isinstance(body, unet.Body)
    head = nn.Conv2d(*weight.shape[::-1], 1) if maps else nn.Linear(*weight.shape[::-1])
    found = Plain(copy.deepcopy(body), head).to(weight.dtype).requires_grad_(False)
    found.body.load_state_dict(own, strict=False)
    head.load_state_dict({"weight": weight[..., None, None] if maps else weight, "bias": bias})
    return found


@dataclass(frozen=True)
class Case:
    """A step that is measured.

    Attributes:
        network: `unet`, of 16 channels and 4 levels, or `vit`, ViT-Tiny with LoRA of rank 8.
        size: Side of the images, in pixels.
        images: Of a batch.
        depth: Of the network, where it is not the usual one.
        targets: Projections that LoRA adapts.
    """

    network: str
    size: int
    images: int
    depth: int | None = None
    targets: tuple[LoraTarget, ...] = ("q", "v")

    def made(self, dtype: torch.dtype = torch.float32) -> tuple[nn.Module, Model, Bank]:
        """A plain network, the model of it, and a bank of drawn experts."""
        method = load(ROOT / method_file("iop_fl"), {})
        precision = str(dtype).removeprefix("torch.")
        if self.network == "unet":
            body: nn.Module = unet.build({"levels": self.depth or 4})
            whole = unet.UNet(copy.deepcopy(body), Segmentation(CLASSES), self.size)  # type: ignore[arg-type]
            model = Model.of(whole.on("cpu", precision), Segmentation(CLASSES), method, ["all"])
        else:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                body = vit.build("vit_tiny_patch16_224", {"depth": self.depth or 12}, self.size)
            adapted = vit.ViT(copy.deepcopy(body), Classification(CLASSES), LoraSettings(targets=self.targets))
            model = Model.of(adapted.on("cpu", precision), Classification(CLASSES), method, ["lora", "head"])
        return body, model, drawn(model, dtype)


def drawn(model: Model, dtype: torch.dtype = torch.float32) -> Bank:
    """Six experts whose leaves are numbers near zero, or near their pretrained values."""
    source = torch.Generator().manual_seed(0)

    def near(leaf: Leaf) -> Tensor:
        begins = model.network.pretrained(leaf) if leaf.initial.kind == "pretrained" else torch.zeros(leaf.shape)
        return begins.to(dtype) + 0.1 * (torch.rand(leaf.shape, generator=source, dtype=dtype) - 0.5)

    return Bank({expert: {name: near(leaf) for name, leaf in model.leaves.items()} for expert in EXPERTS})


CASES = (Case("unet", 64, 5), Case("unet", 128, 5), Case("vit", 64, 16), Case("vit", 224, 4))


def both(
    case: Case, dtype: torch.dtype = torch.float32, **settings: float | bool | str
) -> list[Callable[[], list[Tensor]]]:
    """The same step of adapting, ours and naive: each returns logits, and the gradients by what is learned."""
    adaptation = made(ROOT / adaptation_file("iop"), Adaptation, "adaptation", settings)
    body, model, bank = case.made(dtype)
    (weights,) = adaptation.mixtures(EXPERTS).values()
    mixture, learned = Mixture.of(model, bank, weights, adaptation.batch_statistics).widened(adaptation)
    source = torch.Generator().manual_seed(1)
    for leaf in learned.values():
        leaf.data += torch.rand(leaf.shape, generator=source, dtype=dtype) - 0.5
    images = torch.randint(256, (case.images, case.size, case.size, 3), generator=source, dtype=torch.uint8)
    batch, (plain, theirs) = mixture.images(images), naive(body, model, bank, learned, adaptation)
    plain.train(adaptation.batch_statistics)

    def step(predict: Callable[[], Tensor], leaves: Mapping[str, Tensor]) -> list[Tensor]:
        logits = predict()
        gradients = torch.autograd.grad(entropy(logits), list(leaves.values()))
        return [logits.detach(), *gradients]

    return [
        lambda: step(lambda: batch(mixture.params).prediction, learned),
        lambda: step(lambda: plain(batch.pixels), theirs),
    ]


def difference(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> float:
    """The largest difference of an entry, as a share of the largest entry of its tensor."""
    return max(float((a - b).abs().max() / b.abs().max()) for a, b in zip(ours, theirs, strict=True))


def spent(
    steps: Sequence[Callable[[], object]], turns: int, clock: Callable[[], float] = time.process_time
) -> list[float]:
    """The seconds of each step, by default the processor's; medians over turns in which each is run once."""
    seconds: list[list[float]] = [[] for _ in steps]
    for _ in range(turns):
        for kept, step in zip(seconds, steps, strict=True):
            tick = clock()
            step()
            kept.append(clock() - tick)
    return [median(kept) for kept in seconds]


def seeds(case: Case, device: str, counts: Sequence[int] = (1, 2, 4), turns: int = 3) -> list[float]:
    """Seconds of one of IOP-FL's steps for each seed, where so many take it side by side; medians over turns.

    Of the processor on a CPU, of the clock on a GPU. Adam's step and the noisy view are part of it.
    """
    _, model, bank = case.made()
    model.network.on(device, "float32")
    held = Bank({expert: {name: leaf.to(device) for name, leaf in own.items()} for expert, own in bank.experts.items()})
    adaptation = made(ROOT / adaptation_file("iop"), Adaptation, "adaptation", {"passes": 4, "batch_size": case.images})
    (mixture,) = mixed(adaptation, model, held).values()
    source = torch.Generator().manual_seed(1)
    shape = (case.images, case.size, case.size, 3)
    images = PackedImages.of(torch.randint(256, shape, generator=source, dtype=torch.uint8))
    clock = time.process_time if device == "cpu" else time.perf_counter

    def steps(count: int) -> None:
        side_by_side(adaptation, dict.fromkeys(range(count), mixture), images)  # It ends by reading each loss.

    found = spent([partial(steps, count) for count in counts], turns, clock)
    return [seconds / count / adaptation.passes for seconds, count in zip(found, counts, strict=True)]


def main(device: Literal["cpu", "cuda"] = "cpu") -> None:
    """Print a line for each case: on a CPU, routing beside its naive form; then what seeds gain side by side.

    Args:
        device: Where to compute.
    """
    torch.set_num_threads(1)
    if device == "cpu":
        beside_naive()
    print("network   px  images  one seed, ms a step   two seeds   four, side by side")
    for case in CASES:
        alone, two, four = seeds(case, device)
        about = f"{case.network:8}{case.size:4}{case.images:8}{1e3 * alone:22.0f}"
        print(f"{about}{alone / two:11.2f}x{alone / four:20.2f}x", flush=True)


def beside_naive() -> None:
    """Print routing beside its naive form."""
    print("network   px  images        ours       naive   ratio        ours       naive   ratio      logits apart")
    for case in CASES:
        steps = both(case)
        apart = difference(*(step()[:1] for step in steps))  # Gradients by gates nearly cancel: see them in float64.
        ours, theirs = spent(steps, 3)
        held, more = (most_held(step) / 1e6 for step in steps)
        about = f"{case.network:8}{case.size:4}{case.images:8}"
        clock = f"{1e3 * ours:9.0f} ms{1e3 * theirs:9.0f} ms{theirs / ours:8.2f}"
        print(f"{about}{clock}{held:9.0f} MB{more:9.0f} MB{more / held:8.2f}{apart:18.1e}", flush=True)
    print()


if __name__ == "__main__":
    raise SystemExit(run(main))
