"""IOP-FL inside the federation: the running mean of a client's models, in closed form, over weights and buffers."""

from collections.abc import Sequence
from functools import cache

import pytest
from torch import Tensor

from benchmark.federation.client import ClientData
from benchmark.federation.engine import Engine, State
from benchmark.method import Method
from tests.federation.small import LANES, apart, clients, engine, method, same
from tests.methods.test_masks import hospitals, unet

ROUNDS, PAIR = 4, LANES[1:3]
CLOSE = 1e-12
NETWORKS = ("lora", "unet")


def build(network: str, of: Method, own: Sequence[ClientData] | None = None) -> Engine:
    """LoRA on a vision transformer and classes, or a U-Net with batch normalisation, trained whole, and masks."""
    return unet(of, own) if network == "unet" else engine(of, own)


def rounds(ours: Engine, count: int) -> State:
    state = ours.start(PAIR)
    for _ in range(count):
        state, _ = ours.round(state, PAIR)
    return state


@cache
def fedavg(network: str) -> tuple[list[list[dict[str, Tensor]]], State]:
    """What each client of FedAvg has trained, round by round, and how FedAvg ends.

    A client that is alone receives what it sent: so one client's training is FedAvg of that client.
    """
    together, there = build(network, method("fedit")), hospitals() if network == "unet" else clients()
    alone = [build(network, method("fedit"), [own]) for own in there]
    state, path = together.start(PAIR), []
    for _ in range(ROUNDS):
        trained = []
        for k, only in enumerate(alone):
            after, _ = only.round(state.map(lambda tensor: tensor[k : k + 1]), PAIR)  # noqa: B023
            trained.append({name: leaf[0] for name, leaf in after.params.items()})
        path.append(trained)
        state, _ = together.round(state, PAIR)
    return path, state


@pytest.mark.parametrize("network", NETWORKS)
def test_the_trajectory_has_its_closed_form(network: str) -> None:
    """T_R = a^(R-1) w_1 + (1-a) sum_{t>1} a^(R-t) w_t, of every leaf that a client holds."""
    a, (path, _) = 0.3, fedavg(network)
    ours = build(network, method("iop_fl", kept=a))
    weights = [a ** (ROUNDS - 1), *((1 - a) * a ** (ROUNDS - t) for t in range(2, ROUNDS + 1))]
    assert sum(weights) == pytest.approx(1)
    for k, own in enumerate(ours.deployed(rounds(ours, ROUNDS))):
        expected = {n: sum(w * trained[k][n] for w, trained in zip(weights, path, strict=True)) for n in own}
        assert own.keys() == ours.model.leaves.keys()
        assert apart(own, expected) < CLOSE
        assert all(float((own[name] - path[-1][k][name]).abs().max()) > CLOSE for name in own)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize(
    ("name", "settings", "which"), [("iop_fl", 0.0, -1), ("iop_fl", 1.0, 0), ("last_local", None, -1)]
)
def test_at_its_ends_the_trajectory_is_a_clients_last_or_first_model(
    network: str, name: str, settings: float | None, which: int
) -> None:
    """To the bit; the first one is a copy, which later rounds do not change."""
    path, _ = fedavg(network)
    ours = build(network, method(name, **({} if settings is None else {"kept": settings})))
    for own, expected in zip(ours.deployed(rounds(ours, ROUNDS)), path[which], strict=True):
        assert same(own, expected)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("name", ["iop_fl", "last_local"])
def test_the_federation_beside_it_is_fedavg_to_the_bit(network: str, name: str) -> None:
    """And every client predicts otherwise than FedAvg."""
    _, plain = fedavg(network)
    ours = build(network, method(name))
    state = rounds(ours, ROUNDS)
    assert same(state.params, plain.params)
    for k, own in enumerate(ours.deployed(state)):
        assert apart(own, {leaf: tensor[k] for leaf, tensor in plain.params.items()}) > 1e-6


def test_running_statistics_of_normalisation_belong_to_the_trajectory() -> None:
    """They carry no gradient; a U-Net's are those of the client's own images, not the mean that all clients receive."""
    ours = build("unet", method("iop_fl"))
    state = rounds(ours, ROUNDS)
    buffers = [name for name, leaf in ours.model.leaves.items() if leaf.role == "buffer"]
    assert any(name.endswith("running_var") for name in buffers)
    for k, own in enumerate(ours.deployed(state)):
        assert all((own[name] != state.params[name][k]).any() for name in buffers)
