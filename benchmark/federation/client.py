"""One client: its images, and its local training in all lanes together."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmark.config import AugmentationSettings, TrainingSettings
from benchmark.data.augmentation import augment, to_float
from benchmark.federation.draws import generator
from benchmark.federation.model import Images, Model
from benchmark.federation.rows import Rows
from benchmark.leaf import Leaves, belonging
from benchmark.method import Method, Phase


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
    """

    model: Model
    settings: TrainingSettings
    augmentation: AugmentationSettings
    dtype: torch.dtype

    @property
    def remembers(self) -> bool:
        """Whether the method looks at a round's gradients."""
        return type(self.model.method).after is not Method.after

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

        Lanes of one seed see the very same images; so the image work, and every layer below the first adapter, is
        done once for all of them.

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
        method = self.model.method
        params = dict(params)
        for copy, source in phase.copies.items():
            params.update(_copied(params, source, copy))
        names = self.model.named(phase.trains)
        trained = {name: params[name].clone().requires_grad_() for name in names}
        fixed = {name: leaf for name, leaf in params.items() if name not in trained}
        buffers = [torch.zeros_like(leaf) for leaf in trained.values()]
        rates = torch.tensor([float(lane.rate) for lane in lanes], dtype=self.dtype, device=client.labels.device)
        scaled = [rates.view(-1, *[1] * (leaf.dim() - 1)) for leaf in trained.values()]
        # Gradients are summed for methods that look at them.
        sums = {name: torch.zeros_like(leaf) for name, leaf in trained.items()} if self.remembers else {}
        steps = 0

        def objective(own: Leaves, rest: Leaves, began: Leaves, past: Leaves, images: Tensor, target: Tensor) -> Tensor:
            return method.loss(Images(self.model, images, target, phase.mix), {**rest, **own}, began, past)

        seeds = list(dict.fromkeys(lane.seed for lane in lanes))
        of_lane = torch.tensor([seeds.index(lane.seed) for lane in lanes], device=client.labels.device)
        per_lane = None if len(seeds) == 1 else 0
        every_lane = torch.vmap(objective, in_dims=(0, 0, 0, 0, per_lane, per_lane))
        total = torch.zeros(len(lanes), dtype=torch.float64, device=client.labels.device)
        epochs = self.settings.local_epochs if phase.epochs is None else phase.epochs
        streams = [self._batches(client, seed, pass_name, epochs) for seed in seeds]
        for batches in zip(*streams, strict=True):
            if per_lane is None:
                images, target = batches[0]
            else:
                images, target = (torch.stack(list(tensors))[of_lane] for tensors in zip(*batches, strict=True))
            losses = every_lane(trained, fixed, dict(start), dict(memory), images, target)
            # Lanes do not meet in the sum's gradient: each lane's loss depends on its own leaves alone.
            gradients = list(torch.autograd.grad(losses.sum(), list(trained.values())))
            with torch.no_grad():
                if sums:
                    torch._foreach_add_(list(sums.values()), gradients)
                self._step(list(trained.values()), gradients, buffers, scaled)
                total += losses.detach().to(torch.float64) * target.shape[-1]
            steps += 1
        done = {**params, **{name: leaf.detach() for name, leaf in trained.items()}}
        return Trained(done, total / (len(client.labels) * epochs), sums, steps)

    def _step(self, leaves: list[Tensor], gradients: list[Tensor], buffers: list[Tensor], rates: list[Tensor]) -> None:
        """One step of torch.optim.SGD, each lane at its own rate; the momentum's buffers begin at zero."""
        if self.settings.weight_decay:
            gradients = list(torch._foreach_add(gradients, leaves, alpha=self.settings.weight_decay))
        if self.settings.momentum:
            torch._foreach_mul_(buffers, self.settings.momentum)
            torch._foreach_add_(buffers, gradients)
            gradients = buffers
        torch._foreach_sub_(leaves, torch._foreach_mul(gradients, rates))

    def _batches(self, client: Client, seed: int, pass_name: str, epochs: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The augmented batches of one pass, in the order that seed, client and pass determine."""
        order = generator(seed, client.name, pass_name, "order")
        changes = generator(seed, client.name, pass_name, "augmentation")
        for _ in range(epochs):
            shuffled = torch.randperm(len(client.labels), generator=order).to(client.labels.device)
            for chosen in shuffled.split(self.settings.batch_size):
                images = augment(client.images[chosen], self.augmentation, changes, self.dtype)
                yield images, client.labels[chosen]


def _copied(params: Leaves, source: str, target: str) -> dict[str, Tensor]:
    """The leaves of part `target`, with the values of part `source`."""
    values, places = belonging(params, source), belonging(params, target)
    if not places or values.keys() != places.keys():
        raise ValueError(
            f"a phase copies {source!r} to {target!r}, which hold {sorted(values)[:2]} and {sorted(places)[:2]}: "
            "both are to be adapters, or heads, of this method"
        )
    return {f"{target}/{place}": values[place] for place in places}
