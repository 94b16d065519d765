"""Layers in bfloat16 whose products are computed in float32."""

import pytest
import torch
from torch import nn

from benchmark.models.vit import build
from benchmark.models.widened import Widened, widen
from tests.models.small import features, network


def pretend(monkeypatch: pytest.MonkeyPatch, amx: bool) -> None:
    """A CPU with AMX, or one without."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": amx})


@pytest.mark.parametrize("amx", [True, False])
def test_a_product_is_summed_in_float32_and_rounded_once(amx: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against the exact product of the rounded numbers: off by half a unit in the last place of bfloat16 at most."""
    pretend(monkeypatch, amx)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 32), nn.GELU(), nn.Linear(32, 8, bias=False)).to(torch.bfloat16)
    widen(model)
    assert [isinstance(layer, Widened) for layer in model] == [not amx, False, True]
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


def test_where_the_cpu_multiplies_bfloat16_layers_of_whole_tiles_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both widths count: a row of outputs is a row of the gradient's product."""
    for amx, kept in ((True, [False, True, True, False]), (False, [True] * 4)):
        pretend(monkeypatch, amx)
        model = nn.Sequential(*(nn.Linear(*widths) for widths in ((64, 32), (64, 48), (48, 64), (192, 576))))
        widen(model)
        assert [isinstance(layer, Widened) for layer in model] == kept


def test_layers_are_widened_in_bfloat16_alone_and_compute_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """As far as bfloat16 goes: a few units in its last place, of features about one."""
    images = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    found = []
    for amx, precision in ((True, "bfloat16"), (False, "bfloat16"), (False, "float32")):
        pretend(monkeypatch, amx)
        torch.manual_seed(0)
        arguments = {"patch_size": 16, "embed_dim": 64, "depth": 2, "num_heads": 2}
        ours = network(build("vit_tiny_patch16_224", arguments, 32), precision=precision)
        widened = any(isinstance(layer, Widened) for layer in ours.backbone.modules())
        assert widened is (precision == "bfloat16" and not amx)
        found.append(features(ours, images, {}, {})[0])
    for lower in found[:2]:
        torch.testing.assert_close(lower, found[2], rtol=0.0, atol=2.0**-5)


@pytest.mark.parametrize(("inside", "outside"), [(192, 576), (48, 33), (33, 64)])
def test_a_row_that_is_no_number_leaves_its_neighbours_equal_to_the_bit(inside: int, outside: int) -> None:
    """On this very CPU, in products and gradients, for widths with and without whole tiles."""
    torch.manual_seed(0)
    layer = nn.Sequential(nn.Linear(inside, outside)).bfloat16()
    widen(layer)
    x = torch.randn(6, 17, inside).bfloat16()
    found = []
    for rows in (x, torch.cat([x[:2], torch.full_like(x[2:4], torch.nan), x[4:]])):
        rows = rows.clone().requires_grad_()
        y = layer(rows)
        (gradient,) = torch.autograd.grad((y * rows[..., :1]).sum(), rows)
        found.append((y, gradient))
    for expected, ours in zip(*found, strict=True):
        assert torch.equal(expected[[0, 1, 4, 5]], ours[[0, 1, 4, 5]])
        assert ours[2:4].isnan().all()
