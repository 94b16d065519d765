"""Your method: `cp methods/_template.py methods/mine.py`, edit, `python -m benchmark check methods/mine.py`."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from benchmark.method import Batch, Leaf, Leaves, Method, Mix, Phase, part, squared_distance


@dataclass(frozen=True)
class Template(Method):
    """What it does, in one line: here, a personal adapter beside a global one that stays near the round's start.

    Attributes:
        mu: A setting. `method_settings: {mine: {mu: 0.1}}` in a configuration changes it.
    """

    mu: float = 0.01
    title = "My method"  # Its name in the tables.
    paper = "arXiv:0000.00000"
    adapters = ("global", "personal")  # Each a LoRA adapter of every client; both are drawn anew for each seed.

    def shared(self, leaf: Leaf) -> bool:
        """What travels. A leaf has a part (its adapter or head), a role and, for LoRA, a factor: A or B."""
        return leaf.part == "global"

    def mix(self, params: Leaves) -> Mix:
        """How the adapters' outputs are weighted, in prediction and where a phase names no mix of its own."""
        return {"global": 1.0, "personal": 1.0}

    def phases(self, round: int) -> Sequence[Phase]:
        """The passes of one round: first global adapter and head alone, then the personal adapter beside them."""
        return [Phase(trains=part("global", "head"), mix={"global": 1.0}), Phase(trains=part("personal"))]

    def loss(self, batch: Batch, params: Leaves, start: Leaves, memory: Leaves) -> Tensor:
        """The loss of one step; `start` holds the client's leaves as the round began. More: docs/methods.md."""
        return batch.task_loss(batch(params)) + self.mu / 2 * squared_distance(params, start)
