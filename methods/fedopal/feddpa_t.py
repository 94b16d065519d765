"""FedDPA-T: a personal and a global adapter, trained in turn within every round."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from benchmark.method import Batch, Leaves, Method, Mix, Phase, part, similarity


@dataclass(frozen=True)
class FedDPAT(Method):
    """Per round: the personal adapter beside a fixed global one, then the global one alone (arXiv 2403.19211).

    As in the authors' code, the first round trains the global adapter only. A prediction weights the personal adapter
    by how close the image is to the client's own.

    Attributes:
        weight: The personal adapter's weight in training, and its largest in prediction (the paper's alpha).
        instance_wise: Whether a prediction's weight depends on the image.
        weighting: Whose weight the similarity is: the personal adapter's, as the paper's idea has it (`paper`), or the
            global one's, as in the released program (`code`).
    """

    weight: float = 0.5
    instance_wise: bool = True
    weighting: Literal["paper", "code"] = "paper"

    title = "FedDPA-T"
    paper = "arXiv:2403.19211"
    trains = ("lora", "head")
    adapters = ("global", "personal")

    def mix(self, params: Leaves) -> Mix:
        """Both adapters, the personal one at its full weight."""
        return {"global": 1 - self.weight, "personal": self.weight}

    def phases(self, round: int) -> Sequence[Phase]:
        """Personal first, then global; the head is trained with the global adapter."""
        personal = Phase(trains=part("personal"))
        shared = Phase(trains=part("global", "head"), mix={"global": 1.0})
        return [shared] if round == 0 else [personal, shared]

    def predict(self, batch: Batch, support: Batch, params: Leaves) -> Tensor:
        """Weight each image's adapters by its mean cosine similarity to images of the client's own."""
        if not self.instance_wise:
            return batch(params).prediction
        near = self.weight * similarity(batch, support, params, {"personal": 1.0})
        personal = near if self.weighting == "paper" else 1 - near
        return batch(params, {"global": 1 - personal, "personal": personal}).prediction
