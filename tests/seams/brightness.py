"""A third task, in one file: one number is predicted of every image, and less error is better."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from benchmark.tasks.task import Floats, Task

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image
    from torch import Tensor


@dataclass(frozen=True)
class Brightness(Task):
    """To tell a number, the index column `brightness`, from an image."""

    name = "brightness"
    score_name = "mean_absolute_error"
    higher_is_better = False
    counted = ("error", "images")

    def target(self, row: Mapping[str, Any], root: Path, fit: "Callable[[Image], npt.NDArray[Any]]") -> npt.ArrayLike:
        """The number."""
        return np.float64(row["brightness"])

    @property
    def outputs(self) -> int:
        """One number."""
        return 1

    def augment(
        self, images: "Tensor", targets: "Tensor", settings: Any, draws: "Tensor", dtype: "torch.dtype"
    ) -> "tuple[Tensor, Tensor]":
        """Turned and mirrored; brightness and contrast are what is asked about, and stay."""
        from benchmark.data.augmentation import augment

        still = settings.model_copy(update={"brightness": 0.0, "contrast": 0.0})
        return augment(images, still, draws, dtype), targets.to(dtype)

    def loss(self, prediction: "Tensor", target: "Tensor", priors: "Mapping[str, Tensor]") -> "Tensor":
        """Squared where the error is small, and linear beyond."""
        import torch.nn.functional as F

        return F.smooth_l1_loss(prediction[:, 0], target, beta=0.1) / 10

    def counts(self, prediction: "Tensor", target: "Tensor") -> "Tensor":
        """The absolute error, and one image: (..., n, 1, 2)."""
        import torch

        error = (prediction[..., 0] - target).abs().double()
        error = error.masked_fill(~torch.isfinite(error), torch.nan)
        return torch.stack([error, torch.ones_like(error)], -1).unsqueeze(-2)

    def ratios(self, counts: Floats) -> tuple[Floats, Floats]:
        """The mean absolute error: errors by images."""
        return counts[..., 0], counts[..., 1]
