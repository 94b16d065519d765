"""Serving a hospital outside the federation: experts are mixed, and the mixture adapts to images without targets.

Nothing here is ever given a target: adaptations are defined by images alone.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from benchmark.adaptation import COMMON, Adaptation
from benchmark.data.augmentation import draws, moved, to_float
from benchmark.draws import generator, initial, normal
from benchmark.federation import job
from benchmark.federation.engine import CHUNK, Engine, State
from benchmark.federation.model import Model
from benchmark.federation.packed_images import PackedImages
from benchmark.leaf import Leaf, Leaves, belonging
from benchmark.method import Batch, Mix, Output
from benchmark.models.routed import Route, Weights
from benchmark.settings import AugmentationSettings

OUTSIDE = "outside"
"""The part of the network's leaves that an adaptation trains."""
GATES = "gates"
"""What the names of gates' leaves begin with, before their place: `gates/blocks.0.attn.q/last.weight`."""


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
        experts: Each expert's own mix of its heads and adapters.
        weigh: The experts' weights in a place with a gate, (n, E); see `Adaptation.weigh`.
    """

    model: Model
    params: Leaves
    heads: Mix
    adapters: Mix
    batch_statistics: bool = False
    experts: Sequence[Mix] = ()
    weigh: Callable[[Leaves, Tensor], Tensor] | None = None

    @classmethod
    def of(cls, model: Model, bank: Bank, weights: Mapping[str, float], batch_statistics: bool = False) -> "Mixture":
        """The experts of a bank with these weights: W0 + sum_e w_e (W_e - W0), be W_e - W0 dense or a product B A."""
        params: dict[str, Tensor] = {}
        heads: dict[str, float | Tensor] = {}
        adapters: dict[str, float | Tensor] = {}
        experts: list[Mix] = []
        for number, (expert, weight) in enumerate(weights.items()):
            own, prefix = bank.experts[expert], f"expert{number}."
            parts = model.parted(model.method.mix(own))
            own_heads, own_adapters = ({f"{prefix}{name}": share for name, share in part.items()} for part in parts)
            experts.append({**own_heads, **own_adapters})
            heads |= {name: weight * share for name, share in own_heads.items()}
            adapters |= {name: weight * share for name, share in own_adapters.items()}
            for name, leaf in own.items():
                if model.leaves[name].role == "offset":  # The network adds it as it is.
                    params[name] = weight * leaf + params.get(name, torch.zeros_like(leaf))
                else:
                    params[f"{prefix}{name}"] = leaf
        return cls(model, params, heads, adapters, batch_statistics, experts)

    def images(self, images: Tensor, *key: int | str) -> "Unlabelled":
        """A batch of images (n, size, size, 3), uint8, whose views are drawn by a key."""
        some = next(iter(self.params.values()))
        return Unlabelled(self, to_float(images.to(some.device), some.dtype), [generator("view", *key)])

    def adapted(
        self, adaptation: Adaptation, images: PackedImages, seed: int, cases: Tensor | None = None
    ) -> "Mixture":
        """The mixture after an adaptation's passes over a hospital's images; see `side_by_side`.

        It is a `DivergedError` where the loss of a step is no number.
        """
        (found,) = side_by_side(adaptation, {seed: self}, images, cases).values()
        if isinstance(found, DivergedError):
            raise found
        return found

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

    def widened(self, adaptation: Adaptation, seed: int = 0) -> tuple["Mixture", dict[str, Tensor]]:
        """The mixture with what an adaptation trains; and those leaves alone, by name, which have gradients.

        Weights of the network begin at their pretrained values, W = W_mixture + (W_outside - W0): the first step begins
        where the mixture stands. Gates are drawn from the seed where they do not begin at zero. A ValueError says that
        the network has nothing of a role or nowhere to route, or that there is nothing to train.
        """
        network, like = self.model.network, next(iter(self.params.values()))
        gates: dict[str, Tensor] = {}
        if adaptation.gates(1, len(self.experts)):
            places = network.places(self.params, self.adapters)
            if not places:
                raise ValueError(
                    f"{adaptation.title}: it has gates, but the network {network.name} has no place for one"
                )
            for place, inputs in places.items():
                for name, (shape, begins) in adaptation.gates(inputs, len(self.experts)).items():
                    leaf = Leaf(f"{GATES}/{place}/{name}", GATES, "gate", shape, begins)
                    gates[leaf.name] = initial(leaf, seed, like.dtype).to(like.device)
        elif not adaptation.adds:
            raise ValueError(f"{adaptation.title}: it has passes, but adds nothing to train; name roles in `adds`")
        added = {
            leaf.name: network.pretrained(leaf).to(like, copy=True)
            for leaf in network.leaves((OUTSIDE,), (), adaptation.adds)
            if leaf.trainable  # Running statistics are the experts'.
        }
        added = {name: leaf.requires_grad_() for name, leaf in {**added, **gates}.items()}
        there = replace(self, params={**self.params, **added}, adapters={**self.adapters, OUTSIDE: 1.0})
        return replace(there, weigh=adaptation.weigh if gates else None), added

    def route(self, params: Leaves, count: int) -> Route | None:
        """What the gates among these leaves say, for so many images; None where there are none."""
        if self.weigh is None:
            return None
        weigh, gates = self.weigh, belonging(params, GATES)

        def route(place: str, read: Tensor) -> Weights:
            while read.dim() > 2:
                read = read.mean(1)
            pooled = read.unflatten(0, (count, -1)).mean(1)  # An image may be read in several windows.
            gate = belonging(gates, place)
            weights = weigh(gate, pooled.to(next(iter(gate.values())).dtype))
            if weights.shape != (count, len(self.experts)):
                raise ValueError(
                    f"weigh() returned {tuple(weights.shape)} at {place}; expected {(count, len(self.experts))}: a "
                    "weight for each image and each expert"
                )
            mix = {
                name: weights[:, number] * share
                for number, own in enumerate(self.experts)
                for name, share in own.items()
            }
            return Weights(mix, weights.sum(1))

        return route

    def predictions(
        self, images: PackedImages, chunk: int = CHUNK, cases: Tensor | None = None
    ) -> Iterator[tuple[slice, Tensor]]:
        """Chunk by chunk, which of the images, and what is predicted for them, (k, outputs, ...)."""
        for which in batches(images, chunk, cases):
            with torch.no_grad():
                yield which, self.images(images[which])(self.params).prediction


def batches(images: PackedImages, size: int, cases: Tensor | None = None) -> list[slice]:
    """Images that are read together, in their order: so many at most, and of one case where cases are told.

    `cases` are those of the whole pack, (N,). A ValueError says that images of one case do not stand side by side.
    """
    bounds = [0, len(images)]
    if cases is not None:
        own = cases[images.own.to(cases.device)]
        kinds, counts = own.unique_consecutive(return_counts=True)
        if len(kinds.unique()) < len(kinds):
            raise ValueError("images of one case must stand side by side, to be normalised together")
        bounds = [0, *counts.cumsum(0).tolist()]
    return [slice(at, min(at + size, end)) for first, end in pairwise(bounds) for at in range(first, end, size)]


class Learner:
    """A mixture that adapts.

    Attributes:
        mixture: The mixture as it began.
        seed: Of gates, views and the order of images.
        place: Its place among those that adapt side by side.
        there: The mixture with what is trained.
        added: What is trained, by name.
        fault: Why it has ended early, if it has.

    Args:
        adaptation: What it follows.
        mixture: Where it begins.
        seed: See above.
        place: See above.
    """

    def __init__(self, adaptation: Adaptation, mixture: Mixture, seed: int, place: int) -> None:
        self.mixture, self.seed, self.place = mixture, seed, place
        self.there, self.added = mixture.widened(adaptation, seed)
        self.fault: DivergedError | None = None
        self._optimiser = torch.optim.Adam(list(self.added.values()), lr=adaptation.rate)
        self._order = torch.Generator().manual_seed(seed)

    def steps(self, images: PackedImages, size: int, cases: Tensor | None) -> Sequence[Tensor]:
        """Of every step of the next pass, which images it sees."""
        if cases is None:
            return torch.randperm(len(images), generator=self._order).split(size)
        alike = batches(images, size, cases)
        return [torch.arange(len(images))[alike[k]] for k in torch.randperm(len(alike), generator=self._order)]

    def step(self) -> None:
        """Follow the gradients."""
        self._optimiser.step()
        self._optimiser.zero_grad()

    @property
    def found(self) -> Mixture | DivergedError:
        """The mixture as it now is, without gradients; or why there is none."""
        learned = {name: leaf.detach() for name, leaf in self.added.items()}
        return self.fault or replace(self.there, params={**self.mixture.params, **learned})


def side_by_side(
    adaptation: Adaptation, mixtures: Mapping[int, Mixture], images: PackedImages, cases: Tensor | None = None
) -> dict[int, Mixture | DivergedError]:
    """Mixtures after an adaptation's passes over a hospital's images, in steps that all of them take together.

    Each learns what it would learn alone, to rounding: a step is the same operations, once for all of them. Where cases
    are told, the last batch of one may be smaller than others; in a step, mixtures go together whose batches are of
    one size.

    The order of images, or that of batches where cases are told, is drawn from the seed over their places in `images`:
    in another order of these, other images meet in a step, and other leaves are learned. A pack sorts images by client
    and sample, so that no order of files or of an index decides anything; names do.

    Args:
        adaptation: Says what is learned, and from what.
        mixtures: Where it begins, by seed: the same experts by name, of which each seed has trained its own.
        images: The hospital's.
        cases: See `served`.

    Returns:
        By seed, the mixture; a `DivergedError` where the loss of a step came out as no number, which ends that one.
    """
    if not adaptation.passes and not adaptation.gates(1, len(next(iter(mixtures.values())).experts)):
        return dict(mixtures)
    learners = [Learner(adaptation, mixture, seed, place) for place, (seed, mixture) in enumerate(mixtures.items())]
    constant = _stacked([own.mixture.params for own in learners]) if len(learners) > 1 else {}
    for number in range(adaptation.passes):
        orders = [own.steps(images, adaptation.batch_size, cases) for own in learners]
        for step, chosen in enumerate(zip(*orders, strict=True)):
            groups: dict[int, list[tuple[Learner, Unlabelled]]] = {}
            for own, which in zip(learners, chosen, strict=True):
                if own.fault is None:
                    batch = own.there.images(images[which.to(images.own.device)], own.seed, number, step)
                    groups.setdefault(len(which), []).append((own, batch))
            for group in groups.values():
                _step(adaptation, constant, *zip(*group, strict=True))
    return {own.seed: own.found for own in learners}


def _step(adaptation: Adaptation, constant: Leaves, learners: Sequence[Learner], given: Sequence["Unlabelled"]) -> None:
    """One step of these learners, each with the batch that it is given; all batches are of one size.

    `constant` is what no step changes, of all learners side by side, where there are several.
    """
    losses = _losses(adaptation, constant, learners, given)
    for own, loss in zip(learners, losses.detach().tolist(), strict=True):
        if not math.isfinite(loss):
            own.fault = DivergedError(f"{adaptation.title}: a step's loss is {loss}; take a smaller `rate`")
    if going := [k for k, own in enumerate(learners) if own.fault is None]:
        losses[going].sum().backward()
    for k in going:
        learners[k].step()


def _losses(
    adaptation: Adaptation, constant: Leaves, learners: Sequence[Learner], given: Sequence["Unlabelled"]
) -> Tensor:
    """What each learner has as the loss of its batch, (L,)."""
    if len(given) == 1:
        return adaptation.loss(given[0], given[0].mixture.params)[None]
    mixtures, sources = [own.there for own in learners], [source for own in given for source in own.sources]
    first, places = mixtures[0], [own.place for own in learners]

    def loss(
        params: Leaves, heads: Mix, adapters: Mix, experts: Sequence[Mix], pixels: Tensor, place: Tensor
    ) -> Tensor:
        mixes = [{**own, **change} for own, change in zip(first.experts, experts, strict=True)]
        own = replace(
            first, params=params, heads={**first.heads, **heads}, adapters={**first.adapters, **adapters}, experts=mixes
        )
        return adaptation.loss(Unlabelled(own, pixels, sources, place), params)

    pixels = torch.stack([own.pixels for own in given])
    same = {name: own if len(places) == len(own) else own[places] for name, own in constant.items()}
    every = torch.vmap(loss, randomness="same")  # Each draws from a source of its own.
    return every(
        {**same, **_stacked([own.added for own in learners])},
        _differing([own.heads for own in mixtures], pixels),
        _differing([own.adapters for own in mixtures], pixels),
        [_differing(mixes, pixels) for mixes in zip(*(own.experts for own in mixtures), strict=True)],
        pixels,
        torch.arange(len(given), device=pixels.device),
    )


def _stacked(params: Sequence[Leaves]) -> dict[str, Tensor]:
    """Leaves of the same names side by side, each (L, ...)."""
    return {name: torch.stack([own[name] for own in params]) for name in params[0]}


def _differing(mixes: Sequence[Mix], like: Tensor) -> dict[str, Tensor]:
    """The weights that are not one number for all, each (L,)."""
    return {
        name: torch.stack([torch.as_tensor(own[name]).to(like) for own in mixes])
        for name, first in mixes[0].items()
        if isinstance(first, Tensor) or any(own[name] != first for own in mixes)
    }


@dataclass(frozen=True)
class Unlabelled(Batch):
    """Images of a hospital outside.

    Attributes:
        mixture: What runs.
        pixels: Shape (n, 3, size, size), values in [0, 1].
        sources: What views are drawn from: one, or with `place` one for each of the mixtures that step side by side.
        place: Which of those it is, under `torch.vmap`.
    """

    mixture: Mixture
    pixels: Tensor
    sources: Sequence[torch.Generator] = field(default_factory=lambda: [torch.Generator()])
    place: Tensor | None = None

    @property
    def drawn(self) -> Tensor:
        """There are no support images: no client's training images are here.

        Raises:
            ValueError: Always.
        """
        raise ValueError("a hospital outside has no support images: none of its images were trained on")

    def __call__(self, params: Leaves, mix: Mix | None = None, *, trace: bool = False) -> Output:
        """Run the mixture with these leaves; `mix` replaces the weights of its adapters, and its gates."""
        there = self.mixture
        adapters, route = (there.adapters, there.route(params, len(self.pixels))) if mix is None else (mix, None)
        return there.model.network(
            self.pixels, params, there.heads, adapters, trace=trace, training=there.batch_statistics, route=route
        )

    def view(self, noise: float) -> tuple["Unlabelled", Callable[[Tensor], Tensor]]:
        """See `benchmark.adaptation.Batch`; pixels of a noisy image may leave [0, 1].

        Where the task predicts pixels, predictions are mirrored and turned back; those of whole images stay.
        """
        (n, _, height, width), predicts = self.pixels.shape, self.mixture.model.task.predicts
        spread = noise * self.pixels.std((1, 2, 3), keepdim=True)
        noisy = self.pixels + spread * self._drawn(lambda source: normal(self.pixels.shape, source)).to(self.pixels)
        places = torch.arange(height * width).reshape(1, height, width, 1).expand(n, -1, -1, -1)
        turned = self._drawn(lambda source: moved(places, AugmentationSettings(), draws(n, source)).reshape(n, -1))

        def back(prediction: Tensor) -> Tensor:
            return _picked(prediction, turned.argsort(1)) if predicts == "pixels" else prediction

        return replace(self, pixels=_picked(noisy, turned)), back

    def _drawn(self, draw: Callable[[torch.Generator], Tensor]) -> Tensor:
        """What is drawn for this batch, on its device."""
        drawn = [draw(source).to(self.pixels.device) for source in self.sources]
        return drawn[0] if self.place is None else torch.stack(drawn)[self.place]

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


def at_once(adaptation: Adaptation, mixture: Mixture) -> int:
    """Images that are predicted together: a prediction depends on them where the batch's statistics count.

    Where gates weigh, layers have weights for every image, which take memory.
    """
    return adaptation.batch_size if adaptation.batch_statistics or mixture.weigh else CHUNK


def _picked(maps: Tensor, places: Tensor) -> Tensor:
    """Maps (n, channels, H, W) whose pixels come from other places (n, H W) of the same image."""
    flat = maps.flatten(2)
    return flat.gather(2, places[:, None].expand(-1, flat.shape[1], -1)).reshape(maps.shape)


def served(
    adaptation: Adaptation,
    model: Model,
    bank: Bank,
    images: PackedImages,
    seed: int,
    *,
    learned: PackedImages | None = None,
    cases: Tensor | None = None,
) -> Iterator[tuple[str, Iterator[tuple[slice, Tensor]]]]:
    """The models that an adaptation serves a hospital with, by their names, and what each predicts, chunk by chunk.

    Args:
        adaptation: Says which experts are mixed, and what is learned from images.
        model: Network and method of the federation.
        bank: Its experts.
        images: Those that are predicted, n of them.
        seed: Of gates, of views, and of the order of images in adapting.
        learned: The images of the hospital that it adapts on; those that are predicted where None are told.
        cases: Of every image of the pack, what case it is of, (N,): no batch then holds images of two. Images of a case
            stand side by side.

    Yields:
        A name, and the predictions, as `Mixture.predictions` has them.

    Raises:
        ValueError: As `mixed`.
    """
    for name, mixture in mixed(adaptation, model, bank).items():
        there = mixture.adapted(adaptation, images if learned is None else learned, seed, cases)
        yield name, there.predictions(images, at_once(adaptation, there), cases)
