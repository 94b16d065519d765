"""Serving a hospital outside the federation: experts are mixed, and the mixture adapts to images without targets.

Nothing here is ever given a target: adaptations are defined by images alone.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from benchmark.adaptation import COMMON, Adaptation
from benchmark.data.augmentation import to_float
from benchmark.federation import job
from benchmark.federation.engine import CHUNK, Engine, State
from benchmark.federation.model import Model
from benchmark.federation.rows import Rows
from benchmark.leaf import Leaves
from benchmark.method import Batch, Mix, Output

OUTSIDE = "outside"
"""The part of the leaves that an adaptation trains."""


class DivergedError(ValueError):
    """A step of adapting whose loss is no number."""


@dataclass(frozen=True)
class Bank:
    """Every client's deployed leaves, and those of the model that all clients made.

    Attributes:
        experts: Leaves by the expert's name: the clients in their order, then `COMMON`.
    """

    experts: Mapping[str, Leaves]

    @classmethod
    def read(cls, run: Path, model: Model, clients: Sequence[str] | None, device: torch.device) -> "Bank":
        """The bank that a run wrote.

        Args:
            run: The folder of the run, with `state.safetensors` and `common.safetensors`.
            model: What the leaves are of.
            clients: The federation's clients; those of the file where None.
            device: Where the leaves go.

        Returns:
            The bank.

        Raises:
            ValueError: An expert is missing, is called `COMMON`, or is of another network.
            OSError: A file is absent.
        """
        states, path = job.read_states(run / job.STATE, device), run / job.STATE
        if missing := sorted(set(clients or states) - set(states)):
            raise ValueError(f"{path}: no expert of {', '.join(missing)}; it has {', '.join(states)}: train again")
        common = {name: leaf.to(device) for name, leaf in load_file(run / job.COMMON).items()}
        if absent := sorted(set(model.leaves) - set(common)):
            raise ValueError(f"{run / job.COMMON}: of another network or method, without {absent[0]}; train again")
        experts = cls._named({name: states[name] for name in sorted(clients or states)}, common).experts
        for expert, leaves in experts.items():
            for name, leaf in leaves.items():
                expected = model.leaves[name].shape if name in model.leaves else None
                if leaf.shape != expected:
                    raise ValueError(
                        f"{run}: the expert {expert} is of another network or method, whose {name} is "
                        f"{tuple(leaf.shape)}; expected {expected or 'no such leaf'}: train again"
                    )
        return cls(experts)

    @classmethod
    def of(cls, engine: Engine, state: State, lane: int = 0) -> "Bank":
        """The bank of one lane after its last round; a ValueError names a client that is called `COMMON`."""
        deployed = [{name: leaf[lane] for name, leaf in own.items()} for own in engine.deployed(state)]
        names = [client.name for client in engine.clients]
        return cls._named(dict(zip(names, deployed, strict=True)), engine.common(state, lane))

    @classmethod
    def _named(cls, clients: Mapping[str, Leaves], common: Leaves) -> "Bank":
        if COMMON in clients:
            raise ValueError(f"a client is called {COMMON!r}, as the expert of all clients is: give it another name")
        return cls({**clients, COMMON: common})


@dataclass(frozen=True)
class Mixture:
    """Experts side by side, and how they are weighted.

    Attributes:
        model: Network and method.
        params: The leaves of all experts that take part, each expert's adapters and heads under names of their own; and
            of the part `OUTSIDE`, what an adaptation trains.
        heads: The weight of each head's prediction.
        adapters: The weight of each adapter.
        batch_statistics: Whether batch normalisation uses the statistics of the images at hand.
    """

    model: Model
    params: Leaves
    heads: Mix
    adapters: Mix
    batch_statistics: bool = False

    @classmethod
    def of(cls, model: Model, bank: Bank, weights: Mapping[str, float], batch_statistics: bool = False) -> "Mixture":
        """The experts of a bank with these weights: W0 + sum_e w_e (W_e - W0), be W_e - W0 dense or a product B A."""
        params: dict[str, Tensor] = {}
        heads: dict[str, float | Tensor] = {}
        adapters: dict[str, float | Tensor] = {}
        for number, (expert, weight) in enumerate(weights.items()):
            own, prefix = bank.experts[expert], f"expert{number}."
            own_heads, own_adapters = model.parted(model.method.mix(own))
            heads |= {f"{prefix}{name}": weight * share for name, share in own_heads.items()}
            adapters |= {f"{prefix}{name}": weight * share for name, share in own_adapters.items()}
            for name, leaf in own.items():
                if model.leaves[name].role == "offset":  # The network adds it as it is.
                    params[name] = weight * leaf + params.get(name, torch.zeros_like(leaf))
                else:
                    params[f"{prefix}{name}"] = leaf
        return cls(model, params, heads, adapters, batch_statistics)

    def images(self, images: Tensor) -> "Unlabelled":
        """A batch of images (n, size, size, 3), uint8."""
        some = next(iter(self.params.values()))
        return Unlabelled(self, to_float(images.to(some.device), some.dtype))

    def adapted(self, adaptation: Adaptation, images: Rows, seed: int) -> "Mixture":
        """The mixture after an adaptation's passes over a hospital's images, whose order is drawn from the seed.

        It is `DivergedError` where the loss of a step is no number.
        """
        if not adaptation.passes:
            return self
        there, added = self.widened(adaptation)
        optimiser = torch.optim.Adam(list(added.values()), lr=adaptation.rate)
        order = torch.Generator().manual_seed(seed)
        for _ in range(adaptation.passes):
            for which in torch.randperm(len(images), generator=order).split(adaptation.batch_size):
                loss = adaptation.loss(there.images(images[which.to(images.own.device)]), there.params)
                if not torch.isfinite(loss):
                    raise DivergedError(f"{adaptation.title}: a step's loss is {loss.item()}; take a smaller `rate`")
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
        return replace(there, params={**self.params, **{name: leaf.detach() for name, leaf in added.items()}})

    def restored(self, adaptation: Adaptation, learned: Leaves) -> "Mixture":
        """The mixture as an adaptation left it, of what it has learned: the leaves that `adapted` has added.

        A ValueError says that these were learned by another network or adaptation.
        """
        if not learned:
            return self
        there, added = self.widened(adaptation)
        if {name: leaf.shape for name, leaf in added.items()} != {name: leaf.shape for name, leaf in learned.items()}:
            raise ValueError(f"{adaptation.title}: what was learned is of another network or adaptation; adapt again")
        return replace(there, params={**self.params, **{name: leaf.to(added[name]) for name, leaf in learned.items()}})

    def widened(self, adaptation: Adaptation) -> tuple["Mixture", dict[str, Tensor]]:
        """The mixture with what an adaptation trains; and those leaves alone, by name, which have gradients.

        They begin at their pretrained values, W = W_mixture + (W_outside - W0): the first step begins where the mixture
        stands. A ValueError says that the network has nothing of a role, or that there is no role.
        """
        if not adaptation.adds:
            raise ValueError(f"{adaptation.title}: it has passes, but adds nothing to train; name roles in `adds`")
        network, like = self.model.network, next(iter(self.params.values()))
        added = {
            leaf.name: network.pretrained(leaf).to(like, copy=True).requires_grad_()
            for leaf in network.leaves((OUTSIDE,), (), adaptation.adds)
            if leaf.trainable  # Running statistics are the experts'.
        }
        there = replace(self, params={**self.params, **added}, adapters={**self.adapters, OUTSIDE: 1.0})
        return there, added

    def predictions(self, images: Rows, chunk: int = CHUNK) -> Iterator[tuple[slice, Tensor]]:
        """Chunk by chunk, which of the images, and what is predicted for them, (k, outputs, ...)."""
        for first in range(0, len(images), chunk):
            which = slice(first, min(first + chunk, len(images)))
            with torch.no_grad():
                yield which, self.images(images[which])(self.params).prediction


@dataclass(frozen=True)
class Unlabelled(Batch):
    """Images of a hospital outside, shape (n, 3, size, size), values in [0, 1]."""

    mixture: Mixture
    pixels: Tensor

    @property
    def drawn(self) -> Tensor:
        """There are no support images: no client's training images are here.

        Raises:
            ValueError: Always.
        """
        raise ValueError("a hospital outside has no support images: none of its images were trained on")

    def __call__(self, params: Leaves, mix: Mix | None = None, *, trace: bool = False) -> Output:
        """Run the mixture with these leaves; `mix` replaces the weights of its adapters."""
        there = self.mixture
        adapters = there.adapters if mix is None else mix
        return there.model.network(
            self.pixels, params, there.heads, adapters, trace=trace, training=there.batch_statistics
        )

    def task_loss(self, output: Output) -> Tensor:
        """There are no targets.

        Raises:
            ValueError: Always.
        """
        raise ValueError("a hospital outside has no targets here: minimise something that images alone say")

    def factors(self, params: Leaves, adapter: str, factor: str) -> Sequence[Tensor]:
        """One factor of every pair of an expert's adapter."""
        return [leaf for name, leaf in params.items() if name.startswith(f"{adapter}/") and name.endswith(f".{factor}")]


def mixed(adaptation: Adaptation, model: Model, bank: Bank) -> dict[str, Mixture]:
    """The mixtures that an adaptation begins with, by their names.

    A ValueError says that one names no expert of the bank, or that its weights do not sum to one.
    """
    found: dict[str, Mixture] = {}
    for name, weights in adaptation.mixtures(list(bank.experts)).items():
        place = f"{adaptation.title}: the mixture {name!r}"
        if unknown := sorted(set(weights) - set(bank.experts)):
            raise ValueError(f"{place} names {', '.join(unknown)}; experts are {', '.join(bank.experts)}")
        if abs(sum(weights.values()) - 1) > 1e-9:
            raise ValueError(f"{place} has weights that sum to {sum(weights.values()):.6g}; they must sum to one")
        found[name] = Mixture.of(model, bank, weights, adaptation.batch_statistics)
    return found


def at_once(adaptation: Adaptation) -> int:
    """Images that are predicted together: a prediction depends on them where the batch's statistics count."""
    return adaptation.batch_size if adaptation.batch_statistics else CHUNK


def served(
    adaptation: Adaptation, model: Model, bank: Bank, images: Rows, seed: int
) -> Iterator[tuple[str, Iterator[tuple[slice, Tensor]]]]:
    """The models that an adaptation serves a hospital with, by their names, and what each predicts, chunk by chunk.

    Args:
        adaptation: Says which experts are mixed, and what is learned from images.
        model: Network and method of the federation.
        bank: Its experts.
        images: All images that the hospital has, n of them.
        seed: Of the order of images in adapting.

    Yields:
        A name, and the predictions, as `Mixture.predictions` has them.

    Raises:
        ValueError: As `mixed`.
    """
    for name, mixture in mixed(adaptation, model, bank).items():
        yield name, mixture.adapted(adaptation, images, seed).predictions(images, at_once(adaptation))
