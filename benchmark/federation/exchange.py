"""What travels between clients and server after a round's training, and what both make of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from benchmark.federation.model import Model
from benchmark.leaf import Leaves
from benchmark.method import Method


@dataclass(frozen=True)
class Exchange:
    """The messages of one round, counted from 0, of which `head` is the configured policy for the head."""

    model: Model
    head: Literal["shared", "personal"]
    round: int

    @property
    def leaves(self) -> list[str]:
        """Names of the leaves that travel: those shared, as far as any pass of this round changes them."""
        phases = self.model.method.phases(self.round)
        return [name for name in self.model.shared(self.head) if self.model.moves(name, phases)]

    def up(self, params: Leaves, memory: Leaves) -> dict[str, Tensor]:
        """What every client sends in every lane, of its leaves and memory after training; all are of shape (K, L, ...).

        A ValueError says that `upload` uses the name of a leaf.
        """
        method = self.model.method
        more = torch.vmap(torch.vmap(lambda own, past: dict(method.upload(own, past))))(dict(params), dict(memory))
        if taken := sorted(set(more) & set(self.model.leaves)):
            raise ValueError(
                f"{type(method).__name__}.upload() returned {taken[0]!r}, the name of a leaf: give it another one"
            )
        return {**{name: params[name] for name in self.leaves}, **more}

    def served(self, sent: Leaves, start: Leaves, weights: Tensor) -> dict[str, Tensor]:
        """What all clients receive in every lane.

        Args:
            sent: What they sent, each of shape (K, L, ...).
            start: All leaves as the round began, likewise.
            weights: The clients' weights, shape (K,).

        Returns:
            Tensors of shape (L, ...).
        """
        method = self.model.method
        serve = torch.vmap(lambda own, began: dict(method.server(own, began, weights)), in_dims=1)
        return serve(dict(sent), {name: start[name] for name in self.leaves}) if sent else {}

    def measured(self, sent: Leaves, start: Leaves, weights: Tensor, received: Leaves) -> dict[str, Tensor]:
        """What the method measures of the server's work, by name, each (L,); arguments as of `served`, and its answer.

        A ValueError says that a measurement is no scalar.
        """
        method = self.model.method
        if not sent or type(method).measure is Method.measure:
            return {}
        measure = torch.vmap(
            lambda own, began, answer: dict(method.measure(own, began, weights, answer)), in_dims=(1, 1, 0)
        )
        found: dict[str, Tensor] = measure(dict(sent), {name: start[name] for name in self.leaves}, dict(received))
        for name, values in found.items():
            if values.dim() != 1:
                raise ValueError(
                    f"{type(method).__name__}.measure() returned {tuple(values.shape[1:])} for {name!r}; expected a "
                    "scalar: reduce it, by `.mean()` or `.norm()`"
                )
        return found

    def down(self, received: Leaves, params: Leaves, memory: Leaves, fresh: Leaves) -> tuple[Leaves, Leaves]:
        """What every client makes of the message.

        Args:
            received: What the server returned, each of shape (L, ...).
            params: Leaves after local training, each of shape (K, L, ...).
            memory: What clients remember, likewise.
            fresh: Leaves as they would be initialised now, each of shape (K, L, ...).

        Returns:
            All leaves and all memory, (K, L, ...).

        Raises:
            ValueError: A leaf that travels does not come back, one that does not travel does, or one has another shape.
        """
        of_lane = torch.vmap(lambda *own: tuple(map(dict, self.model.method.download(*own))))
        of_client = torch.vmap(of_lane, in_dims=(None, 0, 0, 0))
        if not self.interprets:
            self._check("server", received, 1, exactly=self.leaves)
        new, remembered = of_client(dict(received), dict(params), dict(memory), dict(fresh))
        self._check("download", new, 2)
        return {**params, **{name: leaf.contiguous() for name, leaf in new.items()}}, remembered

    @property
    def interprets(self) -> bool:
        """True if the method overrides `download`."""
        return type(self.model.method).download is not Method.download

    def _check(self, hook: str, returned: Leaves, dimensions: int, exactly: Sequence[str] = ()) -> None:
        """Refuse leaves that do not belong here, lack, or have another shape than their own behind some dimensions."""
        place = f"{type(self.model.method).__name__}.{hook}() returned"
        if hook == "server":
            allowed, fault, whose = exactly, "not shared", "what every client receives, without a client dimension"
        else:
            allowed, fault, whose = list(self.model.leaves), "not this method's", "one client's leaf"
        if unknown := sorted(set(returned) - set(allowed)):
            raise ValueError(f"{place} leaves that are {fault}: {unknown}")
        for name in dict.fromkeys([*exactly, *returned]):
            expected = self.model.leaves[name].shape
            got = tuple(returned[name].shape[dimensions:]) if name in returned else "nothing"
            if got != expected:
                raise ValueError(f"{place} {got} for leaf {name!r}; expected shape {expected}: {whose}")


def size(message: Leaves, dimensions: int) -> int:
    """Bytes of one client's message in one lane; as many first dimensions of its tensors are clients and lanes."""
    return sum(leaf[(0,) * dimensions].numel() * leaf.element_size() for leaf in message.values())
