"""Dropout: how much is dropped, and that draws follow from their key alone."""

import pytest
import torch
from torch import Tensor

from benchmark.federation.client import Lane
from benchmark.models.dropout import dropped
from benchmark.settings import LoraSettings
from tests.federation.small import TRAINING, apart, engine, method, same, train

ONES = torch.ones(50, 40, 30, dtype=torch.float64)


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_a_share_is_dropped_and_the_mean_stays(share: float) -> None:
    """60,000 elements: the share within five standard deviations, and what is left enlarged."""
    found = dropped(ONES, share, torch.tensor(7), 0)
    spread = (share * (1 - share) / ONES.numel()) ** 0.5
    assert float((found == 0).double().mean()) == pytest.approx(share, abs=5 * spread)
    assert found.unique().tolist() == pytest.approx([0.0, 1 / (1 - share)])


def test_draws_differ_by_key_and_place_and_are_not_alike() -> None:
    """Two keys, or two layers, agree on as many elements as chance has it."""
    first = dropped(ONES, 0.5, torch.tensor(7), 0) > 0
    for key, place in ((8, 0), (7, 1)):
        other = dropped(ONES, 0.5, torch.tensor(key), place) > 0
        assert float((first == other).double().mean()) == pytest.approx(0.5, abs=0.02)
    rows = first.double().flatten(1)
    assert float(torch.corrcoef(rows).fill_diagonal_(0).abs().max()) < 0.15, "rows do not repeat each other"


def test_the_hash_is_splitmix64() -> None:
    """Of one element, in Python's whole numbers."""

    def mixed(number: int) -> int:
        number = (number ^ (number >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        number = (number ^ (number >> 27)) * 0x94D049BB133111EB % 2**64
        return number ^ (number >> 31)

    for key in (0, 1, 12345, 2**61 + 17):
        uniform = (mixed((5 * 0x9E3779B97F4A7C15 + key) % 2**64) >> 11) * 2.0**-53
        row = torch.ones(6, dtype=torch.float64)
        assert float(dropped(row, uniform, torch.tensor(key), 0)[5]) > 0, "what is not below the share stays"
        assert float(dropped(row, uniform + 2.0**-53, torch.tensor(key), 0)[5]) == 0


def test_lanes_with_keys_of_their_own_are_mapped() -> None:
    """`torch.vmap` over keys is the same as one key after the other."""
    keys = torch.tensor([3, 4])
    found = torch.vmap(lambda key: dropped(ONES[0], 0.3, key, 2))(keys)
    for lane, key in zip(found, keys, strict=True):
        assert torch.equal(lane, dropped(ONES[0], 0.3, key, 2))


def test_training_drops_and_prediction_does_not() -> None:
    """Lanes are those trained alone; the same run twice is equal to the bit; without dropout it is another."""
    lanes = (Lane("1e-1", 0), Lane("1e-1", 1))
    with_dropout, without = LoraSettings(rank=4, dropout=0.5), LoraSettings(rank=4)
    ours, plain = (engine(method("fedit"), lora=lora, training=TRAINING) for lora in (with_dropout, without))
    state = train(ours, lanes, 2)
    assert same(state.params, train(ours, lanes, 2).params)
    assert apart(state.params, train(plain, lanes, 2).params) > 1e-4
    alone = train(ours, lanes[1:], 2)
    assert apart({name: leaf[:, 1:] for name, leaf in state.params.items()}, alone.params) < 1e-12
    measured: list[Tensor] = [values["loss"] for values in ours.validate(state)]
    assert all(map(torch.equal, measured, [values["loss"] for values in ours.validate(state)]))
