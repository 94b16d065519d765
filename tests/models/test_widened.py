"""Layers in bfloat16 whose products are computed in float32."""

import torch
from torch import nn

from benchmark.models.widened import Widened, widen


def test_a_product_is_summed_in_float32_and_rounded_once() -> None:
    """Against the exact product of the rounded numbers: off by half a unit in the last place of bfloat16 at most."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 32), nn.GELU(), nn.Linear(32, 8, bias=False)).to(torch.bfloat16)
    widen(model)
    assert [type(layer) for layer in model] == [Widened, nn.GELU, Widened]
    assert list(model.state_dict()) == ["0.weight", "0.bias", "2.weight"]
    x = torch.randn(5, 64).bfloat16().requires_grad_()
    y = model[0](x)
    exact = x.double() @ model[0].weight.double().T + model[0].bias.double()
    assert y.dtype == torch.bfloat16
    assert ((y.double() - exact).abs() <= 2.0**-8 * exact.abs() + 1e-6).all()
    (gradient,) = torch.autograd.grad(y.sum(), x)
    torch.testing.assert_close(gradient, model[0].weight.double().sum(0).bfloat16().expand(5, -1))
    assert model[2](torch.zeros(1, 32).bfloat16()).abs().sum() == 0


def test_layers_of_another_kind_stay() -> None:
    """What is a linear layer of its own kind computes as it says."""

    class Own(nn.Linear):
        pass

    model = nn.Sequential(Own(2, 2))
    widen(model)
    assert type(model[0]) is Own
