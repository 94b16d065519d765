"""A task whose score is a mean over cases, and better where it is less: what evaluation must know nothing of."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from benchmark.tasks.task import Floats, Task

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class Distance(Task):
    """To say a number: the mean error over cases, counted as it is."""

    name = "distance"
    score_name = "mean_distance"
    higher_is_better = False
    counted = ("distance",)
    unit = "case"
    outputs = 1

    def target(self, row: Mapping[str, Any], root: Path, fit: Callable[..., npt.NDArray[Any]]) -> npt.ArrayLike:
        """The number."""
        return np.float32(row["number"])

    def augment(
        self, images: "Tensor", targets: "Tensor", settings: Any, draws: "Tensor", dtype: "torch.dtype"
    ) -> "tuple[Tensor, Tensor]":
        """Nothing is changed."""
        return images.to(dtype), targets

    def loss(self, prediction: "Tensor", target: "Tensor", priors: "Mapping[str, Tensor]") -> "Tensor":
        """The mean error."""
        return (prediction[:, 0] - target).abs().mean()

    def counts(self, prediction: "Tensor", target: "Tensor") -> "Tensor":
        """The error of every sample."""
        return (prediction[..., 0] - target).abs().double()[..., None, None]

    def ratios(self, counts: Floats) -> tuple[Floats, Floats]:
        """Its mean over cases, for each thing that is told apart."""
        return counts[..., 0], np.ones_like(counts[..., 0])
