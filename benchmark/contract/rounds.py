"""What two rounds must do to leaves, memory and backbone."""

from collections.abc import Sequence

import torch
from torch import Tensor

from benchmark.contract.compare import ROUNDING, apart
from benchmark.contract.fault import ContractError, Remark
from benchmark.contract.returned import said
from benchmark.contract.trial import LANES, LATER, Trial
from benchmark.federation.costs import phases
from benchmark.federation.engine import State
from benchmark.leaf import Leaf, Leaves
from benchmark.method import Method


def two_rounds_run(trial: Trial) -> None:
    """In three lanes, with the closing passes; every number stays finite, and so does what is validated."""
    done = trial.trained
    for state in (*done.states, done.closed):
        for name, leaf in {**state.params, **state.memory}.items():
            if not torch.isfinite(leaf).all():
                k, lane = torch.nonzero(_any(~torch.isfinite(leaf)))[0].tolist()
                raise ContractError(
                    f"{trial.path}: {name!r} of client {trial.engine.participants[k].name} is not finite after round "
                    f"{state.round}, at the rate {LANES[lane].rate}; expected numbers: look for a division by zero, "
                    "a root or a logarithm of zero, in a hook or in its gradient"
                )
    for client, measured in zip(trial.engine.clients, trial.engine.validate(done.closed), strict=True):
        for metric, values in measured.items():
            if not torch.isfinite(values).all():
                raise ContractError(
                    f"{trial.place('predict', 'deployed')}: the {metric} of client {client.name} is not finite; "
                    "expected numbers, since all leaves are: look for a division by zero"
                )


def trained_leaves_change_and_others_stay(trial: Trial) -> None:
    """Leaves that a pass trains differ at the end, in every lane; those that none trains are the initial ones.

    What `download` returns may change or not: FLoRA begins adapters anew, and moves an offset that no pass trains. What
    is trained has more rounds to move: weights of what was received against what is held have no gradient before both
    differ.
    """
    done = trial.trained
    passes = phases(trial.engine.model.method, done.states[2].round)
    for name, leaf in trial.engine.model.leaves.items():
        if name in trial.calls.downloaded or not leaf.reached:
            continue
        moved = _any(done.states[0].params[name] != done.closed.params[name])
        trained = trial.engine.model.moves(name, passes)
        if trained and not moved.all():
            moved = _any(done.states[0].params[name] != trial.later.params[name])
        if trained and not moved.all():
            raise ContractError(
                f"{trial.place('phases', 'loss')}: leaf {name!r} is trained and has not changed after {LATER} rounds "
                f"(client {_first(trial, ~moved)}); expected a step: is its gradient zero, or is it set back?"
            )
        if not trained and moved.any():
            raise ContractError(
                f"{trial.place('server')}: leaf {name!r} is trained in no pass and has changed (client "
                f"{_first(trial, moved)}); expected its initial value: train it, or change it in `download`"
            )


def shared_leaves_are_equal_personal_ones_untouched(trial: Trial) -> Remark | None:
    """A later round, client by client: alone, a client's shared leaves come back from the server as it sent them.

    Beside others, all receive the same: by default the mean, weighted by training images. What is personal is, to the
    bit, what the client trained alone: the server has not touched it.
    """
    method, clients = trial.engine.model.method, trial.engine.clients
    if method.pooled:
        return Remark("skipped", "a pooled control has one participant: there is nothing to share")
    together = trial.trained.states[2]
    alone = [_alone(trial, k) for k in range(len(clients))]
    plain = type(method).server is Method.server and type(method).download is Method.download
    shared = trial.engine.model.shared(trial.engine.head)
    for name, leaf in trial.engine.model.leaves.items():
        found, own = together.params[name], torch.stack([state.params[name][0] for state in alone])
        if name in shared:
            _expect_equal(trial, leaf, found)
            if plain and (found[0] - torch.tensordot(trial.engine.weights, own, dims=1)).abs().max() > ROUNDING:
                raise ContractError(f"{trial.path}: shared leaf {name!r} is not the mean of what clients trained")
        elif name not in trial.calls.downloaded and not torch.equal(found, own):
            k = _first(trial, _any(found != own))
            raise ContractError(
                f"{trial.place('loss', 'after')}: personal leaf {name!r} of client {k} depends on who else takes part; "
                "expected what the client trains alone: `shared` says which leaves travel"
            )
    return None


def memory_and_messages_keep_their_shapes(trial: Trial) -> None:
    """From round to round, in every lane: what is stored after one round is understood by the next."""
    method, states = trial.engine.model.method, trial.trained.states
    place = trial.place("memory", "after", "download")
    _expect_alike(place, "memory", [state.memory for state in states])
    _expect_alike(trial.place("download", "server"), "leaf", [state.params for state in states])
    upload = torch.vmap(torch.vmap(lambda own, past: dict(method.upload(own, past))))
    messages = [upload(dict(state.params), dict(state.memory)) for state in states]
    _expect_alike(trial.place("upload"), "message", messages)


def the_backbone_stays_frozen(trial: Trial) -> None:
    """Nothing but leaves is ever written to."""
    now = trial.engine.model.network.frozen()
    for name, weight in trial.trained.frozen.items():
        if not torch.equal(now[name], weight):
            raise ContractError(f"{trial.path}: the frozen weight {name!r} has changed; hooks write to nothing")


def _alone(trial: Trial, k: int) -> State:
    """Where client k stands after the second round as the only client."""
    before = trial.trained.states[1]
    engine = trial.anew(trial.engine.clients[k : k + 1])
    return engine.round(before.map(lambda tensor: tensor[k : k + 1]), LANES)[0]


def _expect_equal(trial: Trial, leaf: Leaf, found: Tensor) -> None:
    """Found (K, L, ...) is the same for all clients."""
    first = State(0, {leaf.name: found[:1].expand_as(found)}, {})
    difference = apart(State(0, {leaf.name: found}, {}), first, trial.engine.clients)
    if difference.size > ROUNDING:
        raise ContractError(
            f"{trial.place('download', 'server')}: shared leaf {difference} is not that of client "
            f"{trial.engine.clients[0].name} after a round; expected all clients to hold the same: let `shared` be "
            "false for what each client makes its own, and send it in `upload`"
        )


def _expect_alike(place: str, kind: str, rounds: Sequence[Leaves]) -> None:
    first = {name: said(value) for name, value in rounds[0].items()}
    for number, held in enumerate(rounds[1:], start=1):
        now = {name: said(value) for name, value in held.items()}
        for name in dict.fromkeys([*first, *now]):
            if first.get(name) != now.get(name):
                raise ContractError(
                    f"{place}: {kind} {name!r} is {now.get(name, 'not there')} after round {number} (clients, lanes, "
                    f"...); expected {first.get(name, 'no such name')}, as before the first round"
                )


def _any(where: Tensor) -> Tensor:
    """Whether it holds for any number of a leaf, (K, L, ...) -> (K, L)."""
    return where.reshape(*where.shape[:2], -1).any(2)


def _first(trial: Trial, where: Tensor) -> str:
    """The first client for which it holds in any lane, of (K, L)."""
    return trial.engine.participants[int(torch.nonzero(where)[0][0])].name
