"""One client: its images, and its local training in all lanes together."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from benchmark.config import AugmentationSettings, TrainingSettings
from benchmark.data.augmentation import augment, draws, to_float
from benchmark.federation.draws import generator
from benchmark.federation.model import Model
from benchmark.federation.recorded import Recorded, Recorder, kind
from benchmark.federation.rows import Rows
from benchmark.federation.step import Step
from benchmark.leaf import Leaves, belonging
from benchmark.method import Phase


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
class Client:
    """A hospital's images.

    Attributes:
        name: The client.
        images: Its n training images; on the labels' device, where they are trained on.
        labels: Their labels, shape (n,), int64.
        validation_images: Likewise.
        validation_labels: Likewise.
    """

    name: str
    images: Rows
    labels: Tensor
    validation_images: Rows
    validation_labels: Tensor

    def support(self, count: int, dtype: torch.dtype) -> Tensor:
        """The training images a method may look at while predicting, always the same, (count, 3, size, size)."""
        chosen = torch.randperm(len(self.labels), generator=generator(self.name, "support"))[:count]
        return to_float(self.images[chosen].to(self.labels.device), dtype)


@dataclass(frozen=True)
class Trained:
    """What one pass of local training led to.

    Attributes:
        params: All leaves after it, each of shape (L, ...).
        objective: The mean objective of its images, shape (L,), float64.
        gradients: Of every leaf that was trained, the sum of its gradients over the steps, (L, ...); empty where the
            method does not look at them.
        steps: Number of steps.
    """

    params: dict[str, Tensor]
    objective: Tensor
    gradients: dict[str, Tensor]
    steps: int


@dataclass(frozen=True)
class LocalTraining:
    """Local training with SGD, every lane at its own rate.

    Attributes:
        model: What is trained.
        settings: Batches, epochs, momentum, weight decay.
        augmentation: How images are changed.
        dtype: Of images and leaves.
        recorder: Records steps and replays them, where it is given.
    """

    model: Model
    settings: TrainingSettings
    augmentation: AugmentationSettings
    dtype: torch.dtype
    recorder: Recorder | None = None

    def train(
        self,
        client: Client,
        params: Leaves,
        start: Leaves,
        memory: Leaves,
        phase: Phase,
        lanes: Sequence[Lane],
        pass_name: str,
    ) -> Trained:
        """One pass of local training.

        Args:
            client: Whose images.
            params: The client's leaves as the pass begins, each of shape (L, ...).
            start: Its leaves as the round began, likewise.
            memory: What the client remembers, each of shape (L, ...).
            phase: Which leaves are trained, with which mix.
            lanes: The L lanes.
            pass_name: Names round and pass; keys the order of the images and their augmentation.

        Returns:
            What the pass led to.
        """
        params = dict(params)
        for copy, source in phase.copies.items():
            params.update(_copied(params, source, copy))
        step, take = self._step(params, start, memory, phase, lanes)
        epochs = self.settings.local_epochs if phase.epochs is None else phase.epochs
        seeds = dict.fromkeys(lane.seed for lane in lanes)
        steps = 0
        for batches in zip(*(self._batches(client, seed, pass_name, epochs) for seed in seeds), strict=True):
            images, target = zip(*batches, strict=True)
            take(images, target)
            steps += 1
        trained, sums = ({n: leaf.detach().clone() for n, leaf in own.items()} for own in (step.trained, step.sums))
        return Trained({**params, **trained}, step.total / (len(client.labels) * epochs), sums, steps)

    def _step(
        self, params: Leaves, start: Leaves, memory: Leaves, phase: Phase, lanes: Sequence[Lane]
    ) -> tuple[Step, Step | Recorded]:
        """A pass's step at its beginning, and what takes it: itself, or what was recorded of it."""
        rates, seeds = [float(lane.rate) for lane in lanes], [lane.seed for lane in lanes]
        make = partial(Step, self.model, self.settings, phase, rates, seeds)
        same = kind(phase, self.model.named(phase.trains), lanes)
        if self.recorder is None or same is None:
            step = make(params, start, memory)
            return step, step
        recorded = self.recorder.of(make, same, params, start, memory)
        return recorded.step, recorded

    def _batches(self, client: Client, seed: int, pass_name: str, epochs: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The augmented batches of one pass, in the order that seed, client and pass determine."""
        order = generator(seed, client.name, pass_name, "order")
        changes = generator(seed, client.name, pass_name, "augmentation")
        device, size = client.labels.device, self.settings.batch_size
        for _ in range(epochs):
            # Sent to the device once for all batches: it is never waited for between them.
            shuffled = torch.randperm(len(client.labels), generator=order).to(device, non_blocking=True)
            drawn = draws(len(client.labels), changes).to(device, non_blocking=True)
            for chosen, own in zip(shuffled.split(size), drawn.split(size), strict=True):
                yield augment(client.images[chosen], self.augmentation, own, self.dtype), client.labels[chosen]


def _copied(params: Leaves, source: str, target: str) -> dict[str, Tensor]:
    """The leaves of part `target`, with the values of part `source`."""
    values, places = belonging(params, source), belonging(params, target)
    if not places or values.keys() != places.keys():
        raise ValueError(
            f"a phase copies {source!r} to {target!r}, which hold {sorted(values)[:2]} and {sorted(places)[:2]}: "
            "both are to be adapters, or heads, of this method"
        )
    return {f"{target}/{place}": values[place] for place in places}
