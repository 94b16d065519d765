"""Norm: the common model's normalisation is tuned until predictions are decided (TENT)."""

from dataclasses import dataclass

from torch import Tensor

from benchmark.adaptation import Adaptation, Batch, Leaves, entropy


@dataclass(frozen=True)
class Norm(Adaptation):
    """Minimise the entropy of predictions over scales and shifts of normalisation (arXiv 2006.10726, equation 1).

    Where it normalises over the batch, the batch's own statistics are used, as published: then what is predicted for an
    image depends on its neighbours. All images are predicted after the last step, as in the paper's offline adaptation;
    online, each batch is predicted as it comes, by the very pass whose entropy its step minimises.

    Attributes:
        passes: Runs over the hospital's images.
        rate: The rate of Adam.
        batch_size: Images of a step and of a prediction.
    """

    passes: int = 1
    rate: float = 1e-3
    batch_size: int = 16

    title = "TENT"
    paper = "arXiv:2006.10726"
    adds = ("norm",)
    batch_statistics = True

    def loss(self, batch: Batch, params: Leaves) -> Tensor:
        """The entropy."""
        return entropy(batch(params).prediction)
