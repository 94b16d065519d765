"""The round loop: lanes that stand at the same round, trained to the end together.

What is measured on the way is a lane's history; where lanes are kept, and who is told how far they are, is the
caller's to say. All that decides a result is computed by this module and those that it imports: their fingerprint is
part of a lane's name in the store.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from benchmark.federation.client import ClientData, Lane
from benchmark.federation.engine import Engine, State, Validated, stack
from benchmark.federation.lane_batches import LaneBatches
from benchmark.leaf import Leaves

History = Sequence[Mapping[str, Any]]
"""Rows of `metrics.parquet`: round, client, split, metric, value, and n, the number of samples.

What a method measures of the server's work has the client and the split `server`, and the number of clients."""


@dataclass(frozen=True)
class Record:
    """One lane after some rounds.

    Attributes:
        state: Leaves, memory and optimiser, of shape (K, 1, ...).
        history: What was measured so far.
        seconds: This lane's share of the time spent so far.
        together: Keys of the lanes it was trained with, itself among them, in their order: who continues with them
            again computes the same to the bit.
        counts: After the last round, by client, what every prediction of a validation image is worth, (n, C, F): from
            scores alone nobody can tell what other images would have chosen.
        common: Once it is finished, the leaves that all clients made together, before any of them trained for itself
            at the close; without the clients' dimension and the lane's.
    """

    state: State
    history: History
    seconds: float
    together: Sequence[str] = ()
    counts: Leaves = field(default_factory=dict)
    common: Leaves = field(default_factory=dict)


@dataclass(frozen=True)
class Training:
    """How far lanes are trained, and when they are measured and kept.

    Attributes:
        engine: Trains a round.
        evaluate_every: Rounds between two validations; the last round is always validated.
        checkpoint_every: Rounds between two checkpoints; the last round always has one.
        keep: Keeps checkpoints, by key.
        tell: Is told of every round: its number, the lanes, and the seconds that a round takes.
    """

    engine: Engine
    evaluate_every: int
    checkpoint_every: int
    keep: Callable[[Mapping[str, Record]], None]
    tell: Callable[[int, Sequence[Lane], float], None]

    def train(self, lanes: Mapping[str, tuple[Lane, Record | None]]) -> dict[str, Record]:
        """Train lanes together, from where each stands to the last round and through the closing passes.

        At the beginning, where a lane stands is None; all of them are there then. Returns their results, by key.
        """
        engine, rounds = self.engine, self.engine.rounds
        together = [lane for lane, _ in lanes.values()]
        records = {key: held or Record(engine.start([lane]), [], 0.0) for key, (lane, held) in lanes.items()}
        state = stack([record.state for record in records.values()]).map(lambda tensor: tensor.to(engine.device))
        histories = {key: [*map(dict, filter(self._counts, record.history))] for key, record in records.items()}
        seconds = {key: record.seconds for key, record in records.items()}
        batches = LaneBatches(engine, len(together))
        began, first = time.monotonic(), state.round
        measured: Sequence[Validated] = []

        def spent(since: float) -> None:
            for key in seconds:
                seconds[key] += (time.monotonic() - since) / len(together)

        with ThreadPoolExecutor(1) as beside:
            keeping: Future[None] = beside.submit(lambda: None)  # One checkpoint at a time, beside the next rounds.
            while state.round < rounds:
                tick = time.monotonic()
                state, told = batches.round(state, together)
                objective = [{"objective": row} for row in told.objectives]
                _note(histories, state.round, "train", _sizes(engine.participants, "training"), objective)
                _note(histories, state.round, "server", {"server": len(engine.participants)}, [told.exchange])
                if self._due(state.round, self.evaluate_every):
                    measured = batches.validated(state, together)
                    _note(histories, state.round, "validation", self._validation, [own.metrics for own in measured])
                spent(tick)
                if self._due(state.round, self.checkpoint_every):
                    kept = state.map(lambda tensor: tensor.to("cpu", copy=True))
                    checkpoints = {
                        key: Record(kept.lane(i), list(histories[key]), seconds[key], list(lanes))
                        for i, key in enumerate(lanes)
                    }
                    keeping.result()
                    keeping = beside.submit(self.keep, checkpoints)
                self.tell(state.round, together, (time.monotonic() - began) / (state.round - first))
            keeping.result()
        common = [engine.common(state, lane) for lane in range(len(together))]
        if engine.model.method.closing() or not measured:  # Lanes that go on from the last round are not measured yet.
            tick = time.monotonic()
            state = batches.close(state, together)
            for key, rows in histories.items():
                histories[key] = [row for row in rows if not (row["round"] == rounds and row["split"] == "validation")]
            measured = batches.validated(state, together)
            _note(histories, rounds, "validation", self._validation, [own.metrics for own in measured])
            spent(tick)
        counts = {client: own.counts for client, own in zip(self._validation, measured, strict=True)}
        return {
            key: Record(
                state.lane(i),
                histories[key],
                seconds[key],
                counts={name: own[i] for name, own in counts.items()},
                common=common[i],
            )
            for i, key in enumerate(lanes)
        }

    @property
    def _validation(self) -> dict[str, int]:
        """How many validation images each client has, by name."""
        return _sizes(self.engine.clients, "validation")

    def _due(self, round: int, every: int) -> bool:
        return round % every == 0 or round == self.engine.rounds

    def _counts(self, row: Mapping[str, Any]) -> bool:
        """Whether a row stays. A run with fewer rounds validated its final round, which is dropped unless it is due."""
        return row["split"] != "validation" or self._due(row["round"], self.evaluate_every)


def _sizes(clients: Sequence[ClientData], kind: str) -> dict[str, int]:
    """How many samples each client has, by name."""
    return {client.name: len(getattr(client, kind)) for client in clients}


def _note(
    histories: Mapping[str, list[dict[str, Any]]],
    round: int,
    split: str,
    sizes: Mapping[str, int],
    measured: Sequence[Mapping[str, Tensor]],
) -> None:
    """Add what was measured on every client, by metric (L,), to the lanes' histories."""
    for (client, n), metrics in zip(sizes.items(), measured, strict=True):
        for metric, values in metrics.items():
            for rows, value in zip(histories.values(), values.tolist(), strict=True):
                about = {"round": round, "client": client, "split": split, "metric": metric}
                rows.append({**about, "value": value, "n": n})
