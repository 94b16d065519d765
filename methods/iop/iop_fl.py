"""IOP-FL inside the federation: FedAvg, and beside it a running mean of each client's own models, which predicts."""

from dataclasses import dataclass

import torch

from benchmark.method import Leaves, Method, belonging


@dataclass(frozen=True)
class IOPFL(Method):
    """T <- a T + (1 - a) w after every round's training, w being the client's model (arXiv 2204.08467, released code).

    The first T is the client's first model, copied. T holds all that a client holds, running statistics of
    normalisation too. It is never sent and no training begins with it: what is shared is FedAvg's to the bit. Of LoRA
    the factors are averaged, not their products.

    Attributes:
        kept: The paper's a: how much of T a round keeps. With 0 a client predicts with its last model, with 1 with its
            first.
    """

    kept: float = 0.1

    title = "IOP-FL"
    paper = "arXiv:2204.08467"
    head = "shared"
    averaging = "samples"

    def memory(self, params: Leaves) -> Leaves:
        """T, and whether it has begun, which is 0 or 1."""
        return {
            "begun": torch.zeros_like(next(iter(params.values())).flatten()[0]),
            **{f"trajectory/{name}": leaf.clone() for name, leaf in params.items()},
        }

    def after(self, params: Leaves, start: Leaves, memory: Leaves, gradients: Leaves) -> Leaves:
        """T goes towards what was trained, before anything is averaged."""
        begun, a = memory["begun"], self.kept
        old = belonging(memory, "trajectory")
        new = {name: torch.where(begun > 0, a * old[name] + (1 - a) * leaf, leaf) for name, leaf in params.items()}
        return {"begun": torch.ones_like(begun), **{f"trajectory/{name}": leaf for name, leaf in new.items()}}

    def deployed(self, params: Leaves, memory: Leaves) -> Leaves:
        """T."""
        return dict(belonging(memory, "trajectory"))
