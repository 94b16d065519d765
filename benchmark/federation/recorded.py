"""Steps recorded as CUDA graphs: a GPU repeats a whole step by one call, where Python would launch every operation.

A step is a fixed sequence of operations: hooks are mapped by `torch.vmap`, which allows no branch on a value. What
differs between clients, rounds and batches are values alone, which are copied into the tensors that were recorded.
"""

import sys
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import cast

import torch
from torch import Tensor

from benchmark.federation.step import Batches, Held, Step
from benchmark.method import Phase

Work = Callable[[], object]


Graphs = Callable[[Work, Work], Work]
"""Records work without doing it, and returns what does the same on the very same tensors; a RuntimeError where that
cannot be. Its second argument does the like and changes nothing: libraries set themselves up in their first calls."""


class CudaGraphs:
    """CUDA's own. They share one pool of memory: they are replayed one after another, and leave nothing in it."""

    def __init__(self) -> None:
        self._pool = torch.cuda.graph_pool_handle()
        self._warm = False

    def __call__(self, work: Work, warm_up: Work) -> Work:
        """See `Graphs`."""
        if not self._warm:
            stream = torch.cuda.Stream()
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                warm_up()
            torch.cuda.current_stream().wait_stream(stream)
            self._warm = True
        graph = torch.cuda.CUDAGraph()
        # Other threads, such as the one that writes checkpoints, may go on meanwhile.
        with torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"):
            work()
        return cast("Work", graph.replay)


class Recorded:
    """A step, whose tensors are never replaced, that is recorded once for every size of a batch and replayed then."""

    def __init__(self, step: Step, graphs: Graphs) -> None:
        self.step, self._graphs = step, graphs
        self._known: dict[int, tuple[list[Tensor], Work]] = {}

    def __call__(self, batches: Batches) -> None:
        """Take the step; see `Step.__call__`."""
        size = len(batches[0][1])
        if size not in self._known:
            self._known[size] = self._record(batches)
        held, replay = self._known[size]
        for own, new in zip(held, _flat(batches), strict=True):
            own.copy_(new)
        replay()

    def _record(self, batches: Batches) -> tuple[list[Tensor], Work]:
        """The tensors that batches of this size are copied into, and what then takes the step."""
        own = [[tensor.clone() for tensor in batch] for batch in batches]
        replay: Work = partial(self.step, own)
        try:
            replay = self._graphs(replay, lambda: self.step.gradients(own))
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            reason = str(error).partition("\n")[0]
            print(f"a step cannot be recorded and is done anew each time: {reason}", file=sys.stderr, flush=True)
        return _flat(own), replay


@dataclass
class Recorder:
    """The recorded steps of one engine: one for every kind of pass, whichever client and round it belongs to."""

    graphs: Graphs
    steps: dict[Hashable, Recorded] = field(default_factory=dict)

    def of(self, make: Callable[[Held], Step], kind: Hashable, held: Held) -> Recorded:
        """The step of a kind of pass, at its beginning; `make` makes it where none is known.

        Passes of one kind differ in values alone.
        """
        if kind in self.steps:
            self.steps[kind].step.again(held)
        else:
            self.steps[kind] = Recorded(make(held.cloned()), self.graphs)
        return self.steps[kind]

    def forget(self) -> None:
        """Drop everything that was recorded, and the memory it holds."""
        self.steps.clear()


def kind(phase: Phase, trained: Sequence[str], lanes: Sequence[Hashable]) -> Hashable | None:
    """What passes have in common that differ in values alone: equal for those whose steps are the same operations.

    None where that cannot be told. `trained` names the leaves that the pass trains.
    """
    mix = None if phase.mix is None else tuple(phase.mix.items())
    return None if mix and any(isinstance(weight, Tensor) for _, weight in mix) else (tuple(trained), mix, tuple(lanes))


def _flat(batches: Batches) -> list[Tensor]:
    return [tensor for batch in batches for tensor in batch]
