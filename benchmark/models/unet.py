"""A two-dimensional U-Net (arXiv 1505.04597), trained whole: what federated segmentation is mostly tried on."""

import math
from collections.abc import Mapping
from math import gcd
from pathlib import Path
from typing import Any, Self

import torch
from safetensors.torch import load_file
from safetensors.torch import save as serialised
from torch import Tensor, nn

from benchmark.errors import one_line
from benchmark.files import atomic, sha256
from benchmark.leaf import Leaves
from benchmark.method import Mix
from benchmark.models.composed import Composed
from benchmark.models.dense import Dense
from benchmark.models.heads import Upscaler, save_heads
from benchmark.models.network import Setup, covered
from benchmark.models.sides import unit
from benchmark.settings import BackboneSettings, InitialisationSettings
from benchmark.tasks.task import Task

_GROUPS = 8
"""Of group normalisation; fewer where they do not divide the channels."""


class Stage(nn.Sequential):
    """Two convolutions of 3 x 3, each normalised (so without a bias), and ReLU.

    Args:
        inputs: Channels that it reads.
        outputs: Channels that it makes.
        norm: `batch` or `group`.
    """

    def __init__(self, inputs: int, outputs: int, norm: str) -> None:
        layers: list[nn.Module] = []
        for channels in (inputs, outputs):
            normal = nn.BatchNorm2d(outputs) if norm == "batch" else nn.GroupNorm(gcd(_GROUPS, outputs), outputs)
            layers += [nn.Conv2d(channels, outputs, 3, padding=1, bias=False), normal, nn.ReLU()]
        super().__init__(*layers)


class Body(nn.Module):
    """Stages down and up again, each joined with its counterpart; padded, so that maps keep their size.

    Args:
        channels: Of the first stage; each level doubles them.
        levels: Stages on the way down.
        norm: `batch` or `group`.
        inputs: Channels of the images.
    """

    def __init__(self, channels: int, levels: int, norm: str, inputs: int = 3) -> None:
        super().__init__()
        self.channels, self.norm, self.inputs = channels, norm, inputs
        sizes = [channels << level for level in range(levels)]
        self.encoder = nn.ModuleList(Stage(a, b, norm) for a, b in zip([inputs, *sizes], sizes, strict=False))
        pairs = list(zip(sizes[1:], sizes, strict=False))[::-1]
        self.up = nn.ModuleList(nn.ConvTranspose2d(deep, high, 2, stride=2) for deep, high in pairs)
        self.decoder = nn.ModuleList(Stage(2 * high, high, norm) for _, high in pairs)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images (n, inputs or 1, S, S) in [0, 1] to the last map (n, S, S, channels): its mean, and itself."""
        x, joined = (2 * images - 1).expand(-1, self.inputs, -1, -1), list[Tensor]()  # Grey is grey in each channel.
        if self.norm == "group":
            x = x.contiguous()  # torch.vmap knows this norm in one order of memory, and packed images have another.
        for stage in self.encoder:
            x = stage(nn.functional.max_pool2d(x, 2) if joined else x)
            joined.append(x)
        for up, stage, beside in zip(self.up, self.decoder, joined[-2::-1], strict=True):
            x = stage(torch.cat([beside, up(x)], 1))
        return x.mean((2, 3)), x.permute(0, 2, 3, 1)


class UNet(Composed):
    """A U-Net, and a linear layer for each pixel as its head.

    Its weights have the roles `norm`, `decoder` (the way up) and `backbone` (the way down). It begins with random
    weights, the same for all seeds of a run, or with those of a file. Settings (`backbone.arguments`): `channels` = 16,
    `levels` = 4, `norm` = batch or group, `inputs` = 3, channels of the images: as many as a `context` has slices.

    Args:
        body: The stages.
        task: What is predicted.
        side: Side of the images, in pixels.
        initialisation: What heads begin with.
    """

    name = "unet"
    roles = ("head", "norm", "decoder", "backbone", "all")
    predicts = ("pixels",)

    def __init__(self, body: Body, task: Task, side: int, initialisation: InitialisationSettings | None = None) -> None:
        self._levels, self._channels, self._side = len(body.encoder), body.channels, side
        self.channels = body.inputs
        begins = initialisation or InitialisationSettings()
        head = Upscaler(self._channels, task.outputs, side, spread=begins.head)
        super().__init__(Dense(body, _role), head, begins)

    @classmethod
    def fetch(cls, settings: BackboneSettings) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Random weights (`weights: drawn`, by `seed`), or those of a safetensors file."""
        body = build(settings.arguments, settings.seed)
        if settings.weights == "drawn":
            return _state(body), {"weights": "drawn"}
        path = Path(settings.weights)
        if not path.is_file():
            raise OSError(f"backbone.weights: {path} is no file; of a U-Net, allowed: `drawn`, or a safetensors file")
        _fill(body, path)
        return _state(body), {"weights": "file", "source": path.name, "source_sha256": sha256(path)}

    @classmethod
    def load(cls, setup: Setup) -> Self:
        """The stages with their weights."""
        body = build(setup.arguments)
        if halved := unit(cls.name, setup.name, setup.arguments):
            covered(setup.image_size, *halved)
        if setup.weights is not None:
            _fill(body, setup.weights)
        return cls(body, setup.task, setup.image_size, setup.initialisation)

    def export(self, folder: Path, params: Leaves, heads: Mix, adapters: Mix) -> None:
        """`unet.safetensors`, the state of `Body` as far as it was trained, and `head.safetensors`."""
        found = {name: t.detach().cpu().contiguous() for name, t in self._dense.deployed(params, adapters).items()}
        with atomic(folder / "unet.safetensors") as path:
            path.write_bytes(serialised(found, {"format": "pt"}))
        save_heads(folder, params, heads)


def build(arguments: Mapping[str, Any], seed: int = 0) -> Body:
    """The stages that a configuration asks for, their weights at random.

    Args:
        arguments: `channels`, `levels`, `norm` and `inputs`.
        seed: Of the random weights.

    Returns:
        The stages.

    Raises:
        ValueError: There is no such argument, or it has no such value.
    """
    known = {"channels": 16, "levels": 4, "norm": "batch", "inputs": 3}
    chosen = {**known, **arguments}
    if unknown := sorted(set(chosen) - set(known)):
        raise ValueError(f"backbone.arguments: a U-Net has no {', '.join(unknown)}; allowed: {', '.join(known)}")
    for name in ("channels", "levels", "inputs"):
        if not isinstance(chosen[name], int) or chosen[name] < 1:
            raise ValueError(f"backbone.arguments: {name} is {chosen[name]!r}, but must be a number from 1")
    if chosen["norm"] not in ("batch", "group"):
        raise ValueError(f"backbone.arguments: norm is {chosen['norm']!r}; allowed: batch, group")
    with torch.random.fork_rng(devices=[]):
        body = Body(**chosen)
    _draw(body, torch.Generator().manual_seed(seed))
    return body


def _draw(body: Body, source: torch.Generator) -> None:
    """Fill the convolutions as torch itself does at first: uniform, within 1 / sqrt(inputs) of zero.

    torch scales random numbers in float32, which takes one rounding on a CPU that multiplies and adds at once, and two
    on others. In float64 the product is exact: all CPUs draw what torch draws on the former.
    """
    gain = nn.init.calculate_gain("leaky_relu", math.sqrt(5))
    for layer in body.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            inputs = layer.weight[0].numel()
            bounds = math.sqrt(3) * (gain / math.sqrt(inputs)), 1 / math.sqrt(inputs)
            for values, bound in zip((layer.weight, layer.bias), bounds, strict=True):
                if values is not None:
                    least, most = torch.tensor([-bound, bound])
                    drawn = torch.rand(values.shape, generator=source).double()
                    values.data.copy_(drawn * (most - least).double() + least.double())


def _role(name: str) -> str:
    """The role of a weight of the stages."""
    way, _, rest = name.partition(".")
    # A stage is convolution, norm, ReLU, twice: its places 1 and 4 are norms.
    if way != "up" and rest.split(".")[1] in ("1", "4"):
        return "norm"
    return "backbone" if way == "encoder" else "decoder"


def _state(body: Body) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in body.state_dict().items() if not name.endswith("batches_tracked")}


def _fill(body: Body, path: Path) -> None:
    """Take over the weights of a file."""
    counters = {name: value for name, value in body.state_dict().items() if name.endswith("batches_tracked")}
    try:
        body.load_state_dict({**load_file(path), **counters}, strict=True)
    except Exception as error:  # Of a file that is none, the reader raises many kinds.
        raise ValueError(f"{path}: not the weights of this U-Net: {one_line(error, 300)}") from None
