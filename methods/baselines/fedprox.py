"""FedProx: FedAvg whose clients stay near what they received."""

from dataclasses import dataclass

from torch import Tensor

from benchmark.method import Batch, Leaves, Method, squared_distance


@dataclass(frozen=True)
class FedProx(Method):
    """Loss + mu/2 * |w - w_t|^2, w_t being the round's start (arXiv 1812.06127, equation 2).

    Attributes:
        mu: Strength of the proximal term. Zero is FedIT.
    """

    mu: float = 0.01

    title = "FedProx"
    paper = "arXiv:1812.06127"

    def loss(self, batch: Batch, params: Leaves, start: Leaves, memory: Leaves) -> Tensor:
        """The task's loss and the distance of adapters and head from the round's start."""
        return batch.task_loss(batch(params)) + self.mu / 2 * squared_distance(params, start)
