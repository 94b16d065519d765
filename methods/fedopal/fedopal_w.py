"""FedOPAL-W: FedPAL, with the two adapters' weights kept orthogonal."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from benchmark.method import Batch, Leaves, Method


@dataclass(frozen=True)
class FedOPALW(Method):
    """Loss + strength * mean over layers of |A_g A_p^T| (arXiv 2510.12741; the penalty is O-LoRA's, arXiv 2310.14152).

    Attributes:
        strength: The paper's lambda. Zero is FedPAL.
        entries: How the r x r products' absolute entries are reduced: `sum`, as O-LoRA's code does, or `mean`.
    """

    strength: float = 0.1
    entries: Literal["sum", "mean"] = "sum"

    title = "FedOPAL-W"
    paper = "arXiv:2510.12741"
    needs = ("lora",)
    adapters = ("global", "personal")

    def loss(self, batch: Batch, params: Leaves, start: Leaves, memory: Leaves) -> Tensor:
        """The task's loss and the overlap of the rows of both A."""
        pairs = zip(batch.factors(params, "global", "A"), batch.factors(params, "personal", "A"), strict=True)
        overlap = torch.stack([(shared @ own.T).abs() for shared, own in pairs])  # (layers, r, r)
        per_layer = overlap.mean((1, 2)) if self.entries == "mean" else overlap.sum((1, 2))
        return batch.task_loss(batch(params)) + self.strength * per_layer.mean()
