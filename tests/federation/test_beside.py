"""Work beside the training: one piece at a time, finished at the end, its errors met."""

import threading
import time
from collections.abc import Callable

import pytest

from benchmark.federation.beside import Beside


def test_the_caller_goes_on_and_waits_for_the_piece_before() -> None:
    """The first piece waits for this test; the second begins when it is done; both are done at the end."""
    go, seen = threading.Event(), list[str]()

    def first() -> None:
        go.wait(10)
        time.sleep(0.05)
        seen.append("first")

    with Beside() as beside:
        beside.do(first)
        assert not seen
        go.set()
        beside.do(lambda: seen.append("second"))
        assert seen[0] == "first"
    assert seen == ["first", "second"]


def test_an_error_is_met_by_the_next_piece_or_at_the_end() -> None:
    def fails() -> None:
        raise OSError("full")

    with pytest.raises(OSError, match="full"), Beside() as beside:
        beside.do(fails)
    beside = Beside()
    beside.do(fails)
    with pytest.raises(OSError, match="full"):
        beside.do(fails)


def test_an_error_of_the_training_is_the_one_to_tell() -> None:
    """The piece is finished all the same."""
    done: list[bool] = []

    def slow() -> None:
        time.sleep(0.05)
        done.append(True)
        raise OSError("full")

    beside = Beside()
    with pytest.raises(ValueError, match="training"):
        trains(beside, slow)
    assert done


def trains(beside: Beside, piece: Callable[[], None]) -> None:
    """Give it a piece of work, then fail."""
    with beside:
        beside.do(piece)
        raise ValueError("training")
