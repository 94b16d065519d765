"""Heads: what makes a prediction of a network's features. All their tensors are leaves."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmark.leaf import Initial, Leaf, Leaves
from benchmark.method import Mix


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

    def __call__(self, params: Leaves, name: str, features: Tensor) -> Tensor:
        """Features (n, inputs) to (n, outputs), by the head of this name."""
        return F.linear(features, params[f"{name}/weight"], params[f"{name}/bias"])


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


def _times(prediction: Tensor, weight: float | Tensor) -> Tensor:
    if isinstance(weight, Tensor):
        return prediction * weight.reshape(-1, *[1] * (prediction.dim() - 1))
    return prediction if weight == 1 else prediction * weight
