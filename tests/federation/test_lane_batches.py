"""Lanes in batches: on exhausted memory they are halved, said so, and end where they would have ended together."""

from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmark.federation.client import LocalTraining
from benchmark.federation.lane_batches import LaneBatches, out_of_memory
from tests.federation.small import LANES, apart, engine, method, same, train

ALLOCATOR = "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to"
FULL = [torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate"), MemoryError("full"), RuntimeError(ALLOCATOR)]


@dataclass
class Small:
    """A memory that holds the training of so many lanes; each pass that wants more fails."""

    lanes: int
    error: BaseException
    seen: list[int] = field(default_factory=list)

    def inject(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let local training run in this memory."""
        plain = LocalTraining.train

        def limited(*arguments: Any) -> tuple[dict[str, Tensor], Tensor]:
            self.seen.append(len(arguments[4]))
            if self.seen[-1] > self.lanes:
                raise self.error
            return plain(*arguments)

        monkeypatch.setattr(LocalTraining, "train", limited)


@pytest.mark.parametrize("error", FULL, ids=lambda error: type(error).__name__)
def test_on_exhausted_memory_lanes_are_halved_and_go_on(
    error: BaseException, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Four lanes where one fits: two, then one, said twice; the result is the fused one's within rounding."""
    ours = engine(method("feddpa_f"))
    expected = train(ours, LANES, 2)
    Small(1, error).inject(monkeypatch)
    batches = LaneBatches(ours, len(LANES))
    state = ours.start(LANES)
    for _ in range(2):
        state, measured = batches.round(state, LANES)
        assert measured.objectives.shape == (3, len(LANES))
    state = batches.close(state, LANES)
    assert batches.size == 1
    assert apart(state.params, expected.params) < 1e-12
    said = capsys.readouterr().err.splitlines()
    assert [line.partition(" lanes do not fit")[0] for line in said] == ["4", "2"]
    assert said[0].endswith("going on with 2")


def test_an_odd_number_of_lanes_is_divided(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three lanes where two fit: one and one and one, each once, in their order."""
    ours, lanes = engine(method("fedit")), LANES[:3]
    expected, _ = ours.round(ours.start(lanes), lanes)
    Small(2, MemoryError()).inject(monkeypatch)
    found, _ = LaneBatches(ours, 3).round(ours.start(lanes), lanes)
    assert apart(found.params, expected.params) < 1e-12


def test_packs_that_fit_are_the_engine_to_the_bit() -> None:
    """One pack is one call; validation is put together by client and metric."""
    ours = engine(method("fedit"))
    whole, pairs = LaneBatches(ours, 4), LaneBatches(ours, 2)
    state, _ = ours.round(ours.start(LANES), LANES)
    assert same(whole.round(ours.start(LANES), LANES)[0].params, state.params)
    for left, middle, right in zip(
        ours.validated(state), whole.validated(state, LANES), pairs.validated(state, LANES), strict=True
    ):
        for name, values in left.metrics.items():
            assert torch.equal(values, middle.metrics[name])
            assert (values - right.metrics[name]).abs().max() < 1e-12
        assert torch.equal(left.counts, middle.counts)
        assert torch.equal(left.counts, right.counts)


def test_a_lane_that_does_not_fit_alone_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is nothing left to halve."""
    ours = engine(method("fedit"))
    Small(0, MemoryError("full")).inject(monkeypatch)
    with pytest.raises(MemoryError):
        LaneBatches(ours, 4).round(ours.start(LANES), LANES)


def test_other_errors_pass() -> None:
    """A fault of a method is no lack of memory."""
    assert not out_of_memory(RuntimeError("shapes do not match"))
    assert not out_of_memory(ValueError("no"))
