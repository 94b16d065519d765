"""The network contract: what is trained or carried is a leaf, and all else is frozen.

One module of `benchmark/models/` is one network: a subclass of `Network`, found by the module's file name
(`backbone.network` in a configuration). A network says which leaves there are, runs images through itself with leaves
from outside, and knows its pretrained weights, its memory and the format that it is exported in. It holds no leaf
itself: so any number of lanes can be trained through one network.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from benchmark.defined import the_one
from benchmark.leaf import Leaf, Leaves
from benchmark.method import Mix, Output
from benchmark.models.routed import Route
from benchmark.models.sides import uncovered
from benchmark.settings import BackboneSettings, InitialisationSettings, LoraSettings
from benchmark.tasks.task import Task

LEAVES = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.float32}
"""The dtype of images and leaves, by the precision of the frozen weights: updates are too small for bfloat16."""


@dataclass(frozen=True)
class Setup:
    """What a network is loaded for.

    Attributes:
        weights: A safetensors file, as the job that fetches it writes it; where None, the network has the shapes of its
            weights and not their values.
        name: The name of a variant, as the network's own library has it.
        arguments: Passed to that library.
        task: What its head predicts.
        image_size: Side of the square images, in pixels.
        lora: Which projections are adapted, and how.
        initialisation: What leaves begin with that were not pretrained.
    """

    weights: Path | None
    name: str
    arguments: Mapping[str, Any]
    task: Task
    image_size: int
    lora: LoraSettings
    initialisation: InitialisationSettings


class Network(ABC):
    """A network for one task, with the weights that it was pretrained to.

    Attributes:
        sites: Names of the projections that LoRA adapts, in the order of the forward pass; empty for a network that has
            none.
        name: The module's file name.
        roles: What `trains` may name: `lora` where it has projections to adapt, roles of its weights, words of its own.
        predicts: Whether it can make a prediction of each image, of each pixel, or both; see `Task.predicts`.
        scale: What an adapter's product is multiplied with, alpha/rank.
        channels: Of the images that it reads; a single one, grey, it reads so many times.
    """

    sites: Sequence[str] = ()
    scale: float = 1.0
    channels: int = 3
    name: ClassVar[str]
    roles: ClassVar[tuple[str, ...]] = ("head", "all")
    predicts: ClassVar[tuple[str, ...]] = ("images",)

    @classmethod
    @abstractmethod
    def fetch(cls, settings: BackboneSettings) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Pretrained weights, from wherever the settings say: tensors by name, without a head, and where they are from.

        An OSError says that they cannot be had, a ValueError that they are of another network, or the settings of none.
        """

    @classmethod
    @abstractmethod
    def load(cls, setup: Setup) -> Self:
        """The network with its weights, on the CPU in float32.

        A ValueError says that the file does not hold exactly this network's weights, or that there is no such network.
        """

    @abstractmethod
    def on(self, device: torch.device | str, precision: str) -> Self:
        """Itself, moved to a device, its frozen weights in a precision; images and leaves have that of `LEAVES`."""

    @abstractmethod
    def leaves(
        self, adapters: Sequence[str], heads: Sequence[str], trains: Sequence[str], *, offset: bool = False
    ) -> list[Leaf]:
        """All leaves of a method but its scalars.

        Args:
            adapters: Names of its adapters.
            heads: Names of its heads; a head is a leaf whether it is trained or not.
            trains: Roles of what is trained, or other words that the network knows, such as `last_block`; `all` stands
                for every weight of its own and the head.
            offset: Whether frozen weights have offsets.

        Returns:
            The leaves, in a fixed order.

        Raises:
            ValueError: The network has nothing of a role.
        """

    @abstractmethod
    def __call__(
        self,
        images: Tensor,
        params: Leaves,
        heads: Mix,
        adapters: Mix,
        *,
        trace: bool = False,
        training: bool = False,
        dropout: Tensor | None = None,
        route: Route | None = None,
    ) -> Output:
        """What the network makes of images.

        Args:
            images: Shape (n, channels, size, size), or (n, 1, size, size) where they are grey, values in [0, 1];
                normalised here, as in pretraining. Or what `encode` made of them.
            params: The leaves of one client in one lane.
            heads: The weight of each head's prediction.
            adapters: The weight of each adapter.
            trace: Whether every adapter's output is returned too.
            training: Whether this is a step of training: normalisation over the batch then uses the batch's own
                statistics, where its leaves are trained.
            dropout: The key of a training step's dropout, a scalar int64; without it, nothing is dropped.
            route: Asked at each of `places` for weights of adapters and heads, image by image, in place of those above.

        Returns:
            The output, of the images' dtype.
        """

    def encodes(self, leaves: Collection[Leaf]) -> bool:
        """Whether the network begins with a part that has none of a method's leaves: what `encode` makes then stays.

        By default there is no such part.
        """
        return False

    def encode(self, images: Tensor, leaves: Collection[Leaf]) -> Tensor:
        """What the part in front of a method's first leaf makes of images (n, channels, size, size): (n, D, s, t).

        Of the images' dtype. The network takes it in their place, together with all leaves of the method.
        """
        raise NotImplementedError(f"{type(self).__name__} has no part that is computed once")

    @abstractmethod
    def pretrained(self, leaf: Leaf) -> Tensor:
        """What a leaf begins with whose initial value is `pretrained`, of its shape."""

    def places(self, params: Leaves, adapters: Mix) -> Mapping[str, int]:
        """Where a route may weigh these adapters, or heads, image by image: by the place's name, channels read there.

        By default nowhere: then a route is never asked.
        """
        return {}

    def adapted(self, site: str) -> Tensor:
        """The frozen weight (out, in) of a projection that LoRA adapts."""
        raise KeyError(f"{type(self).__name__} has no projection {site}")

    @abstractmethod
    def frozen(self) -> Mapping[str, Tensor]:
        """Every tensor of the network itself, by name: what no training writes to."""

    @abstractmethod
    def export(self, folder: Path, params: Leaves, heads: Mix, adapters: Mix) -> None:
        """Write the leaves that one client predicts with into a folder, in a format that is used without this project.

        The heads' predictions and the adapters have these weights.
        """


def covered(side: int, unit: int, by: str) -> None:
    """A ValueError says that an image's side is no multiple of a number of pixels, and names those next to it."""
    if said := uncovered(side, unit, by):
        raise ValueError(said)


def find(name: str) -> type[Network]:
    """The network of a module of `benchmark/models/`.

    A ValueError says that there is no such module, or that it does not define exactly one network.
    """
    if find_spec(f"benchmark.models.{name}") is None:
        raise ValueError(f"backbone.network: there is no benchmark/models/{name}.py")
    module = import_module(f"benchmark.models.{name}")
    found: type[Network] = the_one(module, Network, module.__file__)
    return found
