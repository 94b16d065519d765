"""FedAvg + FT: FedAvg to the end, then every client fine-tunes what it received."""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmark.method import Method, Phase


@dataclass(frozen=True)
class FedAvgFT(Method):
    """Average adapters and head in every round, then fine-tune both locally (arXiv 2206.09262).

    Attributes:
        epochs: Passes of fine-tuning over the client's images.
    """

    epochs: int = 1

    title = "FedAvg + FT"
    paper = "arXiv:2206.09262"

    def closing(self) -> Sequence[Phase]:
        """All leaves, once, at the rate of the rounds."""
        return [Phase(epochs=self.epochs)]
