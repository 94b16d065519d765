"""Heads: what makes a prediction of what a network sees. All their tensors are leaves."""

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from safetensors.torch import save as serialised
from torch import Tensor

from benchmark.files import atomic
from benchmark.leaf import Initial, Leaf, Leaves
from benchmark.method import Mix

HEADS = "head.safetensors"
"""The file of one client's heads, where PEFT's format has no place for them."""


class Head(Protocol):
    """What a network asks of its head."""

    @property
    def inputs(self) -> int:
        """Size of the features, and of what it sees in each place."""
        ...

    def leaves(self, name: str, *, trainable: bool = True) -> list[Leaf]:
        """The leaves of a head of this name."""
        ...

    def __call__(self, params: Leaves, name: str, seen: Any) -> Tensor:
        """The prediction (n, outputs, ...) of the head of this name, of what it sees of n images."""
        ...


@dataclass(frozen=True)
class Linear:
    """One linear layer on the features of an image.

    Attributes:
        inputs: Size of the features.
        outputs: Numbers that the task predicts.
        spread: Standard deviation of the initial weights; biases begin at zero.
    """

    inputs: int
    outputs: int
    spread: float = 0.02

    def leaves(self, name: str, *, trainable: bool = True) -> list[Leaf]:
        """The leaves of a head of this name."""
        weight, bias = (self.outputs, self.inputs), (self.outputs,)
        return [
            Leaf(f"{name}/weight", name, "head", weight, Initial("normal", self.spread), trainable),
            Leaf(f"{name}/bias", name, "head", bias, Initial(), trainable),
        ]

    def __call__(self, params: Leaves, name: str, seen: Tensor) -> Tensor:
        """Features (n, inputs) to (n, outputs), by the head of this name."""
        return F.linear(seen, params[f"{name}/weight"], params[f"{name}/bias"])


@dataclass(frozen=True)
class Upscaler:
    """Transposed convolutions from a grid of tokens to the pixels of the image, and a linear layer for each pixel.

    It is the upscaling head of the Segment Anything model (arXiv 2304.02643, appendix A) as FLAP-SAM makes it deeper,
    up to the full size of the image (arXiv 2407.21739), without prompts. Every stage but the last is normalised over
    channels; GELU follows each. A kernel is as wide as its stride, so that a stage is a matrix product for every place
    of the grid; weights have the shape that torch's `ConvTranspose2d` gives them.

    Attributes:
        inputs: Size of a token.
        outputs: Numbers that the task predicts of each pixel.
        side: Side of the grid.
        factors: By what each stage widens the grid; none where the grid is that of the pixels.
        spread: Standard deviation of the last layer's initial weights; its biases begin at zero.
        first: Channels after the first stage; they are halved from stage to stage.
        least: Channels that a stage has at least.
        eps: Of the normalisation.
    """

    inputs: int
    outputs: int
    side: int
    factors: Sequence[int] = ()
    spread: float = 0.02
    first: int = 64
    least: int = 8
    eps: float = 1e-5

    @property
    def channels(self) -> list[int]:
        """Of the tokens, and after each stage."""
        return [self.inputs, *(max(self.least, self.first >> stage) for stage in range(len(self.factors)))]

    def leaves(self, name: str, *, trainable: bool = True) -> list[Leaf]:
        """The leaves of a head of this name."""
        weight = Leaf(f"{name}/weight", name, "head", (self.outputs, self.channels[-1]), Initial("normal", self.spread))
        bias = Leaf(f"{name}/bias", name, "head", (self.outputs,))
        last = [replace(leaf, trainable=trainable) for leaf in (weight, bias)]
        return [*self.stages(name, trainable=trainable), *last]

    def stages(self, name: str, *, trainable: bool = True) -> list[Leaf]:
        """The leaves of its stages alone; they begin as torch's linear layers do."""
        shapes: list[tuple[str, tuple[int, ...], Initial]] = []
        for stage, factor in enumerate(self.factors):
            inputs, outputs = self.channels[stage : stage + 2]
            uniform = Initial("uniform", 1 / math.sqrt(inputs))
            shapes += [
                (f"up{stage}.weight", (inputs, outputs, factor, factor), uniform),
                (f"up{stage}.bias", (outputs,), Initial()),
            ]
            if stage < len(self.factors) - 1:
                shapes += [
                    (f"norm{stage}.weight", (outputs,), Initial("constant", 1.0)),
                    (f"norm{stage}.bias", (outputs,), Initial()),
                ]
        return [Leaf(f"{name}/{own}", name, "head", shape, begins, trainable) for own, shape, begins in shapes]

    def __call__(self, params: Leaves, name: str, seen: Tensor) -> Tensor:
        """A grid (n, side, side, inputs) to (n, outputs, pixels, pixels), by the head of this name."""
        seen = self.widened(params, name, seen)
        return self.placed(F.linear(seen, params[f"{name}/weight"], params[f"{name}/bias"]).transpose(1, 2))

    def widened(self, params: Leaves, name: str, seen: Tensor) -> Tensor:
        """What the last layer reads of a grid: (n, places, channels), in an order that `placed` knows."""
        n, seen = len(seen), seen.flatten(0, 2)
        for stage in range(len(self.factors)):
            weight, bias = params[f"{name}/up{stage}.weight"], params[f"{name}/up{stage}.bias"]
            # What a place becomes stays beside it: no stage looks at neighbours, and no map is copied to be in order.
            seen = (seen @ weight.permute(0, 2, 3, 1).flatten(1)).reshape(-1, weight.shape[1]) + bias
            if stage < len(self.factors) - 1:
                weight, bias = params[f"{name}/norm{stage}.weight"], params[f"{name}/norm{stage}.bias"]
                seen = F.layer_norm(seen, weight.shape, weight, bias, self.eps)
            seen = F.gelu(seen)
        return seen.unflatten(0, (n, -1))

    def placed(self, maps: Tensor) -> Tensor:
        """Maps (n, C, places) of what `widened` found, as (n, C, pixels, pixels)."""
        sides = (self.side, *self.factors)
        nested = maps.unflatten(2, [side for side in sides for _ in range(2)])  # Row and column, stage by stage.
        rows, columns = (range(first, nested.dim(), 2) for first in (2, 3))
        pixels = math.prod(sides)
        return nested.permute(0, 1, *rows, *columns).reshape(*maps.shape[:2], pixels, pixels)


def stages(factor: int) -> list[int]:
    """The prime factors of a number, smallest first: by what the stages widen a grid that is so much too small."""
    found, divisor = [], 2
    while factor > 1:
        while factor % divisor == 0:
            found.append(divisor)
            factor //= divisor
        divisor += 1
    return found


def weighted(head: Callable[[str], Tensor], heads: Mix) -> Tensor:
    """The weighted sum of several heads' predictions.

    Args:
        head: The prediction (n, ...) of the head of a name.
        heads: Their weights: a number each, or one for each image (n,).

    Returns:
        Shape (n, ...).
    """
    found = [_times(head(name), weight) for name, weight in heads.items()]
    return torch.stack(found).sum(0) if len(found) > 1 else found[0]


def save_heads(folder: Path, params: Leaves, heads: Mix) -> None:
    """Write one client's heads as `HEADS`: their leaves by name, and in its metadata the heads' weights.

    Args:
        folder: Receives the file.
        params: The client's deployed leaves.
        heads: The weight of each head.
    """
    own = {leaf: tensor for leaf, tensor in params.items() if leaf.partition("/")[0] in heads}
    weights = {name: float(weight) for name, weight in heads.items()}
    with atomic(folder / HEADS) as path:
        found = {name: tensor.detach().cpu().contiguous() for name, tensor in own.items()}
        path.write_bytes(serialised(found, {"format": "pt", "weights": json.dumps(weights)}))


def _times(prediction: Tensor, weight: float | Tensor) -> Tensor:
    if isinstance(weight, Tensor):
        return prediction * weight.reshape(-1, *[1] * (prediction.dim() - 1))
    return prediction if weight == 1 else prediction * weight
