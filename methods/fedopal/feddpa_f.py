"""FedDPA-F: a federated global adapter first, then a personal one fine-tuned from it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from benchmark.method import Batch, Leaves, Method, Mix, Phase, part, similarity


@dataclass(frozen=True)
class FedDPAF(Method):
    """FedIT to the end, then each client fine-tunes a copy of the global adapter beside it (arXiv 2403.19211).

    Attributes:
        weight: The personal adapter's weight in fine-tuning, and its largest in prediction (the paper's alpha).
        epochs: Passes of fine-tuning.
        instance_wise: Whether a prediction's weight depends on the image.
        weighting: Whose weight the similarity is: the personal adapter's, as the paper's idea has it (`paper`), or the
            global one's, as in the released program (`code`).
    """

    weight: float = 0.5
    epochs: int = 1
    instance_wise: bool = True
    weighting: Literal["paper", "code"] = "paper"

    title = "FedDPA-F"
    paper = "arXiv:2403.19211"
    trains = ("lora", "head")
    adapters = ("global", "personal")

    def mix(self, params: Leaves) -> Mix:
        """Both adapters, the personal one at its full weight."""
        return {"global": 1 - self.weight, "personal": self.weight}

    def phases(self, round: int) -> Sequence[Phase]:
        """The global adapter and the head."""
        return [Phase(trains=part("global", "head"), mix={"global": 1.0})]

    def closing(self) -> Sequence[Phase]:
        """The personal adapter, from a copy of the global one."""
        return [Phase(trains=part("personal"), epochs=self.epochs, copies={"personal": "global"})]

    def predict(self, batch: Batch, support: Batch, params: Leaves) -> Tensor:
        """Weight each image's adapters by its mean cosine similarity to images of the client's own."""
        if not self.instance_wise:
            return batch(params).prediction
        near = self.weight * similarity(batch, support, params, {"personal": 1.0})
        personal = near if self.weighting == "paper" else 1 - near
        return batch(params, {"global": 1 - personal, "personal": personal}).prediction
