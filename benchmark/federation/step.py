"""One step of local training: every lane's gradients and its SGD, on tensors that stay where they are."""

from collections.abc import Sequence

import torch
from torch import Tensor

from benchmark.config import TrainingSettings
from benchmark.federation.model import Images, Model
from benchmark.leaf import Leaves
from benchmark.method import Method, Phase


class Step:
    """A step of all lanes in one pass of local training, every lane at its own rate.

    A call changes `trained`, `sums` and `total` in place, and nothing else: so that it can be recorded (`recorded.py`).

    Attributes:
        trained: The leaves that the pass trains, each of shape (L, ...).
        sums: Of each of them, the sum of its gradients over the steps; empty where the method does not look at them.
        total: The sum of the images' objectives over the steps, shape (L,), float64.

    Args:
        model: What is trained.
        settings: Momentum and weight decay.
        phase: Which leaves are trained, with which mix.
        rates: The L lanes' learning rates.
        seeds: Their seeds: lanes of one seed see the same images.
        params: The client's leaves as the pass begins, each of shape (L, ...).
        start: Its leaves as the round began, likewise.
        memory: What the client remembers, likewise.
    """

    def __init__(
        self,
        model: Model,
        settings: TrainingSettings,
        phase: Phase,
        rates: Sequence[float],
        seeds: Sequence[int],
        params: Leaves,
        start: Leaves,
        memory: Leaves,
    ) -> None:
        names = model.named(phase.trains)
        self.trained = {name: params[name].clone().requires_grad_() for name in names}
        self._settings = settings
        self._rest = {name: leaf for name, leaf in params.items() if name not in self.trained}
        self._start, self._memory = dict(start), dict(memory)
        self._buffers = [torch.zeros_like(leaf) for leaf in self.trained.values()]
        looks = type(model.method).after is not Method.after
        self.sums = {name: torch.zeros_like(leaf) for name, leaf in self.trained.items()} if looks else {}
        device, dtype = (getattr(next(iter(params.values())), kind) for kind in ("device", "dtype"))
        self.total = torch.zeros(len(rates), dtype=torch.float64, device=device)
        each = torch.tensor(rates, dtype=dtype, device=device)
        self._rates = [each.view(-1, *[1] * (leaf.dim() - 1)) for leaf in self.trained.values()]
        different = list(dict.fromkeys(seeds))
        self._of_lane = torch.tensor([different.index(seed) for seed in seeds], device=device)

        def objective(own: Leaves, rest: Leaves, began: Leaves, past: Leaves, images: Tensor, target: Tensor) -> Tensor:
            return model.method.loss(Images(model, images, target, phase.mix), {**rest, **own}, began, past)

        # The work on images that all lanes see, and every layer below the first adapter, is done once for all of them.
        shared = None if len(different) == 1 else 0
        self._every_lane = torch.vmap(objective, in_dims=(0, 0, 0, 0, shared, shared))

    def __call__(self, images: Sequence[Tensor], target: Sequence[Tensor]) -> None:
        """Take the step.

        Args:
            images: For each different seed, in the lanes' order, n augmented images (n, 3, size, size).
            target: Likewise their labels, shape (n,), int64.
        """
        losses, gradients = self.gradients(images, target)
        with torch.no_grad():
            if self.sums:
                torch._foreach_add_(list(self.sums.values()), gradients)
            descend(self._settings, list(self.trained.values()), gradients, self._buffers, self._rates)
            self.total += losses.to(torch.float64) * len(target[0])

    def gradients(self, images: Sequence[Tensor], target: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Every lane's objective (L,) on these images, and the gradients of the trained leaves; changes nothing."""
        own, labels = (self._each(tensors) for tensors in (images, target))
        losses = self._every_lane(self.trained, self._rest, self._start, self._memory, own, labels)
        # Lanes do not meet in the sum's gradient: each lane's loss depends on its own leaves alone.
        return losses.detach(), list(torch.autograd.grad(losses.sum(), list(self.trained.values())))

    def again(self, params: Leaves, start: Leaves, memory: Leaves) -> None:
        """Begin another pass of the same kind: new values in the very same tensors."""
        kept = ((self.trained, params), (self._rest, params), (self._start, start), (self._memory, memory))
        with torch.no_grad():
            for tensors, new in kept:
                for name, tensor in tensors.items():
                    tensor.copy_(new[name])
            for tensor in (*self._buffers, *self.sums.values(), self.total):
                tensor.zero_()

    def _each(self, of_seeds: Sequence[Tensor]) -> Tensor:
        """The seeds' tensors as the lanes see them: one for all, or one for each lane on a new first dimension."""
        return of_seeds[0] if len(of_seeds) == 1 else torch.stack(list(of_seeds))[self._of_lane]


def descend(
    settings: TrainingSettings,
    leaves: list[Tensor],
    gradients: list[Tensor],
    buffers: list[Tensor],
    rates: list[Tensor],
) -> None:
    """One step of torch.optim.SGD in place, each lane at its own rate; all leaves and lanes in a few fused operations.

    Args:
        settings: Momentum and weight decay.
        leaves: Each of shape (L, ...); changed.
        gradients: Likewise.
        buffers: The momentum's, likewise; zeros before the first step; changed.
        rates: The lanes' rates, for each leaf of a shape that it can be multiplied with.
    """
    if settings.weight_decay:
        gradients = list(torch._foreach_add(gradients, leaves, alpha=settings.weight_decay))
    if settings.momentum:
        torch._foreach_mul_(buffers, settings.momentum)
        torch._foreach_add_(buffers, gradients)
        gradients = buffers
    torch._foreach_sub_(leaves, torch._foreach_mul(gradients, rates))
