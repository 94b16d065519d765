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
from benchmark.federation.client import Client, Lane, LocalTraining
from benchmark.federation.draws import initial
from benchmark.federation.model import Model, predict
from benchmark.federation.rows import Rows
from benchmark.leaf import Leaves
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
    """

    model: Model
    clients: Sequence[Client]
    training: TrainingSettings
    augmentation: AugmentationSettings
    head: Literal["shared", "personal"]
    averaging: Literal["samples", "uniform"] = "samples"
    threads: int = 1

    @property
    def participants(self) -> Sequence[Client]:
        """Who trains: the clients, or one that holds all their images."""
        return [_pooled(self.clients)] if self.model.method.pooled else self.clients

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
            name: torch.stack([initial(leaf, lane.seed, self.dtype) for lane in lanes])
            .to(self.device)
            .expand(count, len(lanes), *leaf.shape)
            .contiguous()
            for name, leaf in self.model.leaves.items()
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
        trained, objectives = self._local(
            state, lanes, [(p, f"round {state.round} pass {i}") for i, p in enumerate(phases)]
        )
        remember = torch.vmap(torch.vmap(lambda new, old, past: dict(method.after(new, old, past))))
        memory = remember(trained, dict(state.params), dict(state.memory))
        received = self._averaged(trained, state.params)
        return State(state.round + 1, {**trained, **received}, memory), objectives

    def close(self, state: State, lanes: Sequence[Lane]) -> State:
        """What each client trains for itself after the last round's averaging."""
        passes = [(phase, f"closing pass {i}") for i, phase in enumerate(self.model.method.closing())]
        return State(state.round, self._local(state, lanes, passes)[0], state.memory)

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

    def _local(self, state: State, lanes: Sequence[Lane], passes: Sequence[tuple[Phase, str]]) -> tuple[Leaves, Tensor]:
        """Every participant's leaves after these passes, and its mean objective over them (K, L)."""
        local = LocalTraining(self.model, self.training, self.augmentation, self.dtype)
        participants = self.participants

        def train(k: int) -> tuple[Leaves, Tensor]:
            start = params = {name: leaf[k] for name, leaf in state.params.items()}
            memory = {name: leaf[k] for name, leaf in state.memory.items()}
            objective = torch.zeros(len(lanes), dtype=torch.float64, device=self.device)
            for phase, name in passes:
                params, mean = local.train(participants[k], params, start, memory, phase, lanes, name)
                objective += mean / len(passes)
            return params, objective

        everyone, objectives = zip(*self._side_by_side(train, [len(own.labels) for own in participants]), strict=True)
        return {name: torch.stack([own[name] for own in everyone]) for name in state.params}, torch.stack(objectives)

    def _side_by_side(self, work: Callable[[int], Found], sizes: Sequence[int]) -> list[Found]:
        """What `work` finds for every client, in their order; the largest begins first, so that no thread ends late."""
        with ThreadPoolExecutor(self.threads) as pool:
            waiting = {k: pool.submit(work, k) for k in sorted(range(len(sizes)), key=lambda k: -sizes[k])}
            return [waiting[k].result() for k in range(len(sizes))]

    def _averaged(self, trained: Leaves, start: Leaves) -> dict[str, Tensor]:
        """The shared leaves as every participant receives them, (K, L, ...)."""
        shared = self.model.shared(self.head)
        if not shared:
            return {}
        by_samples = self.averaging == "samples"
        counts = torch.tensor([len(client.labels) if by_samples else 1.0 for client in self.participants]).double()
        weights = (counts / counts.sum()).to(self.device)
        serve = torch.vmap(lambda sent, began: dict(self.model.method.server(sent, began, weights)), in_dims=1)
        received = serve({n: trained[n] for n in shared}, {n: start[n] for n in shared})
        for name in shared:
            expected = (trained[name].shape[1], *self.model.leaves[name].shape)
            if name not in received or tuple(received[name].shape) != expected:
                got = tuple(received[name].shape[1:]) if name in received else "nothing"
                raise ValueError(
                    f"{type(self.model.method).__name__}.server() returned {got} for leaf {name!r}; "
                    f"expected shape {expected[1:]}: what every client receives, without a client dimension"
                )
        if unknown := set(received) - set(shared):
            raise ValueError(
                f"{type(self.model.method).__name__}.server() returned leaves that are not shared: {sorted(unknown)}"
            )
        return {name: leaf.expand(len(self.participants), *leaf.shape).clone() for name, leaf in received.items()}


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
