"""The contract of adaptations: how a hospital that took no part in training is served, with images and no labels.

An adaptation is one class in one file in `adaptations/`; the file's name is its name. It is given the **bank**: one
expert for each client of a federation (the leaves that it predicts with), and one more, `COMMON`, the model that all of
them made. It says with which weights experts are mixed, the same everywhere or by gates, image by image and layer by
layer; and, if it learns from the hospital's images, what it changes and what it minimises. It never holds a target.

`python -m benchmark check adaptations/mine.py` says which rule a file breaks.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, Protocol, Self

from torch import Tensor

from benchmark import method
from benchmark.entropy import entropy
from benchmark.leaf import Initial, Leaves

__all__ = ["COMMON", "Adaptation", "Batch", "Initial", "Leaves", "entropy"]

COMMON = "common"
"""The expert that all clients made together."""


class Batch(method.Batch, Protocol):
    """Images of the hospital, without targets, and what an adaptation may compute on them."""

    def view(self, noise: float) -> tuple[Self, Callable[[Tensor], Tensor]]:
        """The same images, noisy, mirrored and turned by quarters; every step and every call draws anew.

        Args:
            noise: Standard deviation of the noise of a pixel, in standard deviations of its image.

        Returns:
            A batch, and a function that mirrors and turns back what is predicted for it: (n, classes, H, W) to the
            same. A prediction of whole images, (n, classes), stays.
        """
        ...


class Adaptation:
    """The common model, as it is, and the base of every adaptation.

    Settings are the fields of the class, made a frozen dataclass.

    Attributes:
        title: The name in tables.
        paper: Where it is published: an arXiv number, or why there is none.
        oracle: True where labels of the hospital are needed to choose among its mixtures: shown, and not ranked.
        adds: Roles of weights of the network that it changes: `("norm",)`. They begin as what the mixture has there.
        batch_statistics: Whether batch normalisation uses the statistics of the images at hand, in adapting and in
            prediction, in place of the running ones.
        passes: Runs over the hospital's images in which what it `adds`, and its `gates`, are trained.
        rate: The rate of Adam, which takes the steps.
        batch_size: Images of a step; and that are predicted together, where `batch_statistics` count or gates weigh.
    """

    title: ClassVar[str]
    paper: ClassVar[str]
    oracle: ClassVar[bool] = False
    adds: ClassVar[tuple[str, ...]] = ()
    batch_statistics: bool = False
    passes: int = 0
    rate: float = 1e-3
    batch_size: int = 16

    def mixtures(self, experts: Sequence[str]) -> Mapping[str, Mapping[str, float]]:
        """The models that are served: of each, by a name of its own, the weights of its experts, which sum to one.

        Args:
            experts: Names of all experts: the clients', sorted, and `COMMON`.

        Returns:
            One model for the hospital, or with `oracle` several. An expert that is not named takes no part. Weights are
            mixed, adapters by their products; of heads, what they predict. With gates, experts with the weight 0 take
            part too: the weights then count for what has no gate, normalisation and its running statistics first.
        """
        return {COMMON: {COMMON: 1.0}}

    def gates(self, inputs: int, experts: int) -> Mapping[str, tuple[tuple[int, ...], Initial]]:
        """What the gate of one place learns: leaves by names of your own, with shapes and initial values.

        Places are the layers in which experts differ, and the head.

        Args:
            inputs: Channels that the place reads.
            experts: How many experts take part, E.

        Returns:
            By default nothing: the weights of `mixtures` hold in all places.
        """
        return {}

    def weigh(self, gate: Leaves, pooled: Tensor) -> Tensor:
        """The experts' weights in one place, image by image, (n, E), E as `mixtures` names them.

        Args:
            gate: The place's leaves.
            pooled: What the place reads, its mean over tokens or pixels, (n, inputs).
        """
        raise NotImplementedError(f"{type(self).__name__} has gates, so it needs weigh()")

    def loss(self, batch: Batch, params: Leaves) -> Tensor:
        """What a step minimises over the leaves that it `adds` and those of its `gates`, a scalar.

        Seeds adapt side by side: `torch.vmap` maps it, so that no Python `if` may look at a tensor's value.

        Args:
            batch: Images without targets: `batch(params).prediction` is what the mixture predicts.
            params: All leaves of the mixture; those that are trained have gradients.
        """
        raise NotImplementedError(f"{type(self).__name__} has passes, so it needs a loss")
