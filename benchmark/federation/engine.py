"""The engine: rounds of local training and averaging, all lanes of a sweep together.

What happens in a round is said once, in `Engine.round`; what differs between methods is said in their files.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, fields, replace
from functools import cached_property, partial
from itertools import accumulate
from typing import Literal, NamedTuple, TypeVar

import torch
from torch import Tensor

from benchmark.data.augmentation import to_float
from benchmark.draws import initial
from benchmark.federation import optimisers
from benchmark.federation.client import ClientData, Lane, LocalTraining, Pass, Samples, Trained
from benchmark.federation.encoded import encoded
from benchmark.federation.exchange import Exchange
from benchmark.federation.model import Model, predict
from benchmark.federation.packed_images import PackedImages
from benchmark.federation.recorded import Recorder
from benchmark.federation.step import Held
from benchmark.leaf import Leaf, Leaves
from benchmark.method import Phase
from benchmark.models.network import LEAVES
from benchmark.settings import AugmentationSettings, TrainingSettings

Found = TypeVar("Found")
SUPPORT = 32
"""Training images that a method may look at while predicting."""
DRAWN = 5
"""How many of them are drawn for each image: as many as FedDPA's code draws (arXiv 2403.19211)."""
CHUNK = 64
"""Images that are predicted at once."""


@dataclass(frozen=True)
class State:
    """Where the lanes stand after some rounds.

    Attributes:
        round: Finished rounds.
        params: Every client's leaves, each of shape (K, L, ...).
        memory: What every client remembers, each of shape (K, L, ...).
        optimiser: What every client's optimiser remembers, likewise, by `kind:leaf`; empty where it begins anew.
    """

    round: int
    params: Leaves
    memory: Leaves
    optimiser: Leaves = field(default_factory=dict)

    @property
    def kinds(self) -> dict[str, Leaves]:
        """All that the state holds, by kind."""
        return {kind.name: getattr(self, kind.name) for kind in fields(self) if kind.name != "round"}

    def map(self, change: Callable[[Tensor], Tensor]) -> "State":
        """The state with every tensor changed."""
        return State(self.round, *({name: change(own) for name, own in held.items()} for held in self.kinds.values()))

    def lane(self, index: int) -> "State":
        """One lane alone, leaves of shape (K, 1, ...)."""
        return self.lanes(slice(index, index + 1))

    def lanes(self, which: slice) -> "State":
        """Some of the lanes."""
        return self.map(lambda tensor: tensor[:, which])


def stack(states: Sequence[State]) -> State:
    """Lanes that stand at the same round, side by side."""
    first = states[0]
    together = {
        kind: {name: torch.cat([state.kinds[kind][name] for state in states], dim=1) for name in held}
        for kind, held in first.kinds.items()
    }
    return State(first.round, **together)


class Measured(NamedTuple):
    """What a round tells of itself.

    Attributes:
        objectives: Every participant's mean objective, shape (K, L).
        exchange: What the method measures of the server's work, by name, each (L,).
    """

    objectives: Tensor
    exchange: Leaves


class Validated(NamedTuple):
    """What one client's model makes of its validation images.

    Attributes:
        metrics: `loss` and the task's score, by name, each (L,), float64; NaN in a lane that diverged.
        counts: What every prediction is worth, (L, n, C, F); see `Task.counts`.
    """

    metrics: Leaves
    counts: Tensor


@dataclass(frozen=True)
class Engine:
    """Federated training of one method on one federation.

    Attributes:
        model: Network, task and method.
        clients: All hospitals, in a fixed order; each is validated on its own images.
        training: How one client trains in one round.
        augmentation: How its images are changed.
        head: The configured policy for the head.
        averaging: Whether clients weigh by their training images or all the same, where the method does not say it.
        rounds: How many rounds there are in all, which a schedule of the learning rate looks at.
        dropout: Whether steps have a key for dropout.
        threads: Clients computed side by side on a CPU, one thread each: within a round they do not wait for each
            other, as the threads of one matrix product do. No result depends on it.
        recorder: Records the steps of local training and replays them; for one thread.
    """

    model: Model
    clients: Sequence[ClientData]
    training: TrainingSettings
    augmentation: AugmentationSettings
    head: Literal["shared", "personal"]
    averaging: Literal["samples", "uniform"] = "samples"
    rounds: int = 1
    dropout: bool = False
    threads: int = 1
    recorder: Recorder | None = None

    @cached_property
    def participants(self) -> Sequence[ClientData]:
        """Who trains: the clients, or one that holds all their images."""
        return [_pooled(self.clients)] if self.model.method.pooled else self.clients

    @cached_property
    def weights(self) -> Tensor:
        """Each participant's weight on the server, shape (K,), float64; they sum to one."""
        by_samples = (self.model.method.averaging or self.averaging) == "samples"
        counts = torch.tensor([len(own.training) if by_samples else 1.0 for own in self.participants]).double()
        return (counts / counts.sum()).to(self.device)

    @property
    def dtype(self) -> torch.dtype:
        """Of leaves and images."""
        return LEAVES[self.training.precision]

    @property
    def device(self) -> torch.device:
        """Where the clients are trained."""
        return self.clients[0].device

    def start(self, lanes: Sequence[Lane]) -> State:
        """Every participant with the initialisation of each lane's seed."""
        params = {name: leaf.contiguous() for name, leaf in self.fresh(lanes, round=0).items()}
        remember = torch.vmap(torch.vmap(lambda own: dict(self.model.method.memory(own))))
        return State(0, params, remember(params), self._unused_optimisers(params))

    def round(self, state: State, lanes: Sequence[Lane]) -> tuple[State, Measured]:
        """One round: every participant trains, then the shared leaves are averaged.

        Returns where the L lanes stand after it, and what was measured on the way.
        """
        method = self.model.method
        trained, gradients, objectives, optimiser = self._local(state, lanes, self._passes(state.round))
        remember = torch.vmap(torch.vmap(lambda *own: dict(method.after(*own))))
        memory = remember(trained, dict(state.params), dict(state.memory), gradients)
        exchange = Exchange(self.model, self.head, state.round)
        sent = exchange.up(trained, memory)
        received = exchange.served(sent, state.params, self.weights)
        measured = Measured(objectives, exchange.measured(sent, state.params, self.weights, received))
        fresh = self.fresh(lanes, round=state.round + 1) if exchange.interprets else {}
        return State(state.round + 1, *exchange.down(received, trained, memory, fresh), optimiser), measured

    def close(self, state: State, lanes: Sequence[Lane]) -> State:
        """What each client trains for itself after the last round's averaging: a schedule of its own begins."""
        phases = self.model.method.closing()
        if not phases:
            return state
        passes = self._in_turn(phases, "closing", self.epochs(phases), 0)
        params, _, _, optimiser = self._local(state, lanes, passes)
        return replace(state, params=params, optimiser=optimiser)

    def deployed(self, state: State) -> list[dict[str, Tensor]]:
        """The leaves every client predicts with, each of shape (L, ...), in the order of `clients`."""
        deploy = torch.vmap(torch.vmap(lambda own, past: dict(self.model.method.deployed(own, past))))
        params = deploy(dict(state.params), dict(state.memory))
        chosen = [0 if self.model.method.pooled else k for k in range(len(self.clients))]
        return [{name: leaf[k] for name, leaf in params.items()} for k in chosen]

    def common(self, state: State, lane: int = 0) -> dict[str, Tensor]:
        """The leaves of the model that all clients made, of one lane: their weighted mean, as on the server.

        Of a leaf that travels it is what all of them hold, to the bit, and of a personal one the nearest thing to it.
        """
        return {name: _mean(leaf[:, lane], self.weights) for name, leaf in state.params.items()}

    def validate(self, state: State) -> Sequence[Leaves]:
        """Every client's `loss` and score on its validation images, as `validated` has them."""
        return [own.metrics for own in self.validated(state)]

    def validated(self, state: State) -> Sequence[Validated]:
        """What every client's model makes of its validation images; the counts are on the CPU."""
        task, deployed, validation = self.model.task, self.deployed(state), self._validation

        def measure(k: int) -> Validated:
            client, samples = self.clients[k], validation[k]
            unit = samples.units(task)
            units = int(unit.max()) + 1
            loss_of = torch.vmap(partial(task.loss, priors=task.priors(client.training.targets)), in_dims=(0, None))
            losses, counts, kept = [], [], []
            for which, prediction in self.predictions(client, samples.images, deployed[k]):
                target = samples.targets[which]
                losses.append(loss_of(prediction, target).to(torch.float64) * len(target))
                own = task.counts(prediction, target)  # (L, k, C, F)
                counts.append(own.new_zeros(len(own), units, *own.shape[2:]).index_add(1, unit[which], own))
                kept.append(own)
            score = torch.from_numpy(task.score(torch.stack(counts).sum(0).cpu().numpy()))
            loss = torch.stack(losses).sum(0).cpu() / len(samples)
            metrics = {"loss": loss.masked_fill(score.isnan(), torch.nan), task.score_name: score}
            return Validated(metrics, torch.cat(kept, 1).cpu())

        return self._side_by_side(measure, [len(own) for own in validation])

    def predictions(self, client: ClientData, images: PackedImages, params: Leaves) -> Iterator[tuple[slice, Tensor]]:
        """What a client's model makes of images, some at a time.

        Args:
            client: The client.
            images: Any n images.
            params: The leaves that it predicts with, each of shape (L, ...).

        Returns:
            Chunk by chunk, which of the images, and their predictions, (L, k, outputs, ...).
        """
        support = client.support(SUPPORT, self.dtype)
        return predict(self.model, images, support, client.drawn(len(images), DRAWN, len(support)), params, CHUNK)

    def fresh(self, lanes: Sequence[Lane], round: int) -> dict[str, Tensor]:
        """Every leaf as every participant initialises it, each of shape (K, L, ...); what all share is held once."""
        found = {}
        for name, leaf in self.model.leaves.items():
            alone = leaf.part in self.model.method.drawn_by_clients
            names = [client.name for client in self.participants] if alone else [""]
            drawn = torch.stack([torch.stack([self._initial(leaf, lane, round, k) for lane in lanes]) for k in names])
            found[name] = drawn.expand(len(self.participants), *drawn.shape[1:])
        return found

    def epochs(self, phases: Sequence[Phase]) -> int:
        """Passes over a client's images in these phases; one that ends after some steps counts as none."""
        local = self.training.local_epochs
        return sum(local if phase.epochs is None else phase.epochs for phase in phases if phase.steps is None)

    @cached_property
    def _training(self) -> Sequence[Samples]:
        """What each participant trains on; encoded where no image is ever changed."""
        samples = [own.training for own in self.participants]
        return samples if self.augmentation.changes else self._encoded(samples)

    @cached_property
    def _validation(self) -> Sequence[Samples]:
        """What each client is validated on, encoded."""
        return self._encoded([client.validation for client in self.clients])

    def _encoded(self, every: Sequence[Samples]) -> Sequence[Samples]:
        """What the network makes of images in front of the first leaf takes their place, where there is such a part."""
        network, leaves = self.model.network, self.model.leaves.values()

        def encode(images: Tensor) -> Tensor:
            with torch.no_grad():
                return network.encode(to_float(images.to(self.device), self.dtype), leaves)

        return encoded(every, encode, self._side_by_side) if network.encodes(leaves) else every

    def _passes(self, round: int) -> Sequence[Pass]:
        """A round's passes, as they stand in the whole run."""
        rounds = max(self.training.optimiser.decay_rounds or self.rounds, round + 1)
        each = [self.epochs(self.model.method.phases(number)) for number in range(rounds)]
        phases = self.model.method.phases(round)
        return self._in_turn(phases, f"round {round}", sum(each), sum(each[:round]))

    def _in_turn(self, phases: Sequence[Phase], name: str, epochs: int, before: int) -> list[Pass]:
        """Phases one after the other, in a run of so many epochs, of which so many are before the first of them."""
        found = []
        for number, phase in enumerate(phases):
            found.append(Pass(phase, f"{name} pass {number}", before, epochs))
            before += self.epochs([phase])
        return found

    def _local(
        self, state: State, lanes: Sequence[Lane], passes: Sequence[Pass]
    ) -> tuple[dict[str, Tensor], dict[str, Tensor], Tensor, dict[str, Tensor]]:
        """Every participant's leaves after these passes, mean gradients, mean objective (K, L), and optimiser."""
        local = LocalTraining(self.model, self.training, self.augmentation, self.dtype, self.dropout, self.recorder)
        participants, training = self.participants, self._training

        def train(k: int) -> tuple[Leaves, Leaves, Tensor, Leaves]:
            start, memory, optimiser = ({n: own[k] for n, own in held.items()} for held in state.kinds.values())
            held = Held(start, start, memory, optimiser, self.model.task.priors(participants[k].training.targets))
            done: list[Trained] = []
            for turn in passes:
                done.append(local.train(replace(participants[k], training=training[k]), held, turn, lanes))
                held = replace(held, params=done[-1].params, optimiser=done[-1].optimiser)
            objective = torch.stack([one.objective for one in done]).mean(0)
            return held.params, _mean_gradients(done), objective, held.optimiser

        found = self._side_by_side(train, [len(own) for own in training])
        params, gradients, objectives, optimisers = zip(*found, strict=True)
        return _stacked(params), _stacked(gradients), torch.stack(objectives), _stacked(optimisers)

    def _unused_optimisers(self, params: Leaves) -> dict[str, Tensor]:
        """What the participants' optimisers remember before the first step, of every leaf that may be trained."""
        if self.training.optimiser.state == "anew":
            return {}
        names, unused = self.model.trained(lambda leaf: True), optimisers.of(self.training.optimiser)
        states = (unused.state([params[name][k] for name in names]) for k in range(len(self.participants)))
        return _stacked([optimisers.by_leaf(state, names) for state in states])

    def _side_by_side(self, work: Callable[[int], Found], sizes: Sequence[int]) -> list[Found]:
        """What `work` finds for every client, in their order; the largest begins first, so that no thread ends late."""
        with ThreadPoolExecutor(self.threads) as pool:
            waiting = {k: pool.submit(work, k) for k in sorted(range(len(sizes)), key=lambda k: -sizes[k])}
            return [waiting[k].result() for k in range(len(sizes))]

    def _initial(self, leaf: Leaf, lane: Lane, round: int, client: str) -> Tensor:
        if leaf.initial.kind == "pretrained":
            return self.model.network.pretrained(leaf).to(self.device, self.dtype)
        return initial(leaf, lane.seed, self.dtype, round, client).to(self.device)


def _mean(leaves: Tensor, weights: Tensor) -> Tensor:
    """The weighted mean over clients of leaves (K, ...); exactly theirs where all hold the same."""
    if all(torch.equal(leaves[0], own) for own in leaves[1:]):
        return leaves[0].clone()
    return torch.tensordot(weights.to(leaves.dtype), leaves, dims=1)


def _mean_gradients(passes: Sequence[Trained]) -> dict[str, Tensor]:
    """The mean over all steps in which a leaf was trained, by leaf."""
    names = dict.fromkeys(name for one in passes for name in one.gradients)
    return {
        name: torch.stack([one.gradients[name] for one in passes if name in one.gradients]).sum(0)
        / sum(one.steps for one in passes if name in one.gradients)
        for name in names
    }


def _stacked(clients: Sequence[Leaves]) -> dict[str, Tensor]:
    """The same leaves of several clients on a new first dimension."""
    return {name: torch.stack([own[name] for own in clients]) for name in clients[0]}


def _pooled(clients: Sequence[ClientData]) -> ClientData:
    """One client that holds every client's images, in an order that does not depend on that of the clients."""
    clients = sorted(clients, key=lambda client: client.name)
    return ClientData("pooled", *(_joined([getattr(c, kind) for c in clients]) for kind in ("training", "validation")))


def _joined(parts: Sequence[Samples]) -> Samples:
    """All samples, one part after the other."""
    images, targets = PackedImages.joined([part.images for part in parts]), torch.cat([part.targets for part in parts])
    firsts = accumulate([len(part) for part in parts], initial=0)
    stacks = [part.stacks + first for part, first in zip(parts, firsts, strict=False) if part.stacks is not None]
    return Samples(images, targets, stacks=torch.cat(stacks) if stacks else None)
