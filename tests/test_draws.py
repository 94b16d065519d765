"""Draws depend on their key and on nothing else."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from benchmark.draws import generator, initial
from benchmark.leaf import Leaf
from benchmark.models import lora
from benchmark.models.heads import Linear
from benchmark.models.lora import Site

keys = st.lists(st.one_of(st.integers(0, 99), st.text(max_size=8)), min_size=1, max_size=4).map(tuple)

SITES = [Site("blocks.0.attn.q", 0, 192, 192)]
A, B = lora.leaves("global", SITES, 8, "kaiming")
PERSONAL, _ = lora.leaves("personal", SITES, 8, "kaiming")
GAUSSIAN, _ = lora.leaves("global", SITES, 8, "gaussian")
WEIGHT, BIAS = Linear(192, 8).leaves("head")


@given(key=keys, other=keys)
def test_equal_keys_draw_equally_and_others_do_not(key: tuple[int | str, ...], other: tuple[int | str, ...]) -> None:
    """The key is the whole state: also 1 and "1", and ("a", "b") and ("ab",), are different keys."""
    first, second = (torch.rand(4, generator=generator(*k), dtype=torch.float64) for k in (key, other))
    assert torch.equal(first, second) == (key == other)


def test_keys_that_look_alike_differ() -> None:
    """A number is not its text, and joining parts is no key."""
    pairs = [((1, "a"), ("1", "a")), (("a", "b"), ("ab",)), ((1, 2), (12,)), (("a",), ("a", ""))]
    for left, right in pairs:
        assert generator(*left).initial_seed() != generator(*right).initial_seed()


def test_draws_leave_the_global_generator_alone() -> None:
    """Neither does drawing advance torch's generator, nor does its state matter."""
    before = torch.get_rng_state()
    first = initial(A, 0, torch.float64)
    assert torch.equal(before, torch.get_rng_state())
    torch.rand(3)
    assert torch.equal(first, initial(A, 0, torch.float64))


def test_a_is_drawn_as_peft_draws_it() -> None:
    """Kaiming's uniform with a = sqrt(5), bound sqrt(6 / ((1 + a^2) fan_in))."""
    bound = math.sqrt(6 / ((1 + 5) * 192))
    drawn = initial(A, 0, torch.float64)
    assert drawn.abs().max() <= bound
    assert drawn.abs().max() > 0.99 * bound
    assert float(drawn.var()) == pytest.approx(bound**2 / 3, rel=0.1)
    assert abs(float(drawn.mean())) < 4 * bound / math.sqrt(3 * drawn.numel())


def test_a_may_be_drawn_as_peft_draws_its_gaussian() -> None:
    """Normal, with the standard deviation 1/rank."""
    assert float(initial(GAUSSIAN, 0, torch.float64).std()) == pytest.approx(1 / 8, rel=0.1)


def test_b_and_bias_are_zero_and_the_head_is_small() -> None:
    """Adapters change nothing at first."""
    assert not initial(B, 0, torch.float32).any()
    assert not initial(BIAS, 0, torch.float32).any()
    assert float(initial(WEIGHT, 0, torch.float64).std()) == pytest.approx(0.02, rel=0.1)


def test_initialisation_is_keyed_by_seed_and_name() -> None:
    """Another seed, another layer or another adapter is another draw."""
    drawn = [initial(A, 0, torch.float64), initial(A, 1, torch.float64), initial(PERSONAL, 0, torch.float64)]
    assert len({tuple(tensor.flatten().tolist()) for tensor in drawn}) == 3


@pytest.mark.parametrize("leaf", [A, B, WEIGHT, BIAS], ids=lambda leaf: leaf.name)
def test_precisions_agree(leaf: Leaf) -> None:
    """Float32 is float64, rounded."""
    exact = initial(leaf, 0, torch.float64)
    assert exact.shape == leaf.shape
    assert torch.equal(initial(leaf, 0, torch.float32), exact.to(torch.float32))
