"""SCAFFOLD: FedAvg whose clients correct their drift with control variates."""

import torch
from torch import Tensor

from benchmark.method import Batch, Leaves, Method, belonging


class SCAFFOLD(Method):
    """Steps along g - c_i + c; c_i becomes the mean gradient of the round (arXiv 1910.06378, algorithm 1).

    Option II writes that mean as c_i - c + (x - y_i) / (K eta), which it equals for plain SGD; with momentum the way
    travelled is no mean gradient. The server's step is 1, and all clients weigh the same in both means.
    """

    title = "SCAFFOLD"
    paper = "arXiv:1910.06378"
    head = "shared"
    averaging = "uniform"

    def memory(self, params: Leaves) -> Leaves:
        """The client's control variate `own` and the server's `common`, both zero."""
        return {f"{kind}/{name}": torch.zeros_like(leaf) for kind in ("own", "common") for name, leaf in params.items()}

    def loss(self, batch: Batch, params: Leaves, start: Leaves, memory: Leaves) -> Tensor:
        """The task's loss and (c - c_i) w, whose gradient is the correction."""
        own, common = belonging(memory, "own"), belonging(memory, "common")
        correction = torch.stack([((common[name] - own[name]) * params[name]).sum() for name in own])
        return batch.task_loss(batch(params)) + correction.sum()

    def after(self, params: Leaves, start: Leaves, memory: Leaves, gradients: Leaves) -> Leaves:
        """The mean gradient of the task's loss: that of the objective without the correction."""
        own, common = belonging(memory, "own"), belonging(memory, "common")
        new = {f"own/{name}": gradient - common[name] + own[name] for name, gradient in gradients.items()}
        return {**memory, **new}

    def upload(self, params: Leaves, memory: Leaves) -> Leaves:
        """The client's control variate; the mean of all is the server's."""
        return {f"common/{name}": control for name, control in belonging(memory, "own").items()}

    def download(self, received: Leaves, params: Leaves, memory: Leaves, fresh: Leaves) -> tuple[Leaves, Leaves]:
        """Leaves are replaced, and so is the server's control variate."""
        return (
            {name: leaf for name, leaf in received.items() if name in params},
            {name: received.get(name, control) for name, control in memory.items()},
        )
