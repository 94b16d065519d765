"""The contract of adaptations: how a hospital that took no part in training is served, with images and no labels.

An adaptation is one class in one file in `adaptations/`; the file's name is its name. It is given the **bank**: one
expert for each client of a federation (the leaves that it predicts with), and one more, `COMMON`, the model that all of
them made. It says with which weights experts are mixed, and, if it learns from the hospital's images, what it changes
and what it minimises. It never holds a target.

`python -m benchmark check adaptations/mine.py` says which rule a file breaks.
"""

import math
from collections.abc import Mapping, Sequence
from typing import ClassVar

from torch import Tensor

from benchmark.leaf import Leaves
from benchmark.method import Batch

__all__ = ["COMMON", "Adaptation", "Batch", "Leaves", "entropy"]

COMMON = "common"
"""The expert that all clients made together."""


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
        passes: Runs over the hospital's images in which what it `adds` is trained.
        rate: The rate of Adam, which takes the steps.
        batch_size: Images of a step; and of a prediction where `batch_statistics` count.
    """

    title: ClassVar[str]
    paper: ClassVar[str]
    oracle: ClassVar[bool] = False
    adds: ClassVar[tuple[str, ...]] = ()
    batch_statistics: ClassVar[bool] = False
    passes: int = 0
    rate: float = 1e-3
    batch_size: int = 16

    def mixtures(self, experts: Sequence[str]) -> Mapping[str, Mapping[str, float]]:
        """The models that are served: of each, by a name of its own, the weights of its experts, which sum to one.

        Args:
            experts: Names of all experts: the clients', sorted, and `COMMON`.

        Returns:
            One model for the hospital, or with `oracle` several. An expert that is not named takes no part. Weights are
            mixed, adapters by their products; of heads, what they predict.
        """
        return {COMMON: {COMMON: 1.0}}

    def loss(self, batch: Batch, params: Leaves) -> Tensor:
        """What a step minimises over the leaves that it `adds`, a scalar.

        Args:
            batch: Images without targets: `batch(params).prediction` is what the mixture predicts.
            params: All leaves of the mixture; those of the part `outside` have gradients.
        """
        raise NotImplementedError(f"{type(self).__name__} has passes, so it needs a loss")


def entropy(prediction: Tensor) -> Tensor:
    """How undecided a prediction (n, classes, ...) is: the mean over images and pixels of -sum_c p_c log p_c / ln C.

    A scalar, 1 where all C classes are equally likely and 0 where one is certain, whatever n, C and the size.
    """
    logs = prediction.log_softmax(1)
    return -(logs.exp() * logs).sum(1).mean() / math.log(prediction.shape[1])
