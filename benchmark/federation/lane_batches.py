"""Lanes in batches: as many at once as memory holds, found out where a prediction was too hopeful."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch

from benchmark.federation.client import Lane
from benchmark.federation.engine import Engine, Measured, State, Validated, stack

Found = TypeVar("Found")


@dataclass
class LaneBatches:
    """An engine whose lanes go through memory in batches of `size` lanes at most.

    Where a batch does not fit, it is halved and its step done again, and so are all later ones. Lanes do not meet, so a
    smaller batch changes a result by rounding alone.
    """

    engine: Engine
    size: int

    def round(self, state: State, lanes: Sequence[Lane]) -> tuple[State, Measured]:
        """`Engine.round`, batch by batch."""
        found = self._each(state, lanes, self.engine.round)
        measured = [own for _, own in found]
        exchange = {name: torch.cat([own.exchange[name] for own in measured]) for name in measured[0].exchange}
        return stack([after for after, _ in found]), Measured(torch.cat([m.objectives for m in measured], 1), exchange)

    def close(self, state: State, lanes: Sequence[Lane]) -> State:
        """`Engine.close`, batch by batch."""
        return stack(self._each(state, lanes, self.engine.close))

    def validated(self, state: State, lanes: Sequence[Lane]) -> Sequence[Validated]:
        """`Engine.validated`, batch by batch."""
        found = self._each(state, lanes, lambda batch, _: self.engine.validated(batch))
        return [
            Validated(
                {name: torch.cat([own.metrics[name] for own in client]) for name in client[0].metrics},
                torch.cat([own.counts for own in client]),
            )
            for client in zip(*found, strict=True)
        ]

    def _each(
        self, state: State, lanes: Sequence[Lane], work: Callable[[State, Sequence[Lane]], Found]
    ) -> Sequence[Found]:
        """What `work` finds for every batch of the lanes, in their order."""
        found: list[Found] = []
        first = 0
        while first < len(lanes):
            batch, fault = slice(first, first + self.size), None
            try:
                found.append(work(state.lanes(batch), lanes[batch]))
            except (RuntimeError, MemoryError) as error:
                if len(lanes[batch]) == 1 or not out_of_memory(error):
                    raise
                fault = str(error).partition("\n")[0]
            # Out of the handler, whose traceback holds the tensors that did not fit.
            if fault is None:
                first += self.size
            else:
                self._halve(len(lanes[batch]), fault)
        return found

    def _halve(self, count: int, fault: str) -> None:
        """Go on with half as many lanes, and say so."""
        self.size = count // 2
        if self.engine.recorder:
            self.engine.recorder.forget()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        print(f"{count} lanes do not fit into memory ({fault}); going on with {self.size}", file=sys.stderr)


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory is exhausted: a GPU's, or this machine's."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in str(error)
