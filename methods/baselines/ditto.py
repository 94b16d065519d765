"""Ditto: FedAvg, and beside it a personal model that stays near the global one."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from benchmark.method import Batch, Leaves, Method, Mix, Phase, belonging, squared_distance

COMMON: Mix = {"global": 1.0, "head": 1.0}
OWN: Mix = {"personal": 1.0, "personal_head": 1.0}


@dataclass(frozen=True)
class Ditto(Method):
    """Minimise F(w) + F(v) + strength/2 * |v - w_t|^2; w is averaged, v predicts (arXiv 2012.04221, algorithm 1).

    All clients weigh the same in the mean, as in the authors' code. Both models take their steps on the same batches: w
    and v share no leaf, so neither changes the other's gradient.

    Attributes:
        strength: The paper's lambda. With zero the personal model is trained alone.
    """

    strength: float = 1.0

    title = "Ditto"
    paper = "arXiv:2012.04221"
    adapters = ("global", "personal")
    heads = ("head", "personal_head")
    head = "shared"
    averaging = "uniform"

    def mix(self, params: Leaves) -> Mix:
        """The personal model."""
        return OWN

    def phases(self, round: int) -> Sequence[Phase]:
        """Both models at once; the personal one begins as the global one."""
        return [Phase(copies={"personal": "global", "personal_head": "head"} if round == 0 else {})]

    def loss(self, batch: Batch, params: Leaves, start: Leaves, memory: Leaves) -> Tensor:
        """Both losses, and the distance of the personal model from the global one that was received."""
        distance = sum(
            squared_distance(belonging(params, own), belonging(start, common))
            for own, common in zip(OWN, COMMON, strict=True)
        )
        losses = batch.task_loss(batch(params, COMMON)) + batch.task_loss(batch(params, OWN))
        return losses + self.strength / 2 * distance
