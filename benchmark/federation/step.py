"""One step of local training: every lane's gradients, and what the optimiser does with them, on tensors that stay."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmark.federation.model import Images, Model
from benchmark.federation.optimisers import Optimiser, by_leaf
from benchmark.leaf import Leaves
from benchmark.method import Method, Phase

Batches = Sequence[Sequence[Tensor]]
"""One batch for each different seed, in the lanes' order: n augmented images (n, 3, size, size), their targets (n, ...)
and, where there is dropout, its key, a scalar int64."""


@dataclass(frozen=True)
class Held:
    """What one client holds as a pass begins.

    Attributes:
        params: Its leaves, each of shape (L, ...).
        start: Its leaves as the round began, likewise.
        memory: What it remembers, likewise.
        optimiser: What its optimiser remembers, (L, ...), by `kind:leaf`; empty where that begins anew.
        priors: What the task's loss wants to know of all of its targets; the same in all lanes.
    """

    params: Leaves
    start: Leaves
    memory: Leaves
    optimiser: Leaves
    priors: Leaves

    def cloned(self) -> "Held":
        """The same in tensors of its own."""
        kinds = (self.params, self.start, self.memory, self.optimiser, self.priors)
        return Held(*({name: tensor.clone() for name, tensor in own.items()} for own in kinds))


class Step:
    """A step of all lanes in one pass of local training, every lane at its own rate.

    A call changes the tensors of this object in place, and nothing else: so that it can be recorded (`recorded.py`).
    Each of the L lanes has its rate and its seed; lanes of one seed see the same images.

    Attributes:
        model: What is trained.
        trained: The leaves that the pass trains, each of shape (L, ...).
        carried: The leaves that forward passes change, likewise.
        sums: Of each trained leaf, the sum of its gradients over the steps; empty where the method does not look at
            them.
        state: What the optimiser remembers, by kind; of each a tensor for every trained leaf.
        total: The sum of the images' objectives over the steps, shape (L,), float64.
        factor: What the rates are multiplied with, a scalar; None where they are constant.
    """

    def __init__(
        self,
        model: Model,
        optimiser: Optimiser,
        phase: Phase,
        rates: Sequence[float],
        seeds: Sequence[int],
        held: Held,
    ) -> None:
        self.model, names = model, model.trained(phase.trains)
        self.trained = {name: held.params[name].clone().requires_grad_() for name in names}
        self.carried = {n: held.params[n].clone() for n, leaf in model.leaves.items() if leaf.role == "buffer"}
        self._rest = {n: leaf for n, leaf in held.params.items() if n not in self.trained and n not in self.carried}
        self._start, self._memory, self._priors = dict(held.start), dict(held.memory), dict(held.priors)
        self._optimiser = optimiser
        self.state = optimiser.state(list(self.trained.values()))
        looks = type(model.method).after is not Method.after
        self.sums = {name: torch.zeros_like(leaf) for name, leaf in self.trained.items()} if looks else {}
        device, dtype = (getattr(next(iter(held.params.values())), kind) for kind in ("device", "dtype"))
        self.total = torch.zeros(len(rates), dtype=torch.float64, device=device)
        each = torch.tensor(rates, dtype=dtype, device=device)
        self._rates = [each.view(-1, *[1] * (leaf.dim() - 1)) for leaf in self.trained.values()]
        self.factor = torch.ones((), dtype=dtype, device=device) if optimiser.settings.scheduled else None
        different = list(dict.fromkeys(seeds))
        self._of_lane = torch.tensor([different.index(seed) for seed in seeds], device=device)
        self._remember(held)

        def objective(
            own: Leaves, carried: Leaves, rest: Leaves, began: Leaves, past: Leaves, batch: Sequence[Tensor]
        ) -> tuple[Tensor, Leaves]:
            pixels, target, *key = batch
            images = Images(model, pixels, target, phase.mix, self._priors, key[0] if key else None)
            loss = model.method.loss(images, {**rest, **carried, **own}, began, past)
            return loss, {**carried, **images.buffers}

        # The work on images that all lanes see, and every layer below the first leaf, is done once for all of them.
        shared = None if len(different) == 1 else 0
        self._every_lane = torch.vmap(objective, in_dims=(0, 0, 0, 0, 0, shared))

    def __call__(self, batches: Batches) -> None:
        """Take the step on these batches."""
        losses, gradients, carried = self.gradients(batches)
        with torch.no_grad():
            if self.sums:
                torch._foreach_add_(list(self.sums.values()), gradients)
            rates = self._rates if self.factor is None else list(torch._foreach_mul(self._rates, self.factor))
            self._optimiser.step(list(self.trained.values()), gradients, self.state, rates)
            for name, buffer in self.carried.items():
                buffer.copy_(carried[name])
            self.total += losses.to(torch.float64) * len(batches[0][1])

    def gradients(self, batches: Batches) -> tuple[Tensor, list[Tensor], Leaves]:
        """Every lane's objective (L,), the gradients of the trained leaves, and the carried leaves as they then are.

        Nothing is changed.
        """
        batch = tuple(self._each(tensors) for tensors in zip(*batches, strict=True))
        losses, carried = self._every_lane(self.trained, self.carried, self._rest, self._start, self._memory, batch)
        # Lanes do not meet in the sum's gradient: each lane's loss depends on its own leaves alone.
        # A leaf may be dead: SAM holds weights that no image without prompts reaches. Its gradient is zero.
        gradients = torch.autograd.grad(losses.sum(), list(self.trained.values()), materialize_grads=True)
        return losses.detach(), list(gradients), carried

    def again(self, held: Held) -> None:
        """Begin another pass of the same kind: new values in the very same tensors."""
        kept = (
            (self.trained, held.params),
            (self.carried, held.params),
            (self._rest, held.params),
            (self._start, held.start),
            (self._memory, held.memory),
            (self._priors, held.priors),
        )
        with torch.no_grad():
            for tensors, new in kept:
                for name, tensor in tensors.items():
                    tensor.copy_(new[name])
            for tensor in (*(t for own in self.state.values() for t in own), *self.sums.values(), self.total):
                tensor.zero_()
            self._remember(held)

    def remembered(self) -> dict[str, Tensor]:
        """What the optimiser remembers, by `kind:leaf`."""
        return by_leaf(self.state, self.trained)

    def _remember(self, held: Held) -> None:
        """Take over what the client's optimiser remembers of earlier passes."""
        for name, tensor in self.remembered().items():
            if name in held.optimiser:
                tensor.copy_(held.optimiser[name])

    def _each(self, of_seeds: Sequence[Tensor]) -> Tensor:
        """The seeds' tensors as the lanes see them: one for all, or one for each lane on a new first dimension."""
        return of_seeds[0] if len(of_seeds) == 1 else torch.stack(list(of_seeds))[self._of_lane]
