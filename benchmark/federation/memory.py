"""How much memory a lane takes, expected from what torch keeps of a few images: so the engine chooses how many fit."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from itertools import accumulate

import torch
from torch import Tensor

from benchmark.data.augmentation import to_float
from benchmark.federation import costs, optimisers
from benchmark.federation.client import Lane
from benchmark.federation.engine import Engine
from benchmark.federation.step import Held, Step

_FEW = 2, 3
"""Images that are tried: what grows with them is their difference. Statistics over a batch need more than one."""
_WORKING = 3
"""Tensors as large as a kept one that the backward pass works on where it reads that: gradients of a result, of what it
was made of, and of that in between."""
_UPDATES = 2
"""Tensors of every trained leaf's size that there are when gradients are complete: these, and what they become."""
_IN_ROUND = 2
"""Tensors of every leaf's size that a round holds of every client: before it, and after it."""


def lane_memory(engine: Engine, rounds: int) -> int:
    """Bytes that one lane is expected to hold in so many rounds: a step on one batch, and every client's leaves.

    Of a method's passes, which may train different leaves, the one that holds most counts. One whose loss fails counts
    as its leaves alone: what is wrong is told where it is trained, with client and round.
    """
    lane, participant = Lane("1", 0), engine.participants[0]
    state, images = engine.start([lane]), engine.training.batch_size * engine.training.stack
    own, remembered = ({name: leaf[0] for name, leaf in held.items()} for held in (state.params, state.memory))
    held = Held(own, own, remembered, {}, engine.model.task.priors(participant.training.targets))
    optimiser, most = optimisers.of(engine.training.optimiser), 0
    different = {
        (*engine.model.trained(phase.trains), repr(phase.mix)): phase
        for phase in costs.phases(engine.model.method, rounds)
    }

    def few(count: int) -> tuple[Tensor, ...]:
        chosen = torch.arange(count) % len(participant.training)
        chosen = chosen.to(participant.training.targets.device)
        pictures = to_float(participant.training.images[chosen].to(engine.device), engine.dtype)
        key = [torch.zeros((), dtype=torch.int64, device=engine.device)] if engine.dropout else []
        return pictures, participant.training.targets[chosen], *key

    for phase in different.values():
        step = Step(engine.model, optimiser, phase, [0.0], [lane.seed], held)
        most = max(most, step_memory(step, few, images))
    side_by_side = min(engine.threads, len(engine.participants))
    return side_by_side * most + _IN_ROUND * len(engine.participants) * _bytes(own.values())


def step_memory(step: Step, few: Callable[[int], Sequence[Tensor]], images: int) -> int:
    """Bytes that a step on so many images is expected to hold, of all its lanes; its own tensors among them.

    Args:
        step: The step, whose lanes have one seed. It is not taken.
        few: A batch of so many images.
        images: Of a batch.
    """
    remembered = (tensor for kind in step.state.values() for tensor in kind)
    held = _bytes([*step.trained.values(), *step.carried.values(), *step.sums.values(), *remembered])
    with suppress(Exception):
        least, more = (_kept(step, few(count)) for count in _FEW)
        grows = (more - least) / (_FEW[1] - _FEW[0])
        kept = int(least + grows * (images - _FEW[0]))
        return held + max(kept, _UPDATES * _bytes(step.trained.values()))
    return held


def _kept(step: Step, batch: Sequence[Tensor]) -> int:
    """The most bytes that torch holds of a batch in the backward pass: what it keeps until then, and works with.

    The backward pass goes the way back: what was kept after a tensor is let go when it reads that.
    """
    apart = [*step.trained.values(), *step.carried.values(), *step.model.network.frozen().values(), *batch]
    before = {tensor.untyped_storage().data_ptr() for tensor in apart}
    alive, kept = list[Tensor](), dict[int, int]()

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in before:
            alive.append(tensor)  # Or another tensor might take its place.
            kept.setdefault(storage.data_ptr(), storage.nbytes())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        step.gradients([batch])
    return max(
        (held + _WORKING * own for held, own in zip(accumulate(kept.values()), kept.values(), strict=True)), default=0
    )


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
