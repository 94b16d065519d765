"""One method on trial: trained once on the small federation, for all checks to look at."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from torch import Tensor

from benchmark.contract.by_hand import Calls, call_all
from benchmark.contract.federation import engine
from benchmark.federation import methods
from benchmark.federation.client import ClientData, Lane
from benchmark.federation.engine import Engine, State
from benchmark.method import Method

LANES = (Lane("1e-1", 0), Lane("2e-2", 1), Lane("1e-1", 1))
"""Two rates, two seeds; the lane in the middle has a neighbour that shares its seed, and one that does not."""
LATER = 6
"""Rounds after which a method that learns from what it received has learnt: in the first, all clients are equal."""


@dataclass(frozen=True)
class Trained:
    """Where all lanes stand, from the start to the end.

    Attributes:
        states: After no round, one and two.
        kept: Copies of them, made when each was reached.
        closed: After the closing passes.
        frozen: The backbone's weights before anything was trained.
    """

    states: Sequence[State]
    kept: Sequence[State]
    closed: State
    frozen: Mapping[str, Tensor]

    def state(self, rounds: int) -> State:
        """Where the lanes stood after some rounds, whatever has been done to that state since: a new copy."""
        return _copied(self.kept[rounds])


class Trial:
    """A method's file, and what its method does.

    Attributes:
        path: The file.
        settings: The method's settings.
        build: Makes the engine of a method and hospitals; of None, the three of the small federation.

    Args:
        path: The file.
        settings: The method's settings.
        build: Makes the engine of a method and hospitals; of None, the three of the small federation.
    """

    def __init__(
        self,
        path: Path,
        settings: Mapping[str, float | bool | str],
        build: Callable[[Method, Sequence[ClientData] | None], Engine] = engine,
    ) -> None:
        self.path, self.settings, self.build = path, settings, build

    @cached_property
    def engine(self) -> Engine:
        """The engine that trains it."""
        return self.anew()

    @cached_property
    def calls(self) -> Calls:
        """What its hooks return, called one by one."""
        return call_all(self.engine, self.place)

    @cached_property
    def trained(self) -> Trained:
        """Two rounds and the closing passes."""
        frozen = {name: weight.clone() for name, weight in self.engine.model.network.frozen().items()}
        states = [self.engine.start(LANES)]
        kept = [_copied(states[0])]
        for _ in range(2):
            states.append(self.engine.round(states[-1], LANES)[0])
            kept.append(_copied(states[-1]))
        closed = self.engine.close(states[-1], LANES)
        return Trained(states, kept, closed, frozen)

    @cached_property
    def later(self) -> State:
        """Where the lanes stand after `LATER` rounds and the closing passes."""
        state = self.trained.state(2)
        while state.round < LATER:
            state, _ = self.engine.round(state, LANES)
        return self.engine.close(state, LANES)

    def anew(self, clients: Sequence[ClientData] | None = None) -> Engine:
        """An engine that shares nothing with another, as in a process of its own: the file is read again."""
        return self.build(methods.load(self.path, self.settings), clients)

    def place(self, *hooks: str) -> str:
        """Where to look: file, line and hook; of several hooks, those that the file defines."""
        cls = type(self.engine.model.method)
        own = [hook for hook in hooks if hook in vars(cls)]
        line = f":{inspect.getsourcelines(vars(cls)[own[0]])[1]}" if own else ""
        return f"{self.path}{line}: {' or '.join(f'{hook}()' for hook in own or hooks)}"


def _copied(state: State) -> State:
    return state.map(Tensor.clone)
