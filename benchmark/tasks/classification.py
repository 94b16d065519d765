"""Classification: one label for every image, cross-entropy or one of its kin, and balanced accuracy."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from benchmark.tasks.task import Bools, Decided, Floats, Metric, Parts, Task, among

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image
    from torch import Tensor

HIT, PREDICTED, TRUE = range(3)
"""The places of what is counted."""
LOSSES = ("cross_entropy", "weighted", "focal", "balanced_softmax")


@dataclass(frozen=True)
class Classification(Task):
    """To tell classes apart. A target is a position in `classes`, int64.

    The loss of a sample with the logits z and the label y, in a client with n_c training images of each of the C
    classes that it has, and n of all (`settings["loss"]`):

    * `cross_entropy`: -log softmax(z)_y
    * `weighted`: the same times n / (C n_y), so that every class weighs the same
    * `focal`: the same as cross-entropy times (1 - softmax(z)_y) ** gamma (arXiv 1708.02002, eq. 4)
    * `balanced_softmax`: -log softmax(z + log n)_y (arXiv 2007.10740, eq. 4)
    """

    name = "classification"
    score_name = "balanced_accuracy"
    bounds = (0.0, 1.0)
    counted = ("hit", "predicted", "true")
    figures = ("labels", "confusion", "reliability")
    parts = Parts("recall", "sensitivity", share=True)
    measures: ClassVar[Mapping[str, str]] = {
        "accuracy": "the share of images that are right",
        "confidence": "the mean probability of what is predicted: above the accuracy, the model promises too much",
        "calibration_error": "how far confidence and accuracy lie apart, over ten bins of confidence",
        "auc": "the mean area under the ROC curve, each class against the rest",
    }
    defaults: ClassVar[Mapping[str, Any]] = {"loss": "cross_entropy", "gamma": 2.0}

    def __post_init__(self) -> None:
        loss, gamma = self.setting("loss"), self.setting("gamma")
        if loss not in LOSSES:
            raise ValueError(f"tasks.{self.name}.loss: {loss!r} is no loss; allowed: {', '.join(LOSSES)}")
        if not isinstance(gamma, int | float) or not gamma >= 0:
            raise ValueError(f"tasks.{self.name}.gamma: {gamma!r} is no number from 0, which the focal loss needs")

    # What a target is.

    def target(self, row: Mapping[str, Any], root: Path, fit: "Callable[[Image], npt.NDArray[Any]]") -> npt.ArrayLike:
        """The label."""
        return np.int64(row["label"])

    def strata(self, targets: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        """The labels: every class is kept in proportion."""
        return targets.astype(np.int64)

    @property
    def strata_names(self) -> Sequence[str]:
        """The classes."""
        return self.classes

    # What is trained.

    @property
    def outputs(self) -> int:
        """A logit for each class."""
        return len(self.classes)

    def augment(
        self, images: "Tensor", targets: "Tensor", settings: Any, draws: "Tensor", dtype: "torch.dtype"
    ) -> "tuple[Tensor, Tensor]":
        """Labels stay what they are."""
        from benchmark.data.augmentation import augment

        return augment(images, settings, draws, dtype), targets

    def priors(self, targets: "Tensor") -> "dict[str, Tensor]":
        """How many training images the client has of each class, (C,) float64."""
        import torch

        classes = torch.arange(len(self.classes), device=targets.device)
        return {"images": (targets[:, None] == classes).sum(0).double()}

    def loss(self, prediction: "Tensor", target: "Tensor", priors: "Mapping[str, Tensor]") -> "Tensor":
        """The mean over images of the chosen loss of logits (n, classes) against labels (n,)."""
        import torch
        import torch.nn.functional as F

        kind = self.setting("loss")
        if kind == "cross_entropy":
            return F.cross_entropy(prediction, target)
        if kind == "focal":
            losses = F.cross_entropy(prediction, target, reduction="none")
            # 1 - p; never zero, where a power below 1 has no gradient.
            unsure = (-torch.expm1(-losses)).clamp(min=torch.finfo(losses.dtype).tiny)
            return (unsure ** self.setting("gamma") * losses).mean()
        images = priors["images"].to(prediction.dtype)
        if kind == "balanced_softmax":
            return F.cross_entropy(prediction + images.log(), target)
        weights = images.sum() / ((images > 0).sum() * images.clamp(min=1))
        return (weights[target] * F.cross_entropy(prediction, target, reduction="none")).mean()

    # How good a prediction is.

    def counts(self, prediction: "Tensor", target: "Tensor") -> "Tensor":
        """Of every image and class: whether it was hit, whether it was predicted, whether it is true."""
        import torch
        import torch.nn.functional as F

        predicted = F.one_hot(prediction.argmax(-1), len(self.classes)).to(torch.float64)
        true = F.one_hot(target, len(self.classes)).expand_as(predicted).to(torch.float64)
        broken = ~torch.isfinite(prediction).all(-1, keepdim=True)
        found = predicted.masked_fill(broken, torch.nan)
        return torch.stack([found * true, found, true], dim=-1)

    def ratios(self, counts: Floats) -> tuple[Floats, Floats]:
        """Balanced accuracy is the mean recall of the classes that are present: hits by images, class by class."""
        return counts[..., HIT], counts[..., TRUE]

    def chance(self, counts: Floats) -> float | None:
        """Of a constant prediction: one of the classes that are present; None where there is one class alone."""
        present = int((counts[..., TRUE].sum(0) > 0).sum())
        return 1 / present if present > 1 else None

    def appearances(self, counts: Floats) -> tuple[Bools, Bools]:
        """Whether an image is of each class, and whether one is taken for it."""
        return counts[..., TRUE] > 0, counts[..., PREDICTED] > 0

    def support(self, counts: Floats) -> npt.NDArray[np.int64]:
        """How many units show each class."""
        return self.appearances(counts)[0].sum(0)

    def confusion(self, counts: Floats) -> Floats:
        """Images of each class by the class that they were taken for. A diverged model takes an image for none."""
        matrix: Floats = counts[..., TRUE].T @ np.nan_to_num(counts[..., PREDICTED])
        return matrix

    def kept(self, prediction: "Tensor", target: "Tensor") -> dict[str, npt.NDArray[Any]]:
        """The predicted probabilities, for metrics that no counts give."""
        probabilities = prediction.softmax(-1).float().cpu().numpy()
        return {f"probability_{c}": probabilities[:, c] for c in range(probabilities.shape[1])}

    def decided(self, prediction: "Tensor") -> Decided:
        """The classes of images."""
        return among(self.classes, prediction)

    def metrics(self, counts: Floats, kept: pd.DataFrame) -> list[Metric]:
        """Accuracy, cross-entropy, calibration, every present class's recall, and the mean area under the ROC curve."""
        n, labels = len(counts), counts[..., TRUE].argmax(-1)
        probabilities = kept[[f"probability_{c}" for c in range(len(self.classes))]].to_numpy(np.float64)
        present, hit = np.unique(labels), counts[..., HIT].sum(-1)
        # Probabilities are stored in float32, where a small one becomes zero.
        chosen = np.maximum(probabilities[np.arange(n), labels], np.finfo(np.float32).tiny)
        found: list[Metric] = [
            ("accuracy", float(hit.mean()), n),
            ("cross_entropy", float(-np.log(chosen).mean()), n),
            ("confidence", float(probabilities.max(1).mean()), n),
            ("calibration_error", _calibration_error(probabilities.max(1), hit), n),
        ]
        for c in present:
            own = labels == c
            found.append((f"recall[{self.classes[c]}]", float(hit[own].mean()), int(own.sum())))
        if len(present) > 1:
            auc = float(np.mean([_auc(labels == c, probabilities[:, c]) for c in present]))
            found.append(("auc", auc, n))
        diverged = np.isnan(counts).any()
        return [(name, float("nan"), count) for name, _, count in found] if diverged else found


def _calibration_error(confidence: Floats, hit: Floats, bins: int = 10) -> float:
    """The expected calibration error (arXiv 1706.04599, eq. 3): |accuracy - confidence| of equally wide bins.

    Args:
        confidence: The probability of each prediction, (n,).
        hit: Whether it is right, (n,).
        bins: How many bins there are, from 0 to 1; each is weighted by its samples.

    Returns:
        From 0, where confidence is what accuracy turns out to be.
    """
    places = np.minimum((confidence * bins).astype(np.int64), bins - 1) if np.isfinite(confidence).all() else None
    if places is None:
        return float("nan")
    gaps = np.bincount(places, hit - confidence, bins)
    return float(np.abs(gaps).sum() / len(hit))


def _auc(positive: npt.NDArray[np.bool_], scores: Floats) -> float:
    """The area under the ROC curve: how often a positive sample is scored above a negative one; ties count half."""
    from scipy.stats import rankdata

    ranks, count = rankdata(scores), int(positive.sum())
    above = ranks[positive].sum() - count * (count + 1) / 2
    return float(above / (count * (len(scores) - count)))
