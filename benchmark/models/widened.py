"""Frozen layers in bfloat16 on a CPU, near the speed of float32 or faster.

CPUs with Intel's AMX multiply matrices of bfloat16 numbers fast. On others that were tried torch is slower at it than
at float32, seven to ten times where it has to emulate it. GPUs and AMX sum products of bfloat16 numbers in float32 and
round the sum. So do the layers of this module, by float32 instructions.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

TILE = 32
"""How many bfloat16 numbers of a row AMX takes at once."""


class Widened(nn.Linear):
    """A linear layer whose weights are kept in a lower precision than its products are computed in."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., in) to (..., out), both of the weights' precision; the products' sums are float32."""
        bias = None if self.bias is None else self.bias.float()
        return F.linear(x.float(), self.weight.float(), bias).to(x.dtype)


def widen(model: nn.Module) -> None:
    """Make plain linear layers of a model `Widened` ones, in place; weights and their names stay.

    Where the CPU has AMX, layers of whole tiles stay as they are. In others a row's NaN has been seen in the row before
    it, so one lane's would become its neighbour's: the kernel seems to read on past a row's end, times zero.
    """
    amx = bool(torch.cpu.get_capabilities().get("amx_bf16"))
    for layer in model.modules():
        if type(layer) is nn.Linear and not (amx and layer.in_features % TILE == 0 == layer.out_features % TILE):
            layer.__class__ = Widened
