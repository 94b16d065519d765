"""How undecided predictions are: what adaptations make smaller, and what is reported of them.

It waits for no torch: reports read it too.
"""

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def entropy(prediction: "Tensor") -> "Tensor":
    """How undecided logits (n, classes, ...) are: the mean over images and pixels of -sum_c p_c log p_c / ln C.

    A scalar, 1 where all C classes are equally likely and 0 where one is certain, whatever n, C and the size.
    """
    logs = prediction.log_softmax(1)
    return -(logs.exp() * logs).sum(1).mean() / math.log(prediction.shape[1])
