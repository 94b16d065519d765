"""One client: its images, and its local training in all lanes together."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice

import torch
from torch import Tensor

from benchmark.data.augmentation import draws, to_float
from benchmark.draws import generator
from benchmark.federation import optimisers
from benchmark.federation.model import Model
from benchmark.federation.packed_images import PackedImages
from benchmark.federation.recorded import Recorded, Recorder, kind
from benchmark.federation.step import Held, Step
from benchmark.leaf import Leaves, belonging
from benchmark.method import Phase
from benchmark.settings import AugmentationSettings, TrainingSettings
from benchmark.tasks.task import Task


@dataclass(frozen=True)
class Lane:
    """One independent run among those trained together.

    Attributes:
        rate: Learning rate, as the configuration writes it.
        seed: Seed of initialisation, order and augmentation.
    """

    rate: str
    seed: int


@dataclass(frozen=True)
class Samples:
    """Images, and what is to be predicted of them.

    Attributes:
        images: The n images; on the targets' device, where they are trained on.
        targets: Shape (n, ...), as the task packs them.
        cases: Which case each belongs to, (n,) int64 from 0; each its own where none is given.
        stacks: The samples that are trained on together with each, (n, O) int64, itself among them; None where each
            stands alone.
    """

    images: PackedImages
    targets: Tensor
    cases: Tensor | None = None
    stacks: Tensor | None = None

    def __len__(self) -> int:
        return len(self.targets)

    def units(self, task: Task) -> Tensor:
        """Which unit of the score each sample belongs to, (n,) int64 from 0: its case, or one that all are of."""
        device = self.targets.device
        if task.unit == "group":
            return torch.zeros(len(self), dtype=torch.int64, device=device)
        return torch.arange(len(self), device=device) if self.cases is None else self.cases


@dataclass(frozen=True)
class ClientData:
    """A hospital's images.

    Attributes:
        name: The client.
        training: What it trains on.
        validation: What a rate is chosen on.
    """

    name: str
    training: Samples
    validation: Samples

    @property
    def device(self) -> torch.device:
        """Where it is trained."""
        return self.training.targets.device

    def support(self, count: int, dtype: torch.dtype) -> Tensor:
        """The training images a method may look at while predicting, always the same, (count, 3, size, size)."""
        chosen = torch.randperm(len(self.training), generator=generator(self.name, "support"))[:count]
        return to_float(self.training.images[chosen].to(self.device), dtype)

    def drawn(self, images: int, each: int, support: int) -> Tensor:
        """Which support images are drawn for each image that is predicted; the same whenever it is asked.

        Args:
            images: How many images are predicted.
            each: How many are drawn for one image, all different; all where there are fewer.
            support: How many support images there are.

        Returns:
            Their numbers, (images, each) int64.
        """
        order = torch.rand(images, support, generator=generator(self.name, "drawn support")).argsort(1)
        return order[:, :each].to(self.device)


@dataclass(frozen=True)
class Pass:
    """One pass of local training, as it stands in the whole run.

    Attributes:
        phase: Which leaves are trained, with which mix, how often.
        name: Names round and pass; keys the order of the images and their augmentation.
        before: Epochs that the client has made before it, in all rounds.
        epochs: Epochs that it makes in all rounds.
    """

    phase: Phase
    name: str
    before: int
    epochs: int


@dataclass(frozen=True)
class Trained:
    """What one pass of local training led to.

    Attributes:
        params: All leaves after it, each of shape (L, ...).
        objective: The mean objective of its images, shape (L,), float64.
        gradients: Of every leaf that was trained, the sum of its gradients over the steps, (L, ...); empty where the
            method does not look at them.
        steps: Number of steps.
        optimiser: What the optimiser now remembers, (L, ...), by `kind:leaf`; empty where it begins anew.
    """

    params: dict[str, Tensor]
    objective: Tensor
    gradients: dict[str, Tensor]
    steps: int
    optimiser: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class LocalTraining:
    """Local training, every lane at its own rate.

    Attributes:
        model: What is trained.
        settings: Batches, epochs, optimiser.
        augmentation: How images are changed.
        dtype: Of images and leaves.
        dropout: Whether steps have a key for dropout.
        recorder: Records steps and replays them, where it is given.
    """

    model: Model
    settings: TrainingSettings
    augmentation: AugmentationSettings
    dtype: torch.dtype
    dropout: bool = False
    recorder: Recorder | None = None

    def train(self, client: ClientData, held: Held, turn: Pass, lanes: Sequence[Lane]) -> Trained:
        """One pass of local training from what the client holds, in all L lanes."""
        params = dict(held.params)
        for copy, source in turn.phase.copies.items():
            params.update(_copied(params, source, copy, (*self.model.method.adapters, *self.model.method.heads)))
        step, take = self._step(Held(params, held.start, held.memory, held.optimiser, held.priors), turn.phase, lanes)
        epochs = self.settings.local_epochs if turn.phase.epochs is None else turn.phase.epochs
        seeds = dict.fromkeys(lane.seed for lane in lanes)
        in_epoch = -(-len(client.training) // self.settings.batch_size)
        steps = images = 0
        every = zip(*(self._batches(client, seed, turn.name, epochs) for seed in seeds), strict=True)
        for batches in islice(every, turn.phase.steps):
            if step.factor is not None:
                at = turn.before * in_epoch + steps
                step.factor.fill_(optimisers.factor(self.settings.optimiser, at, turn.epochs * in_epoch))
            take(batches)
            steps += 1
            images += len(batches[0][1])
        trained, sums, remembered = (
            {name: tensor.detach().clone() for name, tensor in own.items()}
            for own in (
                {**step.trained, **step.carried},
                step.sums,
                step.remembered() if self.settings.optimiser.state == "kept" else {},
            )
        )
        objective = step.total / images
        return Trained({**params, **trained}, objective, sums, steps, {**held.optimiser, **remembered})

    def _step(self, held: Held, phase: Phase, lanes: Sequence[Lane]) -> tuple[Step, Step | Recorded]:
        """A pass's step at its beginning, and what takes it: itself, or what was recorded of it."""
        rates, seeds = [float(lane.rate) for lane in lanes], [lane.seed for lane in lanes]
        make = partial(Step, self.model, optimisers.of(self.settings.optimiser), phase, rates, seeds)
        same = kind(phase, self.model.trained(phase.trains), lanes)
        if self.recorder is None or same is None:
            step = make(held)
            return step, step
        recorded = self.recorder.of(make, same, held)
        return recorded.step, recorded

    def _batches(self, client: ClientData, seed: int, name: str, epochs: int) -> Iterator[tuple[Tensor, ...]]:
        """The augmented batches of one pass, in the order that seed, client and pass determine."""
        order = generator(seed, client.name, name, "order")
        changes = generator(seed, client.name, name, "augmentation")
        further = generator(seed, client.name, name, "further changes") if self.augmentation.further else None
        keys = generator(seed, client.name, name, "dropout")
        samples, device, size = client.training, client.device, self.settings.batch_size
        for _ in range(epochs):
            # Sent to the device once for all batches: it is never waited for between them.
            shuffled = torch.randperm(len(samples), generator=order).to(device, non_blocking=True)
            drawn = draws(len(samples), changes, further).to(device, non_blocking=True)
            steps = -(-len(samples) // size)
            dropped: Iterable[Tensor | None] = [None] * steps
            if self.dropout:
                dropped = torch.randint(2**62, (steps,), generator=keys).to(device, non_blocking=True)
            for chosen, own, key in zip(shuffled.split(size), drawn.split(size), dropped, strict=True):
                if samples.stacks is not None:  # The slices of a stack are moved alike.
                    own = own.repeat_interleave(samples.stacks.shape[1], 0)
                    chosen = samples.stacks[chosen].flatten()
                images, targets = samples.images[chosen], samples.targets[chosen]
                if samples.images.encoded:  # Nothing changes images, or what was made of them would not stay.
                    batch = to_float(images, self.dtype), targets
                else:
                    batch = self.model.task.augment(images, targets, self.augmentation, own, self.dtype)
                yield batch if key is None else (*batch, key)


def _copied(params: Leaves, source: str, target: str, parts: Sequence[str]) -> dict[str, Tensor]:
    """The leaves of part `target`, with the values of part `source`; both are among these parts."""
    values, places = belonging(params, source), belonging(params, target)
    if not {source, target} <= set(parts) or values.keys() != places.keys():
        raise ValueError(
            f"a phase copies {source!r} to {target!r}, which hold {sorted(values)[:2]} and {sorted(places)[:2]}: "
            "both are to be adapters, or heads, of this method"
        )
    return {f"{target}/{place}": values[place] for place in places}
