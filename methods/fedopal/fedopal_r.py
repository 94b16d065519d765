"""FedOPAL-R: FedPAL, with the two adapters' outputs kept orthogonal."""

from dataclasses import dataclass

import torch
from torch import Tensor

from benchmark.method import Batch, Leaves, Method


@dataclass(frozen=True)
class FedOPALR(Method):
    """Loss + strength * mean over layers, images and tokens of |cos(z_g, z_p)| (arXiv 2510.12741).

    Attributes:
        strength: The paper's lambda. Zero is FedPAL.
        eps: Floor of each norm. Both outputs begin at zero, where a cosine's gradient has no bound: with a tiny floor
            the second step is as large as 1/eps, at any learning rate. Below it the penalty is a scaled product.
    """

    strength: float = 0.1
    eps: float = 1e-2

    title = "FedOPAL-R"
    paper = "arXiv:2510.12741"
    needs = ("lora",)
    adapters = ("global", "personal")

    def loss(self, batch: Batch, params: Leaves, start: Leaves, memory: Leaves) -> Tensor:
        """The task's loss and the overlap of the adapters' outputs at every adapted projection."""
        output = batch(params, trace=True)
        pairs = zip(output.adapters["global"], output.adapters["personal"], strict=True)
        overlap = torch.stack([self._cosine(shared, own).abs().mean() for shared, own in pairs])
        return batch.task_loss(output) + self.strength * overlap.mean()

    def _cosine(self, x: Tensor, y: Tensor) -> Tensor:
        """Not torch's: the gradient of its `cosine_similarity` ignores the floor."""
        return (x * y).sum(-1) / (x.norm(dim=-1).clamp(min=self.eps) * y.norm(dim=-1).clamp(min=self.eps))
