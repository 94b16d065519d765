"""Fused attention: softmax(q k^T / sqrt(d)) v by hand, with and without lanes, and its gradients."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from benchmark.models import attention
from benchmark.models.attention import Attention, attend, fused
from tests.federation.small import LANES as FOUR
from tests.federation.small import apart, engine, method, transformer

LANES, IMAGES, HEADS, TOKENS, SIZE = 3, 2, 3, 17, 8
Attend = Callable[[Tensor, Tensor, Tensor], Tensor]


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """The fused kernel is used for every size."""
    monkeypatch.setattr(attention, "FUSED_FROM", 0)


def drawn(*, lanes: bool = True) -> list[Tensor]:
    """Queries, keys and values, in float64."""
    source = torch.Generator().manual_seed(0)
    shape = (*([LANES] if lanes else []), IMAGES, HEADS, TOKENS, SIZE)
    return [torch.randn(shape, generator=source, dtype=torch.float64).requires_grad_() for _ in range(3)]


def by_hand(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """The formula, written out."""
    logits = torch.einsum("...qd,...kd->...qk", q, k) / SIZE**0.5
    weights = logits.exp() / logits.exp().sum(-1, keepdim=True)
    return torch.einsum("...qk,...kd->...qd", weights, v)


def assert_alike(found: Attend, inputs: list[Tensor], expected: Attend = by_hand) -> None:
    """Values, and gradients of a random sum of them."""
    values = [f(*inputs) for f in (found, expected)]
    weights = torch.randn(values[0].shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    gradients = [torch.autograd.grad((value * weights).sum(), inputs) for value in values]
    assert (values[0] - values[1]).abs().max() < 1e-13
    for left, right in zip(*gradients, strict=True):
        assert (left - right).abs().max() < 1e-13


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("shared", ["", "q", "k", "v", "kv"])
def test_lanes_are_those_of_one_at_a_time(shared: str) -> None:
    """Whether all lanes have queries, keys and values of their own or share some: gradients are taken outside."""
    inputs = drawn()
    dims = tuple(None if name in shared else 0 for name in "qkv")
    assert_alike(
        lambda *own: torch.vmap(attend, in_dims=dims)(
            *(x[0] if d is None else x for x, d in zip(own, dims, strict=True))
        ),
        inputs,
        lambda *own: by_hand(*(x[:1].expand_as(x) if d is None else x for x, d in zip(own, dims, strict=True))),
    )


@pytest.mark.usefixtures("always")
@pytest.mark.filterwarnings("ignore:There is a performance drop")
def test_lanes_may_be_any_dimension_and_be_mapped_twice() -> None:
    assert_alike(lambda q, k, v: torch.vmap(attend, (1, 0, 0))(q.transpose(0, 1), k, v), drawn())
    assert_alike(torch.vmap(torch.vmap(lambda q, k, v: attend(q[None], k[None], v[None])[0])), drawn())


@pytest.mark.usefixtures("always")
def test_without_lanes_and_in_a_transform_of_a_hook_it_has_its_gradient() -> None:
    """Alone, and where a method differentiates within its own hook: the plain gradient is used."""
    assert_alike(attend, drawn(lanes=False))
    inputs = drawn()

    def own(f: Attend) -> Attend:
        return torch.vmap(torch.func.grad(lambda q, k, v: (f(q, k, v) ** 2).sum()))

    assert (own(attend)(*inputs) - own(by_hand)(*inputs)).abs().max() < 1e-13


def test_a_gpus_repeatable_gradient_is_the_same() -> None:
    """Here on the CPU; the process's setting is as before, and what needs no gradient gets none."""
    assert_alike(attention._Repeatable.apply, drawn(lanes=False))
    q, k, v = drawn(lanes=False)
    (found,) = torch.autograd.grad(attention._Repeatable.apply(q, k.detach(), v.detach()).sum(), q)
    (expected,) = torch.autograd.grad(by_hand(q, k, v).sum(), q)
    assert (found - expected).abs().max() < 1e-13
    assert not torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize("kept", [None, 1, TOKENS])
@pytest.mark.parametrize("limit", [0, 10**6])
def test_the_module_is_timms(monkeypatch: pytest.MonkeyPatch, kept: int | None, limit: int) -> None:
    """For all tokens or the first, fused or not; its modules keep their names."""
    monkeypatch.setattr(attention, "FUSED_FROM", limit)
    theirs = transformer().double().blocks[0].attn
    ours = Attention(theirs)
    x = torch.randn(2, TOKENS, 48, dtype=torch.float64)
    assert (ours(x, kept=kept) - theirs(x)[:, :kept]).abs().max() < 1e-13
    assert ours.state_dict().keys() == theirs.state_dict().keys()


def test_it_is_used_where_it_pays() -> None:
    """On a GPU always; on a CPU for as many tokens as the measurement says."""
    cpu = torch.device("cpu")
    assert fused(torch.device("cuda"), 1)
    assert not fused(cpu, attention.FUSED_FROM - 1)
    assert fused(cpu, attention.FUSED_FROM)


@pytest.mark.usefixtures("always")
@pytest.mark.filterwarnings("error:There is a performance drop")
@pytest.mark.parametrize("name", ["fedit", "fedopal_r"])
def test_a_round_is_that_of_plain_attention(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two lanes of the whole model in float64, traced or not, without a loop over lanes."""
    found = []
    for limit in (0, 10**6):
        monkeypatch.setattr(attention, "FUSED_FROM", limit)
        ours = engine(method(name))
        found.append(ours.round(ours.start(FOUR[:2]), FOUR[:2])[0].params)
    assert apart(*found) < 1e-12
