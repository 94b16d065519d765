"""Frozen layers in bfloat16 on a CPU, at the speed of float32.

Few CPUs multiply bfloat16 numbers; elsewhere torch emulates that, seven to ten times slower than float32. A GPU sums
products of bfloat16 numbers in float32 and rounds the sum. So do these layers, by the CPU's float32 instructions.
"""

import torch.nn.functional as F
from torch import Tensor, nn


class Widened(nn.Linear):
    """A linear layer whose weights are kept in a lower precision than its products are computed in."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., in) to (..., out), both of the weights' precision; the products' sums are float32."""
        bias = None if self.bias is None else self.bias.float()
        return F.linear(x.float(), self.weight.float(), bias).to(x.dtype)


def widen(model: nn.Module) -> None:
    """Make every plain linear layer of a model a `Widened` one, in place; weights and their names stay."""
    for layer in model.modules():
        if type(layer) is nn.Linear:
            layer.__class__ = Widened
