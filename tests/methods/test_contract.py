"""What every method must keep, whoever writes it: parametrised over the files in `methods/`.

A newcomer's file is tested here without a test being written.
"""

import ast
import copy
import functools
import sys
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from benchmark.federation.client import Client, Lane
from benchmark.federation.engine import Engine, State
from benchmark.method import Method, Phase
from tests.federation.small import METHODS, ROOT, apart, clients, engine, logits, method, same, train

ROUNDS = 2
LANES = (Lane("1e-1", 0), Lane("2e-2", 1))
ROUNDING = 1e-10
"""Float64, values of order one: what another order of sums does, with FedOPAL-R's amplification a hundredfold."""

every_method = pytest.mark.parametrize("name", METHODS)


@every_method
def test_says_what_it_is(name: str) -> None:
    """Title and paper for the tables; one line of documentation for the file and for the class."""
    cls = type(method(name))
    assert cls.title.strip()
    assert cls.paper.strip()
    for documentation in (cls.__doc__, sys.modules[cls.__module__].__doc__):
        assert documentation is not None
        assert documentation.strip().splitlines()[0].endswith(".")
    assert cls.__doc__ != Method.__doc__


@every_method
def test_imports_the_contract_and_nothing_else_of_ours(name: str) -> None:
    """A method's file stands alone: it cannot reach into the engine, nor into another method."""
    tree = ast.parse((ROOT / "methods" / f"{name}.py").read_text(encoding="utf-8"))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {node.module or "." for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    ours = {module for module in imported if module.split(".")[0] in {"benchmark", "methods", "tests", ""}}
    assert ours == {"benchmark.method"}


@every_method
def test_two_runs_are_equal_to_the_bit(name: str) -> None:
    """Every draw is keyed: nothing depends on what was drawn before, nor on torch's global generator."""
    _, first = trained(name)
    torch.rand(1)
    second = _rounds(engine(method(name)), ROUNDS)
    assert same(first.params, second.params)
    assert same(first.memory, second.memory)


@every_method
def test_every_trained_leaf_changes_and_every_other_stays(name: str) -> None:
    """Leaves that a phase trains differ at the end, in every lane; leaves that none trains are the initial ones."""
    ours, last = trained(name)
    before, after = ours.start(LANES).params, ours.close(last, LANES).params
    phases = [phase for round in range(ROUNDS) for phase in ours.model.method.phases(round)]
    phases += ours.model.method.closing()
    for leaf_name, leaf in ours.model.leaves.items():
        moved = (before[leaf_name] != after[leaf_name]).flatten(2).any(2)  # (clients, lanes)
        if any(phase.trains(leaf) or leaf.part in phase.copies for phase in phases):
            assert moved.all(), leaf_name
        else:
            assert not moved.any(), leaf_name


@every_method
def test_shared_leaves_are_equal_on_all_clients_and_personal_ones_their_own(name: str) -> None:
    """A later round, client by client: alone, a client's shared leaves come back from the server as it sent them.

    Beside others, all receive the same: by default the mean, weighted by training images. What is personal is, to the
    bit, what the client trained alone: the server has not touched it.
    """
    hospitals = clients()
    ours, begin = trained(name)
    if ours.model.method.pooled:
        pytest.skip("a pooled control has one participant: there is nothing to share")
    together, _ = ours.round(begin, LANES)
    alone = [_alone(name, hospitals, begin, k) for k in range(len(hospitals))]
    shared = ours.model.shared("shared")
    for leaf in ours.model.leaves:
        own = torch.stack([params[leaf] for params in alone])
        if leaf not in shared:
            assert torch.equal(together.params[leaf], own), leaf
            continue
        assert (together.params[leaf] == together.params[leaf][:1]).all(), leaf
        if type(ours.model.method).server is Method.server:
            images = torch.tensor([len(hospital.labels) for hospital in hospitals], dtype=torch.float64)
            mean = (own * (images / images.sum()).view(-1, *[1] * (own.dim() - 1))).sum(0)
            assert (together.params[leaf][0] - mean).abs().max() < ROUNDING, leaf


@every_method
def test_the_frozen_backbone_is_unchanged_to_the_bit(name: str) -> None:
    """Nothing but leaves is ever written to."""
    ours = engine(method(name))
    before = {key: value.clone() for key, value in ours.model.backbone.state_dict().items()}
    train(ours, LANES, 1)
    assert same(before, ours.model.backbone.state_dict())
    assert not any(parameter.requires_grad for parameter in ours.model.backbone.parameters())


@every_method
@pytest.mark.parametrize("number", [0, 1])
def test_a_lane_alone_equals_the_lane_beside_others(name: str, number: int) -> None:
    """What a lane learns depends on its own rate and seed alone."""
    ours, beside = trained(name)
    alone = _rounds(ours, ROUNDS, LANES[number : number + 1])
    assert apart(beside.lane(number).params, alone.params) < ROUNDING


@every_method
@pytest.mark.filterwarnings("error")
def test_a_lane_that_diverges_disturbs_no_other_and_is_reported_as_nan(name: str) -> None:
    """Beside a lane whose rate is absurd, lanes are equal to the bit to those beside as many healthy ones."""
    ours = engine(method(name))
    healthy = (Lane("1e-1", 0), Lane("1e-2", 1), Lane("2e-2", 1))
    broken = (healthy[0], Lane("1e300", 1), healthy[2])
    expected, found = train(ours, healthy, ROUNDS), train(ours, broken, ROUNDS)
    assert any(not torch.isfinite(leaf[:, 1]).all() for leaf in found.params.values())
    for number in (0, 2):
        assert same(expected.lane(number).params, found.lane(number).params)
    for before, after in zip(ours.validate(expected), ours.validate(found), strict=True):
        assert before.keys() == after.keys() == {"loss", "balanced_accuracy"}
        for metric in before:
            assert after[metric][1].isnan(), metric
            assert torch.equal(before[metric][[0, 2]], after[metric][[0, 2]]), metric
            assert torch.isfinite(before[metric]).all()


@every_method
def test_clients_in_another_order_give_the_same_results_in_that_order(name: str) -> None:
    """No client is special; sums over clients are taken in another order, so equal up to rounding."""
    hospitals, order = clients(), [2, 0, 1]
    ours, expected = trained(name)
    other = engine(method(name), [hospitals[k] for k in order])
    found = _rounds(other, ROUNDS)
    moved = slice(None) if ours.model.method.pooled else order  # A pooled control has one participant.
    assert apart({n: leaf[moved] for n, leaf in expected.params.items()}, found.params) < ROUNDING
    for k, rows in zip(order, logits(other, found), strict=True):
        assert (logits(ours, expected)[k] - rows).abs().max() < ROUNDING


@every_method
def test_an_interrupted_run_equals_an_uninterrupted_one_to_the_bit(name: str) -> None:
    """All that the future depends on is in the state, and a round changes no state that it was given."""
    ours, middle = trained(name)
    kept = copy.deepcopy(middle)
    uninterrupted = _rounds(ours, ROUNDS, state=middle)
    assert same(kept.params, middle.params)
    resumed = _rounds(engine(method(name)), ROUNDS, state=kept)
    assert resumed.round == uninterrupted.round == 2 * ROUNDS
    assert same(resumed.params, uninterrupted.params)
    assert same(resumed.memory, uninterrupted.memory)


@every_method
def test_phases_train_leaves_that_the_loss_depends_on(name: str) -> None:
    """A phase that trains an adapter uses it: an adapter without weight would get no gradient."""
    ours = method(name)
    made = engine(ours)
    model, params = made.model, made.deployed(made.start(LANES))[0]
    phases: list[Phase] = [phase for round in range(3) for phase in ours.phases(round)] + list(ours.closing())
    assert phases
    for phase in phases:
        trained = {leaf.part for leaf in model.leaves.values() if phase.trains(leaf)}
        assert trained
        assert trained - {"head"} <= set(phase.mix if phase.mix is not None else ours.mix(params))


@functools.cache
def trained(name: str) -> tuple[Engine, State]:
    """The engine of a method, and where its lanes stand after all rounds: the same run for all tests."""
    ours = engine(method(name))
    return ours, _rounds(ours, ROUNDS)


def _rounds(ours: Engine, count: int, lanes: Sequence[Lane] = LANES, state: State | None = None) -> State:
    state = ours.start(lanes) if state is None else state
    for _ in range(count):
        state, _ = ours.round(state, lanes)
    return state


def _alone(name: str, hospitals: Sequence[Client], state: State, k: int) -> dict[str, Tensor]:
    """What client k holds after a round as the only client, from where it stands in `state`."""
    params, memory = (
        {leaf: value[k : k + 1] for leaf, value in leaves.items()} for leaves in (state.params, state.memory)
    )
    after, _ = engine(method(name), hospitals[k : k + 1]).round(State(state.round, params, memory), LANES)
    return {leaf: value[0] for leaf, value in after.params.items()}
