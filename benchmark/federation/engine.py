"""The engine: rounds of local training and averaging, all lanes of a sweep together.

What happens in a round is said once, in `Engine.round`; what differs between methods is said in their files.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal, TypeVar

import torch
from torch import Tensor

from benchmark.config import AugmentationSettings, TrainingSettings
from benchmark.federation.client import Client, Lane, LocalTraining, Trained
from benchmark.federation.draws import initial
from benchmark.federation.exchange import Exchange
from benchmark.federation.model import Model, predict
from benchmark.federation.recorded import Recorder
from benchmark.federation.rows import Rows
from benchmark.leaf import Leaf, Leaves
from benchmark.method import Phase
from benchmark.models.backbone import LEAVES

Found = TypeVar("Found")
SUPPORT = 5
"""Training images that a method may look at while predicting: as many as FedDPA uses (arXiv 2403.19211)."""


@dataclass(frozen=True)
class State:
    """Where the lanes stand after some rounds.

    Attributes:
        round: Finished rounds.
        params: Every client's leaves, each of shape (K, L, ...).
        memory: What every client remembers, each of shape (K, L, ...).
    """

    round: int
    params: Leaves
    memory: Leaves

    def lane(self, index: int) -> "State":
        """One lane alone, leaves of shape (K, 1, ...)."""
        return self.lanes(slice(index, index + 1))

    def lanes(self, which: slice) -> "State":
        """Some of the lanes."""
        return State(
            self.round,
            {name: leaf[:, which] for name, leaf in self.params.items()},
            {name: leaf[:, which] for name, leaf in self.memory.items()},
        )


def stack(states: Sequence[State]) -> State:
    """Lanes that stand at the same round, side by side."""
    params, memory = (
        {name: torch.cat([getattr(state, kind)[name] for state in states], dim=1) for name in getattr(states[0], kind)}
        for kind in ("params", "memory")
    )
    return State(states[0].round, params, memory)


@dataclass(frozen=True)
class Engine:
    """Federated training of one method on one federation.

    Attributes:
        model: Backbone, task and method.
        clients: All hospitals, in a fixed order; each is validated on its own images.
        training: How one client trains in one round.
        augmentation: How its images are changed.
        head: The configured policy for the head.
        averaging: Whether clients weigh by their training images or all the same.
        threads: Clients computed side by side on a CPU, one thread each: within a round they do not wait for each
            other, as the threads of one matrix product do. No result depends on it.
        recorder: Records the steps of local training and replays them; for one thread.
    """

    model: Model
    clients: Sequence[Client]
    training: TrainingSettings
    augmentation: AugmentationSettings
    head: Literal["shared", "personal"]
    averaging: Literal["samples", "uniform"] = "samples"
    threads: int = 1
    recorder: Recorder | None = None

    @property
    def participants(self) -> Sequence[Client]:
        """Who trains: the clients, or one that holds all their images."""
        return [_pooled(self.clients)] if self.model.method.pooled else self.clients

    @property
    def weights(self) -> Tensor:
        """Each participant's weight on the server, shape (K,), float64; they sum to one."""
        by_samples = self.averaging == "samples"
        counts = torch.tensor([len(own.labels) if by_samples else 1.0 for own in self.participants]).double()
        return (counts / counts.sum()).to(self.device)

    @property
    def dtype(self) -> torch.dtype:
        """Of leaves and images."""
        return LEAVES[self.training.precision]

    @property
    def device(self) -> torch.device:
        """Where the clients' images are."""
        return self.clients[0].labels.device

    def start(self, lanes: Sequence[Lane]) -> State:
        """Every participant with the common initialisation of each lane's seed."""
        count = len(self.participants)
        params = {
            name: leaf.expand(count, *leaf.shape).contiguous() for name, leaf in self._fresh(lanes, round=0).items()
        }
        remember = torch.vmap(torch.vmap(lambda own: dict(self.model.method.memory(own))))
        return State(0, params, remember(params))

    def round(self, state: State, lanes: Sequence[Lane]) -> tuple[State, Tensor]:
        """One round: every participant trains, then the shared leaves are averaged.

        Args:
            state: Where the lanes stand.
            lanes: The L lanes.

        Returns:
            Where they stand after it, and every participant's mean objective, shape (K, L).
        """
        method = self.model.method
        phases = method.phases(state.round)
        trained, gradients, objectives = self._local(
            state, lanes, [(p, f"round {state.round} pass {i}") for i, p in enumerate(phases)]
        )
        remember = torch.vmap(torch.vmap(lambda *own: dict(method.after(*own))))
        memory = remember(trained, dict(state.params), dict(state.memory), gradients)
        exchange = Exchange(self.model, self.head, state.round)
        sent = exchange.up(trained, memory)
        received = exchange.served(sent, state.params, self.weights)
        fresh = self._fresh(lanes, round=state.round + 1) if exchange.interprets else {}
        return State(state.round + 1, *exchange.down(received, trained, memory, fresh)), objectives

    def close(self, state: State, lanes: Sequence[Lane]) -> State:
        """What each client trains for itself after the last round's averaging."""
        passes = [(phase, f"closing pass {i}") for i, phase in enumerate(self.model.method.closing())]
        return State(state.round, self._local(state, lanes, passes)[0], state.memory) if passes else state

    def deployed(self, state: State) -> list[dict[str, Tensor]]:
        """The leaves every client predicts with, each of shape (L, ...), in the order of `clients`."""
        deploy = torch.vmap(torch.vmap(lambda own, past: dict(self.model.method.deployed(own, past))))
        params = deploy(dict(state.params), dict(state.memory))
        chosen = [0 if self.model.method.pooled else k for k in range(len(self.clients))]
        return [{name: leaf[k] for name, leaf in params.items()} for k in chosen]

    def validate(self, state: State, chunk: int = 64) -> Sequence[Mapping[str, Tensor]]:
        """Measure every client on its validation images.

        Args:
            state: Where the lanes stand.
            chunk: Images at once.

        Returns:
            For each client, `loss` and score, each of shape (L,), float64; NaN in a lane that diverged.
        """
        task, deployed = self.model.task, self.deployed(state)

        def measure(k: int) -> Mapping[str, Tensor]:
            client = self.clients[k]
            support = client.support(SUPPORT, self.dtype)
            logits = predict(self.model, client.validation_images, support, deployed[k], chunk)
            target = client.validation_labels
            loss = torch.vmap(task.loss, in_dims=(0, None))(logits, target).to(torch.float64)
            score = task.score(task.counts(logits, target))
            return {"loss": loss.masked_fill(score.isnan(), torch.nan), task.score_name: score}

        return self._side_by_side(measure, [len(client.validation_labels) for client in self.clients])

    def _local(
        self, state: State, lanes: Sequence[Lane], passes: Sequence[tuple[Phase, str]]
    ) -> tuple[dict[str, Tensor], dict[str, Tensor], Tensor]:
        """Every participant's leaves after these passes, their mean gradients, and its mean objective (K, L)."""
        local = LocalTraining(self.model, self.training, self.augmentation, self.dtype, self.recorder)
        participants = self.participants

        def train(k: int) -> tuple[Leaves, Leaves, Tensor]:
            start = params = {name: leaf[k] for name, leaf in state.params.items()}
            memory = {name: leaf[k] for name, leaf in state.memory.items()}
            done: list[Trained] = []
            for phase, name in passes:
                done.append(local.train(participants[k], params, start, memory, phase, lanes, name))
                params = done[-1].params
            objective = torch.stack([one.objective for one in done]).mean(0)
            return params, _mean_gradients(done), objective

        found = self._side_by_side(train, [len(own.labels) for own in participants])
        params, gradients, objectives = zip(*found, strict=True)
        return _stacked(params), _stacked(gradients), torch.stack(objectives)

    def _side_by_side(self, work: Callable[[int], Found], sizes: Sequence[int]) -> list[Found]:
        """What `work` finds for every client, in their order; the largest begins first, so that no thread ends late."""
        with ThreadPoolExecutor(self.threads) as pool:
            waiting = {k: pool.submit(work, k) for k in sorted(range(len(sizes)), key=lambda k: -sizes[k])}
            return [waiting[k].result() for k in range(len(sizes))]

    def _fresh(self, lanes: Sequence[Lane], round: int) -> dict[str, Tensor]:
        """Every leaf as it is initialised, each of shape (L, ...): the same for all clients."""
        return {
            name: torch.stack([self._initial(leaf, lane, round) for lane in lanes])
            for name, leaf in self.model.leaves.items()
        }

    def _initial(self, leaf: Leaf, lane: Lane, round: int) -> Tensor:
        if leaf.role == "scalar":
            return torch.tensor(self.model.method.scalars[leaf.name], dtype=self.dtype, device=self.device)
        return initial(leaf, lane.seed, self.dtype, round).to(self.device)


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


def _pooled(clients: Sequence[Client]) -> Client:
    """One client that holds every client's images, in an order that does not depend on that of the clients."""
    clients = sorted(clients, key=lambda client: client.name)
    return Client(
        "pooled",
        Rows.joined([client.images for client in clients]),
        torch.cat([client.labels for client in clients]),
        Rows.joined([client.validation_images for client in clients]),
        torch.cat([client.validation_labels for client in clients]),
    )
