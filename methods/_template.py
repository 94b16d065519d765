"""Your method: copy this file to `methods/<name>.py`, and the next run puts it on the leaderboard.

Files that begin with an underscore are not run. All hooks and their defaults are in `benchmark/method.py`; each can be
left out. As it stands, this is FedProx on one LoRA adapter (arXiv 1812.06127).
"""

from dataclasses import dataclass

from torch import Tensor

from benchmark.method import Batch, Leaf, Leaves, Method, mean_over_clients


@dataclass(frozen=True)
class Template(Method):
    """What it does, in one line (paper, equation).

    Attributes:
        mu: A setting. `method_settings: {<name>: {mu: 0.1}}` in a configuration changes it.
    """

    mu: float = 0.01

    title = "My method"  # Its name in the tables.
    paper = "arXiv:0000.00000"
    adapters = ("global",)  # The LoRA adapters each client holds; their outputs are summed.

    def shared(self, leaf: Leaf) -> bool:
        """Which LoRA leaves travel. A leaf has a part (the adapter), a factor (A or B) and a role."""
        return leaf.part == "global"

    def loss(self, batch: Batch, params: Leaves, start: Leaves, memory: Leaves) -> Tensor:
        """What one client minimises: here, it also stays near the round's start."""
        distance = sum(((params[name] - start[name]) ** 2).sum() for name in params)
        return batch.task_loss(batch(params)) + self.mu / 2 * distance

    def server(self, sent: Leaves, start: Leaves, weights: Tensor) -> Leaves:
        """What all clients receive; leaves are stacked over clients on dimension 0."""
        return mean_over_clients(sent, weights)
