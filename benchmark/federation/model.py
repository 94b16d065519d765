"""The model that is federated: frozen backbone, adapters and head, run on one client's images in one lane."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from benchmark.data.augmentation import to_float
from benchmark.federation.rows import Rows
from benchmark.leaf import Leaf, Leaves
from benchmark.method import Batch, Method, Mix, Output
from benchmark.models.backbone import Backbone
from benchmark.tasks._before import Classification


@dataclass(frozen=True)
class Model:
    """A backbone and a task, for one method.

    Attributes:
        backbone: Frozen; adapters are leaves.
        task: What is learned.
        method: Whose adapters are trained.
        leaves: Every trainable tensor of one client, by name.
    """

    backbone: Backbone
    task: Classification
    method: Method
    leaves: Mapping[str, Leaf]

    @classmethod
    def of(cls, backbone: Backbone, task: Classification, method: Method) -> "Model":
        """The model that a method trains for a task."""
        leaves = [
            *backbone.leaves(method.adapters, offset=method.offset),
            *(leaf for name in method.heads for leaf in task.head(name, backbone.dim)),
            *(Leaf(name, name, "scalar", ()) for name in method.scalars),
        ]
        return cls(backbone, task, method, {leaf.name: leaf for leaf in leaves})

    def shared(self, head: Literal["shared", "personal"]) -> list[str]:
        """Which leaves are the same on all clients after a round in which they are trained.

        Args:
            head: The configured policy, used where the method does not define its own.

        Returns:
            Their names, in a fixed order.
        """
        travels = (self.method.head or head) == "shared"
        return [
            name for name, leaf in self.leaves.items() if (travels if leaf.part == "head" else self.method.shared(leaf))
        ]

    def named(self, predicate: Callable[[Leaf], bool]) -> list[str]:
        """Names of the leaves for which a predicate holds."""
        return [name for name, leaf in self.leaves.items() if predicate(leaf)]

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
        target: Labels, shape (n,) int64; None where a method predicts.
        mix: The weights of adapters and heads where a hook names none; the method's own where there are none.
    """

    model: Model
    images: Tensor
    target: Tensor | None
    mix: Mix | None = None

    def __call__(self, params: Leaves, mix: Mix | None = None, *, trace: bool = False) -> Output:
        """Run backbone, adapters and heads."""
        method, task = self.model.method, self.model.task
        weights = self.mix if mix is None else mix
        if weights is None:
            weights = method.mix(params)
        heads, adapters = self.model.parted(weights)
        features, outputs = self.model.backbone(self.images, params, adapters, trace=trace)
        logits = [_weighted(task.output(params, name, features), weight) for name, weight in heads.items()]
        return Output(torch.stack(logits).sum(0) if len(logits) > 1 else logits[0], features, outputs)

    def task_loss(self, output: Output) -> Tensor:
        """The task's loss.

        Args:
            output: What the model made of these images.

        Returns:
            A scalar.

        Raises:
            ValueError: The batch has no targets, as in `predict`.
        """
        if self.target is None:
            raise ValueError("these images have no targets: a method predicts without seeing them")
        return self.model.task.loss(output.logits, self.target)

    def factors(self, params: Leaves, adapter: str, factor: Literal["A", "B"]) -> Sequence[Tensor]:
        """One factor of every pair of an adapter, in the order of the adapted projections."""
        return [params[n] for n, leaf in self.model.leaves.items() if leaf.part == adapter and leaf.factor == factor]


def _weighted(logits: Tensor, weight: float | Tensor) -> Tensor:
    """Logits (n, classes) times one weight, or times one for each image (n,)."""
    if isinstance(weight, Tensor):
        return logits * weight.reshape(-1, 1)
    return logits if weight == 1 else logits * weight


def predict(model: Model, images: Rows, support: Tensor, params: Leaves, chunk: int) -> Tensor:
    """Logits of one client's images in every lane.

    Args:
        model: The model.
        images: n images, uint8; read and made floating point a chunk at a time.
        support: Some of the client's training images, (m, 3, size, size) in [0, 1].
        params: The client's deployed leaves, each of shape (L, ...).
        chunk: Images at once.

    Returns:
        Shape (L, n, classes).
    """
    own = Images(model, support, None)

    def one_lane(lane: Leaves, batch: Tensor) -> Tensor:
        return model.method.predict(Images(model, batch, None), own, lane)

    every_lane = torch.vmap(one_lane, in_dims=(0, None))
    with torch.no_grad():
        slices = (images[first : first + chunk] for first in range(0, len(images), chunk))
        chunks = (to_float(batch.to(support.device), support.dtype) for batch in slices)
        return torch.cat([every_lane(dict(params), batch) for batch in chunks], dim=1)
