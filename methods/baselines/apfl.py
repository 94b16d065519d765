"""APFL: every client predicts with a mixture of the global and its own model, and learns the mixture."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from benchmark.method import Batch, Leaves, Method, Mix, Phase


@dataclass(frozen=True)
class APFL(Method):
    """Minimise F(w) over w and F(alpha v + (1 - alpha) w) over v and alpha (arXiv 2003.13461, algorithm 1).

    Adapters are mixed by their products, so that the effective weights are; w and alpha v never meet in a gradient.

    Attributes:
        learned: Whether each client learns alpha; it is 1/2 otherwise.
    """

    learned: bool = True

    title = "APFL"
    paper = "arXiv:2003.13461"
    adapters = ("global", "personal")
    heads = ("head", "personal_head")
    scalars: ClassVar[Mapping[str, float]] = {"alpha": 0.5}
    head = "shared"

    def mix(self, params: Leaves) -> Mix:
        """The mixture; alpha stays between 0 and 1."""
        own = params["alpha"].clamp(0, 1) if self.learned else 0.5
        return {"global": 1 - own, "personal": own, "head": 1 - own, "personal_head": own}

    def phases(self, round: int) -> Sequence[Phase]:
        """Both models and, where it is learned, alpha."""
        return [Phase(trains=lambda leaf: self.learned or leaf.role != "scalar")]

    def loss(self, batch: Batch, params: Leaves, start: Leaves, memory: Leaves) -> Tensor:
        """The global model's loss, and the mixture's with the global model held fixed."""
        fixed = {n: leaf.detach() if n.startswith(("global/", "head/")) else leaf for n, leaf in params.items()}
        return batch.task_loss(batch(params, {"global": 1.0})) + batch.task_loss(batch(fixed, self.mix(fixed)))
