"""Checkpoints are kept beside the training: one at a time, finished at the end, their errors met."""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
from torch import Tensor

from benchmark.federation.client import Lane
from benchmark.federation.engine import Engine
from benchmark.federation.exchange import Exchange
from benchmark.federation.job import _over_rounds
from benchmark.federation.lane_batches import LaneBatches
from benchmark.federation.training import Record, Training
from benchmark.leaf import Leaves
from benchmark.method import Method, aggregation_error
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


def test_what_a_method_measures_is_in_every_lanes_history() -> None:
    """A number per round and lane, the same whether lanes are trained together; no parameter depends on it."""
    ours, lanes = engine(method("flexlora")), {rate: (Lane(rate, 0), None) for rate in ("1e-2", "1e-1")}
    found = measured(ours, lanes)
    for rate, rows in found.items():
        assert [(row["round"], row["client"], row["metric"], row["n"]) for row in rows] == [
            (round, "server", "aggregation_error", 3) for round in (1, 2)
        ]
        alone = measured(ours, {rate: lanes[rate]})[rate]
        assert [row["value"] for row in alone] == pytest.approx([row["value"] for row in rows], abs=1e-9)
        assert all(0 < row["value"] < 1 for row in rows)
    assert found["1e-2"][0]["value"] != found["1e-1"][0]["value"]
    assert _over_rounds(found["1e-1"])["aggregation_error"] == pytest.approx(
        sum(row["value"] for row in found["1e-1"]) / 2
    )
    assert not measured(engine(method("fedit")), lanes)["1e-2"], "a method that measures nothing has no such row"


def test_what_is_measured_is_of_the_leaves_that_were_sent() -> None:
    """The engine's number is that of the hook by hand, for each lane; in batches of one lane likewise."""
    ours, lanes = engine(method("flexlora")), [Lane("1e-2", 0), Lane("1e-1", 1)]
    begun = ours.start(lanes)
    _, together = ours.round(begun, lanes)
    _, apart = LaneBatches(ours, 1).round(begun, lanes)
    local = ours.model.method
    trained, *_ = ours._local(begun, lanes, ours._passes(0))
    exchange = Exchange(ours.model, ours.head, 0)
    sent = exchange.up(trained, begun.memory)
    for number in range(2):
        own = {name: leaf[:, number] for name, leaf in sent.items()}
        expected = float(aggregation_error(own, ours.weights, local.server(own, own, ours.weights)))
        assert float(together.exchange["aggregation_error"][number]) == pytest.approx(expected, abs=1e-9)
        assert float(apart.exchange["aggregation_error"][number]) == pytest.approx(expected, abs=1e-9)


class Wrong(Method):
    """Measures what is no scalar."""

    title, paper = "Wrong", "none"

    def measure(self, sent: Leaves, start: Leaves, weights: Tensor, received: Leaves) -> Leaves:
        return {"weights": weights}


def test_a_measurement_is_a_scalar() -> None:
    ours = engine(Wrong())
    with pytest.raises(ValueError, match=r"Wrong.measure\(\) returned \(3,\) for 'weights'; expected a scalar"):
        ours.round(ours.start([Lane("1e-2", 0)]), [Lane("1e-2", 0)])


def test_a_mean_over_rounds_is_none_where_a_round_diverged() -> None:
    row = {"client": "server", "split": "server", "metric": "error", "n": 3}
    rows = [{**row, "round": 1, "value": 0.5}, {**row, "round": 2, "value": math.nan}]
    assert _over_rounds(rows) == {"error": None}
    assert _over_rounds([]) == {}


def measured(ours: Engine, lanes: Mapping[str, tuple[Lane, None]]) -> dict[str, list[Mapping[str, object]]]:
    """What two rounds say of the server's work, by lane."""
    found = Training(replace(ours, rounds=2), 2, 5, lambda _: None, lambda *_: None).train(lanes)
    return {key: [row for row in record.history if row["split"] == "server"] for key, record in found.items()}
