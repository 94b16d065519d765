"""Checkpoints are kept beside the training: one at a time, finished at the end, their errors met."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from benchmark.federation.client import Lane
from benchmark.federation.training import Record, Training
from tests.federation.small import clients, engine, method

LANES = {"key": (Lane("1e-2", 0), None)}


def training(keep, tell=lambda *_: None, rounds: int = 3) -> Training:
    """Three rounds, each with a checkpoint."""
    return Training(replace(engine(method("fedit"), clients()[:1]), rounds=rounds), 1, 1, keep, tell)


def test_the_training_goes_on_and_waits_for_the_checkpoint_before() -> None:
    """A checkpoint that takes long is whole before the next one begins; all are there at the end."""
    seen: list[tuple[str, int]] = []

    def keep(records: Mapping[str, Record]) -> None:
        seen.append(("begins", records["key"].state.round))
        time.sleep(0.05)
        seen.append(("ends", records["key"].state.round))

    training(keep).train(LANES)
    assert seen == [(word, round) for round in (1, 2, 3) for word in ("begins", "ends")]


@pytest.mark.parametrize("rounds", [1, 3])
def test_an_error_is_met_before_the_next_checkpoint_or_at_the_end(rounds: int) -> None:
    def fails(records: Mapping[str, Record]) -> None:
        raise OSError("full")

    with pytest.raises(OSError, match="full"):
        training(fails, rounds=rounds).train(LANES)


def test_an_error_of_the_training_is_the_one_to_tell() -> None:
    """The checkpoint is finished all the same."""
    done: list[bool] = []

    def slow(records: Mapping[str, Record]) -> None:
        time.sleep(0.05)
        done.append(True)
        raise OSError("full")

    def fails(round: int, together: Sequence[Lane], seconds: float) -> None:
        raise ValueError("training")

    with pytest.raises(ValueError, match="training"):
        training(slow, fails).train(LANES)
    assert done
