"""IOP-FL: gates mix all experts image by image and layer by layer, and are tuned on the images alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch.nn.functional as F
from torch import Tensor

from benchmark.adaptation import COMMON, Adaptation, Batch, Initial, Leaves, entropy


@dataclass(frozen=True)
class IOP(Adaptation):
    """Test-time routing: minimise 10 H + 0.1 C + S over gates and normalisation (arXiv 2204.08467).

    In every layer l in which experts differ, each image's weights are g = softmax(F2 (F1 m + b1) + b2), m being the
    mean over places of what the layer reads; the layer's weight is sum_e g_e W_e. Adapters are mixed likewise, W0 +
    sum_e g_e B_e A_e, which is the same because the g_e sum to one; and so is what heads predict, which for a linear
    head is the same as mixing the head. What has no gate is the common model's.

    H is the entropy of predictions; C the mean squared difference of their probabilities from those of a noisy,
    mirrored and turned view; S 1e-6 times the length of |local maximum - local minimum| of the foreground's
    probabilities, in squares of 21 pixels, and 0 where whole images are classified.

    The released code differs in these points, which are mended here:

    * Convolutions mix four clients and the common model, whatever there is: here all experts, in every layer.
    * The bottleneck's gates are not trained: here all gates are.
    * The entropy adds up images where it means classes, so its weight follows the batch: see `entropy`. Likewise the
      length of S is that of a whole batch: here it is the mean of the images' lengths.
    * Dropout in gates goes on while it predicts, and every step draws the same noise: here there is no dropout, and
      every step draws anew.
    * It shows the best of ten passes, which labels tell: here the last one predicts.
    * Images come in their order, and volumes meet in a batch: here the order is drawn, and a batch is of one case
      where cases are told.
    * It predicts each batch in every pass right after that batch's own step, with what the batches before it have made
      of gates and norms: here all images are predicted after the last step, with what is there then.

    And in these, which we chose: noise is in standard deviations of an image, whatever its scale (`noise`, 0.5 of the
    pixels' own unit in the released code); the last layer of a gate begins at zero, so that without a pass all experts
    count the same in every layer with a gate; and `gate` is a softmax, not a sigmoid.

    Attributes:
        passes: Runs over the hospital's images.
        rate: The rate of Adam.
        batch_size: Images of a step and of a prediction.
        batch_statistics: Whether batch normalisation uses the batch's own statistics, as published. An image's
            prediction then depends on its neighbours.
        gate: `softmax`, or `sigmoid`, as published: its weights do not sum to one. Of a layer, sum_e g_e W_e is then
            not of the experts' size; of adapters, W0 counts once all the same.
        router: `two_layers`, or `affine`, one layer: the same functions, with fewer numbers.
        noise: Of a view's pixels, in standard deviations of the image.
    """

    passes: int = 10
    rate: float = 1e-3
    batch_size: int = 5
    batch_statistics: bool = True
    gate: Literal["softmax", "sigmoid"] = "softmax"
    router: Literal["two_layers", "affine"] = "two_layers"
    noise: float = 0.5

    title = "IOP-FL routing"
    paper = "arXiv:2204.08467"
    adds = ("norm",)

    def mixtures(self, experts: Sequence[str]) -> Mapping[str, Mapping[str, float]]:
        """All experts; the common one where there is no gate."""
        return {"iop": {**dict.fromkeys(experts, 0.0), COMMON: 1.0}}

    def gates(self, inputs: int, experts: int) -> Mapping[str, tuple[tuple[int, ...], Initial]]:
        """F1 (2 inputs, inputs) and F2 (experts, 2 inputs)."""
        wide = 2 * inputs if self.router == "two_layers" else inputs
        drawn, zero = Initial("uniform", inputs**-0.5), Initial()
        first = {"first.weight": ((wide, inputs), drawn), "first.bias": ((wide,), drawn)}
        last = {"last.weight": ((experts, wide), zero), "last.bias": ((experts,), zero)}
        return {**first, **last} if self.router == "two_layers" else last

    def weigh(self, gate: Leaves, pooled: Tensor) -> Tensor:
        """The softmax, or the sigmoid of each."""
        if self.router == "two_layers":
            pooled = F.linear(pooled, gate["first.weight"], gate["first.bias"])
        found = F.linear(pooled, gate["last.weight"], gate["last.bias"])
        return found.softmax(1) if self.gate == "softmax" else found.sigmoid()

    def loss(self, batch: Batch, params: Leaves) -> Tensor:
        """10 H + 0.1 C + S."""
        prediction, (view, back) = batch(params).prediction, batch.view(self.noise)
        p, again = prediction.softmax(1), back(view(params).prediction).softmax(1)
        return 10 * entropy(prediction) + 0.1 * ((p - again) ** 2).mean() + 1e-6 * _contour(p)


def _contour(p: Tensor) -> Tensor:
    """The mean over images of the length of |local maximum - local minimum| of all classes but the first."""
    if p.dim() == 2:
        return p.new_zeros(())
    high, low = (F.max_pool2d(sign * p[:, 1:], 21, 1, 10) for sign in (1, -1))
    return (high + low).flatten(1).norm(dim=1).mean()
