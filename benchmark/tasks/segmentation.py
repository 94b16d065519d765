"""Segmentation: a class for every pixel, cross-entropy and soft Dice, and the Dice coefficient of every case."""

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
SCORED = ("all", "foreground")
"""Which images can be scored: all, or those whose target shows a class of the foreground."""
BATCH = 5
"""Images that the published mean over batches takes together (arXiv 2204.08467, released code)."""
SMOOTH = 1e-5
"""Added above and below the line of soft Dice, so that a class without a pixel has none to lose (arXiv 2407.21739)."""
DISTANCE = "distance_95"
"""What is kept of predictions, for each class of the foreground: `distance_95_1`."""


@dataclass(frozen=True)
class Segmentation(Task):
    """To tell the class of every pixel. A target is a map of positions in `classes`, (S, S) uint8; 0 is background.

    The loss of n images of P pixels with the probabilities p_ic (softmax of the logits) and g_ic, one where pixel i is
    of class c and zero elsewhere, over the sums' nP pixels and C classes, with w = `settings["dice_weight"]`:

        (1 - w) * cross-entropy + w * (1 - mean_c (2 sum_i p_ic g_ic + s) / (sum_i p_ic^2 + sum_i g_ic^2 + s))

    The second term is soft Dice (arXiv 1606.04797, eq. 1) of the whole batch, background included, as FLAP-SAM has it
    (arXiv 2407.21739, w = 0.8).

    The score is the mean over cases, then over the classes of the foreground, of the Dice coefficient 2 hit /
    (predicted + true) of pixels, added up over the images of the case. A class that neither the prediction nor the
    target shows scores 1; one that only one of them shows scores 0. With `settings["scored_images"]` = `foreground`,
    images whose target is background alone count nothing, whatever is predicted for them: a published choice, which
    no hospital without labels can make.
    """

    name = "segmentation"
    score_name = "dice"
    counted = ("hit", "predicted", "true")
    bounds = (0.0, 1.0)
    unit = "case"
    predicts = "pixels"
    figures = ("case_scores", "overlays")
    parts = Parts("dice", "Dice coefficient", share=False)
    measures: ClassVar[Mapping[str, str]] = {"jaccard": "the mean Jaccard index of cases and classes"}
    defaults: ClassVar[Mapping[str, Any]] = {"dice_weight": 0.8, "scored_images": "all"}
    published_as = "Dice with background, mean over batches"

    def __post_init__(self) -> None:
        weight = self.setting("dice_weight")
        if not isinstance(weight, int | float) or not 0 <= weight <= 1:
            raise ValueError(
                f"tasks.{self.name}.dice_weight: {weight!r} is no number from 0 (cross-entropy) to 1 (soft Dice)"
            )
        if (scored := self.setting("scored_images")) not in SCORED:
            raise ValueError(f"tasks.{self.name}.scored_images: {scored!r} is none of {', '.join(SCORED)}")

    # What a target is.

    def target(self, row: Mapping[str, Any], root: Path, fit: "Callable[[Image], npt.NDArray[Any]]") -> npt.ArrayLike:
        """The map of the picture at `target`, whose pixels are positions in `classes`; 255 is 1 where there are two.

        A picture that shows background alone is a fault, unless the index has a column `empty` that is true there.
        """
        from PIL import Image

        path = root / str(row["target"])
        with Image.open(path) as picture:
            values = np.asarray(picture)
        if values.ndim != 2:
            raise ValueError(
                f"{path}: has {values.shape[-1]} channels, and a mask has one, a class for each pixel; write it anew "
                "as docs/datasets.md says"
            )
        found = np.unique(values)
        known = set(range(len(self.classes))) | ({255} if len(self.classes) == 2 else set())
        if unknown := sorted(set(found.tolist()) - known):
            raise ValueError(
                f"{path}: holds the value {unknown[0]}, but a mask of {len(self.classes)} classes holds "
                f"{', '.join(map(str, sorted(known)))}; write it anew as docs/datasets.md says"
            )
        if not found.any() and not row.get("empty", False):
            raise ValueError(
                f"{path}: is empty, all background; leave the image out, or let the index say `empty` of it"
            )
        labels = np.where(values == 255, 1, values).astype(np.uint8)
        try:
            return fit(Image.fromarray(labels))
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None

    def strata(self, targets: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        """The last class that an image shows: images of the rarer kind are kept in proportion."""
        return np.array([labels.max() for labels in targets], dtype=np.int64)

    @property
    def strata_names(self) -> Sequence[str]:
        """The classes."""
        return self.classes

    # What is trained.

    @property
    def outputs(self) -> int:
        """A logit for each class of every pixel."""
        return len(self.classes)

    def augment(
        self, images: "Tensor", targets: "Tensor", settings: Any, draws: "Tensor", dtype: "torch.dtype"
    ) -> "tuple[Tensor, Tensor]":
        """Maps move as their images do, by the nearest pixel; what changes values alone passes them by."""
        from benchmark.data.augmentation import augment, moved

        maps = moved(targets.unsqueeze(-1), settings, draws, labels=True).squeeze(-1)
        return augment(images, settings, draws, dtype), maps

    def loss(self, prediction: "Tensor", target: "Tensor", priors: "Mapping[str, Tensor]") -> "Tensor":
        """Cross-entropy and soft Dice of logits (n, C, S, S) against maps (n, S, S), weighted."""
        weight = self.setting("dice_weight")
        log_p = prediction.log_softmax(1)
        true = self._one_hot(target, prediction)
        # Products with zeros and ones: a gather's gradient adds up in any order on a GPU.
        cross_entropy = -(log_p * true).sum(1).mean()
        if weight == 0:
            return cross_entropy
        p = log_p.exp()
        over = (0, 2, 3)
        together = (p * true).sum(over)
        dice = (2 * together + SMOOTH) / (p.square().sum(over) + true.sum(over) + SMOOTH)
        return (1 - weight) * cross_entropy + weight * (1 - dice.mean())

    def _one_hot(self, target: "Tensor", like: "Tensor") -> "Tensor":
        """Maps (n, S, S) as (n, C, S, S) of zeros and ones, of a tensor's dtype."""
        import torch

        classes = torch.arange(len(self.classes), device=target.device).view(-1, 1, 1)
        return (target.unsqueeze(1) == classes).to(like.dtype)

    # How good a prediction is.

    def counts(self, prediction: "Tensor", target: "Tensor") -> "Tensor":
        """Of every image and class, background among them, how many pixels are hit, predicted and true.

        All are zero for an image that is not scored; see `scored_images`.
        """
        import torch

        found = prediction.argmax(-3)  # (..., n, S, S)
        broken = ~torch.isfinite(prediction).all(-1).all(-1).all(-1)  # (..., n)
        counts = []
        for c in range(len(self.classes)):
            predicted, true = found == c, (target == c).expand_as(found)
            sums = [kind.sum((-2, -1)).double() for kind in (predicted & true, predicted, true)]
            counts.append(torch.stack([*(own.masked_fill(broken, torch.nan) for own in sums[:TRUE]), sums[TRUE]], -1))
        if self.setting("scored_images") == "all":
            return torch.stack(counts, -2)
        left_out = (target == 0).flatten(1).all(1) & ~broken  # (..., n)
        return torch.stack(counts, -2).masked_fill(left_out[..., None, None], 0.0)

    def _scored(self, counts: Floats) -> Bools:
        """Which units are scored, (..., U), from their counts (..., U, C, 3): where an image is not left out."""
        shown: Bools = counts[..., TRUE].sum(-1) > 0
        return shown | (self.setting("scored_images") == "all")

    @property
    def part_names(self) -> Sequence[str]:
        """The classes of the foreground."""
        return self.classes[1:]

    def ratios(self, counts: Floats) -> tuple[Floats, Floats]:
        """The Dice coefficient's mean over scored cases, class by class of the foreground: each has every class.

        A ValueError says that none of the units is scored.
        """
        if counts.size and not self._scored(counts).any():
            raise ValueError(
                f"tasks.{self.name}.scored_images: `foreground` leaves a client nothing to score, none of whose images "
                f"shows {', '.join(self.classes[1:])}; set it to `all`, or leave the client out"
            )
        cases, scored = dice(counts), self._scored(counts)[..., np.newaxis]
        return np.where(scored, cases, 0.0), np.broadcast_to(scored, cases.shape).astype(np.float64)

    def chance(self, counts: Floats) -> float | None:
        """Of background everywhere: how many scored cases show nothing of a class; None where none shows anything."""
        empty = counts[self._scored(counts)][:, 1:, TRUE] == 0
        return None if empty.all() else float(empty.mean())

    def appearances(self, counts: Floats) -> tuple[Bools, Bools]:
        """Whether a pixel is of each class of the foreground, and whether one is taken for it."""
        return counts[..., 1:, TRUE] > 0, counts[..., 1:, PREDICTED] > 0

    def kept(self, prediction: "Tensor", target: "Tensor") -> dict[str, npt.NDArray[Any]]:
        """Of every image, the 95 % surface distance of each class of the foreground, which no counts give."""
        found, true = (maps.cpu().numpy() for maps in (prediction.argmax(-3), target))
        return {
            f"{DISTANCE}_{c}": np.array(
                [surface_distance(own, other) for own, other in zip(found == c, true == c, strict=True)],
                dtype=np.float32,
            )
            for c in range(1, len(self.classes))
        }

    def decided(self, prediction: "Tensor") -> Decided:
        """The classes of pixels."""
        return among(self.classes, prediction)

    def pictured(self, counts: Floats) -> int:
        """The slice with the most pixels that are not background."""
        return int(counts[:, 1:, TRUE].sum(-1).argmax())

    def shown(self, prediction: "Tensor") -> npt.NDArray[Any]:
        """The map of predicted classes, (n, S, S) uint8."""
        labels: npt.NDArray[Any] = prediction.argmax(-3).cpu().numpy().astype(np.uint8)
        return labels

    def metrics(self, counts: Floats, kept: pd.DataFrame) -> list[Metric]:
        """The Jaccard index, and of every class of the foreground the Dice coefficient and the surface distance.

        The distance is in pixels of the packed image, a mean over the images on which both prediction and target show
        the class; where there is none, it has no row. A class that is missed whole has no distance: misses, which Dice
        counts with 0, do not make the mean larger.
        """
        cases, places = np.unique(kept["case"].astype(str).to_numpy(dtype=str), return_inverse=True)
        added = np.zeros((len(cases), *counts.shape[1:]))
        np.add.at(added, places, counts)
        of_cases, n = dice(added[self._scored(added)]), len(counts)
        found: list[Metric] = [("jaccard", float((of_cases / (2 - of_cases)).mean()), n)]
        for c, name in enumerate(self.classes[1:], 1):
            found.append((f"dice[{name}]", float(of_cases[:, c - 1].mean()), n))
            distances = kept[f"{DISTANCE}_{c}"].to_numpy(np.float64)
            if shown := int(np.isfinite(distances).sum()):
                found.append((f"surface_distance_95[{name}]", float(np.nanmean(distances)), shown))
        diverged = np.isnan(counts).any()
        return [(name, float("nan"), count) for name, _, count in found] if diverged else found

    def published(self, counts: Floats) -> float:
        """IOP-FL's number (arXiv 2204.08467, released code): images that show nothing of the foreground are left out.

        The Dice coefficient 2 hit / (predicted + true + 1e-5) of every class, background included, in every image; its
        mean over classes and over the images of a batch of `BATCH`, in their order; then over batches, of which the
        last one may be smaller. Background scores high everywhere, so that the number is larger than our score.
        """
        shown = counts[(counts[:, 1:, TRUE] > 0).any(-1)]
        if not len(shown):
            return float("nan")
        of_images = (2 * shown[..., HIT] / (shown[..., PREDICTED] + shown[..., TRUE] + SMOOTH)).mean(-1)
        batches = [of_images[first : first + BATCH].mean() for first in range(0, len(of_images), BATCH)]
        return float(np.mean(batches))


def dice(counts: Floats) -> Floats:
    """The Dice coefficient of every case and class of the foreground: counts (..., U, C, 3) to (..., U, C - 1)."""
    hit, predicted, true = (counts[..., 1:, place] for place in (HIT, PREDICTED, TRUE))
    both = predicted + true
    found: Floats = np.where(both == 0, 1.0, 2 * hit / np.where(both == 0, 1.0, both))
    return found


def surface_distance(found: npt.NDArray[np.bool_], true: npt.NDArray[np.bool_]) -> float:
    """The 95 % surface distance of two masks (S, S), in pixels: how far one's outline is from the other's.

    The distance of every pixel of an outline to the other outline, its 95th percentile, and the larger of both
    directions: the Hausdorff distance without its 5 % farthest pixels.

    Args:
        found: The predicted mask.
        true: The target.

    Returns:
        The distance; NaN where a mask is empty.
    """
    from scipy.ndimage import binary_erosion, distance_transform_edt

    if not (found.any() and true.any()):
        return float("nan")
    outlines = [mask & ~binary_erosion(mask) for mask in (found, true)]
    away = [distance_transform_edt(~outline) for outline in outlines]
    both = (away[1][outlines[0]], away[0][outlines[1]])
    return float(max(np.percentile(distances, 95) for distances in both))
