"""Every hook called once, by hand: one client, one lane, no mapping, so that a fault is named before it meets others.

The leaves are those of clients in the middle of a training: nothing is zero, and no two clients are equal.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from benchmark.contract.fault import ContractError
from benchmark.contract.returned import exactly, said, tensors
from benchmark.data.augmentation import to_float
from benchmark.draws import generator
from benchmark.federation.client import Lane
from benchmark.federation.engine import DRAWN, SUPPORT, Engine
from benchmark.federation.exchange import Exchange
from benchmark.federation.model import Images
from benchmark.leaf import Leaves
from benchmark.method import Method, Phase

ROUND = 1
"""The round that is called: not the first, which some methods treat in a way of its own."""
IMAGES = 4


@dataclass(frozen=True)
class Calls:
    """What the calls showed.

    Attributes:
        changed: A message for every argument that a hook changed.
        unused: A message for every leaf that a pass trains although the loss does not depend on it.
        downloaded: Names of the leaves that a `download` of the method's own returned.
    """

    changed: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    downloaded: set[str] = field(default_factory=set)


def call_all(engine: Engine, place: Callable[..., str]) -> Calls:
    """Call every hook, in the order of a round. `place` says where hooks are: file, line and name.

    Raises:
        ContractError: A hook returned what it must not.
    """
    calling = _Calling(engine, place, Calls())
    calling.round()
    return calling.found


@dataclass(frozen=True)
class _Calling:
    engine: Engine
    place: Callable[..., str]
    found: Calls

    @property
    def method(self) -> Method:
        return self.engine.model.method

    def round(self) -> None:
        """One round of all clients, what is trained being drawn; then a prediction of the first client."""
        names = [client.name for client in self.engine.participants]
        fresh = self._fresh()
        starts, ends = ([_moved(fresh, name, when) for name in names] for when in ("start", "end"))
        begun = [tensors(self.place("memory"), self._call("memory", start)) for start in starts]
        self._weights(self._call("mix", ends[0]), self.place("mix"))
        gradients = self._gradients(ends[0], starts[0], begun[0])
        memories = [
            self._memory("after", self._call("after", end, start, memory, gradients), memory)
            for end, start, memory in zip(ends, starts, begun, strict=True)
        ]
        received = self._exchange(starts, ends, memories)
        new, memory = self._download(received, ends[0], memories[0], fresh)
        deployed = exactly(
            self.place("deployed"),
            self._call("deployed", {**ends[0], **new}, memory),
            fresh,
            "leaf",
            "return every leaf, those of `params` where nothing else is wanted: `{**params, ...}`",
        )
        self._predict(deployed)

    def _gradients(self, params: Leaves, start: Leaves, memory: Leaves) -> Leaves:
        """The gradient of every pass's loss, by the leaves that it trains."""
        for number in range(3):
            if not self.method.phases(number):
                raise ContractError(
                    f"{self.place('phases')} returned no pass for round {number}; expected at least one: `[Phase()]`"
                )
        gradients: dict[str, Tensor] = {}
        for hook, phases in (("phases", self.method.phases(ROUND)), ("closing", self.method.closing())):
            for phase in phases:
                gradients |= self._gradient(phase, hook, params, start, memory)
        return gradients

    def _gradient(self, phase: Phase, hook: str, params: Leaves, start: Leaves, memory: Leaves) -> Leaves:
        trained = {name: params[name].clone().requires_grad_() for name in self.engine.model.trained(phase.trains)}
        if not trained:
            parts = dict.fromkeys(leaf.part for leaf in self.engine.model.leaves.values())
            raise ContractError(
                f"{self.place(hook)} returned a pass that trains no leaf; expected `trains` to hold for some: there "
                f"are leaves of the parts {', '.join(parts)}"
            )
        if phase.mix is not None:
            self._weights(phase.mix, f"{self.place(hook)}, a Phase's `mix`")
        client = self.engine.participants[0]
        samples, model = client.training, self.engine.model
        images, targets = to_float(samples.images[:IMAGES], self.engine.dtype), samples.targets[:IMAGES]
        batch = Images(model, images, targets, phase.mix, model.task.priors(samples.targets))
        loss = self._call("loss", batch, {**params, **trained}, start, memory)
        if not isinstance(loss, Tensor) or loss.shape:
            raise ContractError(
                f"{self.place('loss')} returned {said(loss)}; expected a scalar: reduce it, by `.mean()` or `.sum()`"
            )
        if not torch.isfinite(loss):
            raise ContractError(
                f"{self.place('loss')} returned {loss.item()} (client {client.name}); expected a finite number: look "
                "for a division by zero, a root or a logarithm of zero"
            )
        leaves = list(trained.values())
        gradients = torch.autograd.grad(loss, leaves, allow_unused=True) if loss.requires_grad else [None] * len(leaves)
        for name, gradient in zip(trained, gradients, strict=True):
            if gradient is None and self.engine.model.leaves[name].reached:
                self.found.unused.append(
                    f"{self.place(hook, 'loss')}: a pass trains leaf {name!r}, and the loss does not depend on it; "
                    "give its part a weight in `mix`, or train it in no pass: `Phase(trains=part(...))`"
                )
        return {
            name: torch.zeros_like(params[name]) if gradient is None else gradient
            for name, gradient in zip(trained, gradients, strict=True)
        }

    def _exchange(self, starts: Sequence[Leaves], ends: Sequence[Leaves], memories: Sequence[Leaves]) -> Leaves:
        """What the server makes of what all clients send."""
        travelling = Exchange(self.engine.model, self.engine.head, ROUND).leaves
        messages = []
        for end, memory in zip(ends, memories, strict=True):
            more = tensors(self.place("upload"), self._call("upload", end, memory))
            if taken := sorted(set(more) & set(self.engine.model.leaves)):
                raise ContractError(
                    f"{self.place('upload')} returned {taken[0]!r}, the name of a leaf; expected names that no leaf "
                    "has: choose another, or let `shared` say that the leaf travels"
                )
            messages.append({**{name: end[name] for name in travelling}, **more})
        if not messages[0]:
            return {}
        sent, begun = _stacked(messages), _stacked([{name: start[name] for name in travelling} for start in starts])
        received = tensors(self.place("server"), self._call("server", sent, begun, self.engine.weights))
        if self._inherits("download"):
            like = {name: starts[0][name] for name in travelling}
            remedy = "what every client receives, without the clients' dimension 0: `mean_over_clients(sent, weights)`"
            if uploaded := [name for name in received if name in sent and name not in like]:
                remedy = f"define `download`, which takes {uploaded[0]!r} over"
            exactly(self.place("server"), received, like, "leaf", remedy)
        told = tensors(self.place("measure"), self._call("measure", sent, begun, self.engine.weights, received))
        for name, value in told.items():
            if value.shape:
                raise ContractError(
                    f"{self.place('measure')} returned {said(value)} for {name!r}; expected a scalar: reduce it, by "
                    "`.mean()` or `.norm()`"
                )
        return received

    def _download(self, received: Leaves, params: Leaves, memory: Leaves, fresh: Leaves) -> tuple[Leaves, Leaves]:
        returned = self._call("download", received, params, memory, fresh)
        if not isinstance(returned, tuple) or len(returned) != 2:
            raise ContractError(
                f"{self.place('download')} returned {said(returned)}; expected two dicts: the leaves that change, and "
                "the whole memory"
            )
        new = tensors(self.place("download"), returned[0])
        like = {name: params[name] for name in new if name in params}
        new = exactly(self.place("download"), new, like, "leaf", "return leaves of the client alone, in their shapes")
        if not self._inherits("download"):
            self.found.downloaded.update(new)
        return new, self._memory("download", returned[1], memory)

    def _memory(self, hook: str, returned: Any, before: Leaves) -> Leaves:
        remedy = "return the whole memory, with the names, shapes and dtypes of memory(): `{**memory, ...}`"
        return exactly(self.place(hook), returned, before, "memory", remedy)

    def _predict(self, deployed: Leaves) -> None:
        client, dtype = self.engine.clients[0], self.engine.dtype
        own = client.support(SUPPORT, dtype)
        drawn = client.drawn(IMAGES, DRAWN, len(own))
        unseen = Images(self.engine.model, to_float(client.validation.images[:IMAGES], dtype), None, chosen=drawn)
        support = Images(self.engine.model, own, None)
        predicted = self._call("predict", unseen, support, deployed)
        expected = tuple(unseen(deployed).prediction.shape)
        if not isinstance(predicted, Tensor) or predicted.shape != expected:
            raise ContractError(
                f"{self.place('predict')} returned {said(predicted)}; expected shape {expected}, a prediction of each "
                "image: `batch(params).prediction`"
            )

    def _weights(self, mix: Any, place: str) -> None:
        known = [*self.method.adapters, *self.method.heads]
        if not isinstance(mix, Mapping) or not set(mix) <= set(known):
            raise ContractError(
                f"{place} returned {mix!r}; expected weights by name, of {', '.join(known)}: declare what else there "
                "should be in `adapters` or `heads`"
            )

    def _call(self, hook: str, *given: Any) -> Any:
        """What a hook returns; notes which of its arguments it changed."""
        arguments = list(inspect.signature(getattr(Method, hook)).parameters)[1:]
        taken = inspect.signature(getattr(self.method, hook))
        try:
            taken.bind(*given)
        except TypeError:
            raise ContractError(
                f"{self.place(hook)} takes {taken}; expected the arguments ({', '.join(arguments)})"
            ) from None
        kept = [_copied(argument) for argument in given]
        returned = getattr(self.method, hook)(*given)
        for argument, now, before in zip(arguments, given, kept, strict=True):
            now = _named(now)
            for name in dict.fromkeys([*before, *now]):
                if name not in now or name not in before or not torch.equal(now[name], before[name]):
                    self.found.changed.append(
                        f"{self.place(hook)} changed {name!r} of its argument `{argument}`; expected the arguments to "
                        "stay: make a new tensor (`x = x + 1`, not `x += 1` or `x.add_(1)`), a new dict (`{**x, ...}`)"
                    )
        return returned

    def _inherits(self, hook: str) -> bool:
        return getattr(type(self.method), hook) is getattr(Method, hook)

    def _fresh(self) -> dict[str, Tensor]:
        return {name: leaf[0, 0] for name, leaf in self.engine.fresh([Lane("1", 0)], round=0).items()}


def _moved(fresh: Leaves, *key: str) -> dict[str, Tensor]:
    """Leaves at some distance from their start, in a direction of the key's own."""
    source = generator("by hand", *key)
    return {n: leaf + 0.1 * torch.randn(leaf.shape, generator=source, dtype=leaf.dtype) for n, leaf in fresh.items()}


def _stacked(clients: Sequence[Leaves]) -> dict[str, Tensor]:
    return {name: torch.stack([own[name] for own in clients]) for name in clients[0]}


def _named(argument: Any) -> dict[str, Tensor]:
    """The tensors of an argument; images cannot be changed through a `Batch`."""
    if isinstance(argument, Tensor):
        return {"weights": argument}
    return dict(argument) if isinstance(argument, Mapping) else {}


def _copied(argument: Any) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in _named(argument).items()}
