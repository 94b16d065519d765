"""Classification: a linear head, cross-entropy, and balanced accuracy from additive counts."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmark.leaf import Leaf, Leaves


@dataclass(frozen=True)
class Classification:
    """What is learned: to tell classes apart.

    Attributes:
        classes: Their names, in the order of the labels.
    """

    classes: Sequence[str]
    name: str = "classification"
    score_name: str = "balanced_accuracy"
    higher_is_better: bool = True

    def head(self, name: str, dim: int) -> list[Leaf]:
        """The leaves of a linear head of this name, on features of size `dim`."""
        return [
            Leaf(f"{name}/weight", name, "head", (len(self.classes), dim)),
            Leaf(f"{name}/bias", name, "head", (len(self.classes),)),
        ]

    def output(self, params: Leaves, name: str, features: Tensor) -> Tensor:
        """Logits (n, classes) of features (n, dim), by the head of this name."""
        return F.linear(features, params[f"{name}/weight"], params[f"{name}/bias"])

    def loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Mean cross-entropy of logits (n, classes) against labels (n,) int64, a scalar."""
        return F.cross_entropy(logits, target)

    def counts(self, logits: Tensor, target: Tensor) -> Tensor:
        """What the score needs, additive over images.

        Args:
            logits: Shape (..., n, classes); leading dimensions are lanes.
            target: Labels, shape (n,), int64.

        Returns:
            Hits, predictions and true images of every class, shape (..., classes, 3), float64. A lane whose logits are
            not finite counts as NaN: it predicts nothing.
        """
        n_classes = len(self.classes)
        predicted = F.one_hot(logits.argmax(-1), n_classes)
        true = F.one_hot(target, n_classes).expand_as(predicted)
        counts = torch.stack([predicted * true, predicted, true], dim=-1).sum(-3).to(torch.float64)
        broken = ~torch.isfinite(logits).all(-1).all(-1)
        return counts.masked_fill(broken[..., None, None], torch.nan)

    def score(self, counts: Tensor) -> Tensor:
        """Balanced accuracy: the mean recall of the classes that are present, (..., classes, 3) -> (...)."""
        hit, true = counts[..., 0], counts[..., 2]
        recall = torch.where(true > 0, hit / true.clamp(min=1), 0.0)
        score = recall.sum(-1) / (true > 0).sum(-1).clamp(min=1)
        return score.masked_fill(counts.isnan().any(-1).any(-1), torch.nan)
