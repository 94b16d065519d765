"""APFL: every client predicts with a mixture of the global and its own model, and learns the mixture."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from benchmark.method import Batch, Leaves, Method, Mix, Phase, part


@dataclass(frozen=True)
class APFL(Method):
    """Minimise F(w) over w and F(alpha v + (1 - alpha) w) over v and alpha (arXiv 2003.13461, algorithm 1).

    As in the authors' code (MLOPTPSU/FedTorch), alpha takes one step at the start of a round, is then projected to
    [0, 1], and v begins as w. Adapters are mixed by their products, so that the effective weights are.

    Attributes:
        learned: Whether each client learns alpha; it is 1/2 otherwise.
        pull: The authors' code adds `pull` times alpha to alpha's gradient; the paper does not.
    """

    learned: bool = True
    pull: float = 0.02

    title = "APFL"
    paper = "arXiv:2003.13461"
    adapters = ("global", "personal")
    heads = ("head", "personal_head")
    scalars: ClassVar[Mapping[str, float]] = {"alpha": 0.5}
    head = "shared"
    averaging = "uniform"

    def mix(self, params: Leaves) -> Mix:
        """The mixture; alpha moves at the start of a round alone, so that to clamp it here is to project it then."""
        own = params["alpha"].clamp(0, 1) if self.learned else 0.5
        return {"global": 1 - own, "personal": own, "head": 1 - own, "personal_head": own}

    def phases(self, round: int) -> Sequence[Phase]:
        """One step of alpha where it is learned, then both models."""
        copies = {"personal": "global", "personal_head": "head"} if round == 0 else {}
        models = part(*self.adapters, *self.heads)
        if not self.learned:
            return [Phase(trains=models, copies=copies)]
        return [Phase(trains=part("alpha"), steps=1, copies=copies), Phase(trains=models)]

    def loss(self, batch: Batch, params: Leaves, start: Leaves, memory: Leaves) -> Tensor:
        """The global model's loss, and the mixture's with the global model held fixed; alpha's pull towards zero."""
        fixed = {n: leaf.detach() if n.startswith(("global/", "head/")) else leaf for n, leaf in params.items()}
        losses = batch.task_loss(batch(params, {"global": 1.0})) + batch.task_loss(batch(fixed, self.mix(fixed)))
        return losses + self.pull / 2 * params["alpha"] ** 2

    def download(self, received: Leaves, params: Leaves, memory: Leaves, fresh: Leaves) -> tuple[Leaves, Leaves]:
        """The global model is replaced, and alpha projected."""
        return {**received, "alpha": params["alpha"].clamp(0, 1)}, memory
