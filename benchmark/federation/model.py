"""The model that is federated: a network and a task, run on one client's images in one lane."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from benchmark.data.augmentation import to_float
from benchmark.federation.packed_images import PackedImages
from benchmark.leaf import Initial, Leaf, Leaves
from benchmark.method import Batch, Method, Mix, Output, Phase
from benchmark.models.network import Network
from benchmark.tasks.task import Task


@dataclass(frozen=True)
class Model:
    """A network and a task, for one method.

    Attributes:
        network: What runs on images; its leaves are given to it.
        task: What is learned.
        method: Whose leaves are trained.
        leaves: Every tensor that one client holds, by name.
    """

    network: Network
    task: Task
    method: Method
    leaves: Mapping[str, Leaf]

    @classmethod
    def of(cls, network: Network, task: Task, method: Method, trains: Sequence[str] = ("lora", "head")) -> "Model":
        """The model that a method trains for a task: the roles `trains`, where the method does not say it.

        A ValueError names a role that the method needs and that is not trained, or that the network has not.
        """
        trained = method.trains or trains
        if lacking := [role for role in method.needs if role not in trained]:
            raise ValueError(
                f"{method.title} needs {', '.join(lacking)} among what is trained (`trains`: {', '.join(trained)})"
            )
        leaves = [
            *network.leaves(method.adapters, method.heads, trained, offset=method.offset),
            *(Leaf(name, name, "scalar", (), Initial("constant", value)) for name, value in method.scalars.items()),
        ]
        return cls(network, task, method, {leaf.name: leaf for leaf in leaves})

    def shared(self, head: Literal["shared", "personal"]) -> list[str]:
        """Names of the leaves that are the same on all clients after a round in which they are trained.

        The configured policy of the head counts where the method does not define its own.
        """
        travels = (self.method.head or head) == "shared"
        return [
            name for name, leaf in self.leaves.items() if (travels if leaf.part == "head" else self.method.shared(leaf))
        ]

    def trained(self, predicate: Callable[[Leaf], bool]) -> list[str]:
        """Names of the leaves that a pass trains for which a predicate holds: those that have a gradient."""
        return [name for name, leaf in self.leaves.items() if leaf.trainable and predicate(leaf)]

    def moves(self, name: str, phases: Sequence[Phase]) -> bool:
        """Whether any of these passes changes a leaf: by training it, by carrying it along, or by copying into it."""
        leaf = self.leaves[name]
        changes = leaf.trainable or leaf.role == "buffer"
        return any((changes and phase.trains(leaf)) or leaf.part in phase.copies for phase in phases)

    def parted(self, mix: Mix) -> tuple[Mix, Mix]:
        """A mix's weights of the heads, of which the first counts alone where none is named, and of the adapters."""
        heads = {name: mix[name] for name in self.method.heads if name in mix}
        return heads or {self.method.heads[0]: 1.0}, {name: mix[name] for name in mix if name not in heads}


@dataclass(frozen=True)
class Images(Batch):
    """Some images of one client, in one lane.

    Attributes:
        model: What runs on them.
        images: Shape (n, 3, size, size), values in [0, 1].
        target: Their targets, shape (n, ...); None where a method predicts.
        mix: The weights of adapters and heads where a hook names none; the method's own where there are none.
        priors: What the task's loss wants to know of all of the client's targets.
        dropout: The key of the step's dropout, a scalar int64; None where nothing is dropped.
        buffers: The carried leaves that passes over these images have changed, as they now are.
        chosen: Which support images were drawn for each image, (n, 5); None where none is predicted.
    """

    model: Model
    images: Tensor
    target: Tensor | None
    mix: Mix | None = None
    priors: Leaves = field(default_factory=dict)
    dropout: Tensor | None = None
    buffers: dict[str, Tensor] = field(default_factory=dict)
    chosen: Tensor | None = None

    @property
    def drawn(self) -> Tensor:
        """Which support images were drawn for each image, (n, 5) int64.

        Raises:
            ValueError: The batch is trained on, or is itself the support.
        """
        if self.chosen is None:
            raise ValueError("support images are drawn for images that are predicted, not for these")
        return self.chosen

    def __call__(self, params: Leaves, mix: Mix | None = None, *, trace: bool = False) -> Output:
        """Run the network; in a step of training, its buffers go on from where they were."""
        weights = self.mix if mix is None else mix
        if weights is None:
            weights = self.model.method.mix(params)
        heads, adapters = self.model.parted(weights)
        training = self.target is not None
        output = self.model.network(
            self.images,
            {**params, **self.buffers},
            heads,
            adapters,
            trace=trace,
            training=training,
            dropout=self.dropout,
        )
        self.buffers.update(output.buffers)
        return output

    def task_loss(self, output: Output) -> Tensor:
        """The task's loss, a scalar; a ValueError where the batch has no targets, as in `predict`."""
        if self.target is None:
            raise ValueError("these images have no targets: a method predicts without seeing them")
        return self.model.task.loss(output.prediction, self.target, self.priors)

    def factors(self, params: Leaves, adapter: str, factor: Literal["A", "B"]) -> Sequence[Tensor]:
        """One factor of every pair of an adapter, in the order of the adapted projections."""
        return [params[n] for n, leaf in self.model.leaves.items() if leaf.part == adapter and leaf.factor == factor]


def predict(
    model: Model, images: PackedImages, support: Tensor, drawn: Tensor, params: Leaves, chunk: int
) -> Iterator[tuple[slice, Tensor]]:
    """Predict one client's images in every lane, some at a time: no more predictions than these are held.

    Args:
        model: The model.
        images: n images, uint8; read and made floating point a chunk at a time.
        support: Some of the client's training images, (m, 3, size, size) in [0, 1].
        drawn: Which of them were drawn for each image, (n, 5).
        params: The client's deployed leaves, each of shape (L, ...).
        chunk: Images at once.

    Yields:
        Which of the n images, and their predictions, (L, k, outputs, ...).
    """
    own = Images(model, support, None)

    def one_lane(lane: Leaves, batch: Tensor, chosen: Tensor) -> Tensor:
        return model.method.predict(Images(model, batch, None, chosen=chosen), own, lane)

    every_lane = torch.vmap(one_lane, in_dims=(0, None, None))
    for first in range(0, len(images), chunk):
        which = slice(first, min(first + chunk, len(images)))
        with torch.no_grad():
            batch = to_float(images[which].to(support.device), support.dtype)
            predicted = every_lane(dict(params), batch, drawn[which])
        yield which, predicted
