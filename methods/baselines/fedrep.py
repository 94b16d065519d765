"""FedRep: the personal head is trained first, then the shared representation below it."""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmark.method import Method, Phase, part


@dataclass(frozen=True)
class FedRep(Method):
    """The head beside fixed adapters, then the adapters beside the fixed head (arXiv 2102.07078, algorithm 1).

    Attributes:
        head_epochs: Passes of a round that train the head (the paper's tau; ten in the authors' experiments).
        closing_epochs: Passes that fine-tune the head after the last round, as the authors' code does. Zero is none.
    """

    head_epochs: int = 10
    closing_epochs: int = 10

    title = "FedRep"
    paper = "arXiv:2102.07078"
    head = "personal"

    def phases(self, round: int) -> Sequence[Phase]:
        """Head, then adapter."""
        return [Phase(trains=part("head"), epochs=self.head_epochs), Phase(trains=part("global"))]

    def closing(self) -> Sequence[Phase]:
        """The head."""
        return [Phase(trains=part("head"), epochs=self.closing_epochs)] if self.closing_epochs else []
