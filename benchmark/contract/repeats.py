"""What results must not depend on: time, interruption, neighbours, order."""

import torch

from benchmark.contract.compare import ROUNDING, apart
from benchmark.contract.fault import ContractError
from benchmark.contract.federation import predictions
from benchmark.contract.trial import LANES, Trial
from benchmark.federation.client import Lane
from benchmark.federation.engine import State

ABSURD = "1e300"
"""A learning rate at which every method diverges in one step."""


def a_second_run_is_equal_to_the_bit(trial: Trial) -> None:
    """Every draw is keyed: nothing depends on what was drawn before, nor on torch's global generator."""
    torch.rand(1)
    again = trial.anew()
    state, _ = again.round(again.start(LANES), LANES)
    difference = apart(trial.trained.state(1), state, again.participants)
    if difference.size:
        raise ContractError(
            f"{trial.path}: a second run differs, most in {difference}; expected equality to the bit: draw no random "
            "numbers and keep nothing on `self` or in the module; `memory` is for what a client remembers"
        )


def an_interrupted_run_equals_an_uninterrupted_one(trial: Trial) -> None:
    """All that the future depends on is in the state, and a round changes no state that it was given."""
    done = trial.trained
    for number, state in enumerate(done.states):
        difference = apart(state, done.state(number), trial.engine.participants)
        if difference.size:
            raise ContractError(
                f"{trial.place('loss', 'after', 'upload', 'server', 'download')}: a round changed {difference} of the "
                "state that it began with; expected new tensors: no `x += 1`, no `x.add_(1)`"
            )
    resumed, _ = trial.anew().round(done.state(1), LANES)
    difference = apart(done.state(2), resumed, trial.engine.participants)
    if difference.size:
        raise ContractError(
            f"{trial.path}: a run that goes on from a checkpoint differs, most in {difference}; expected equality to "
            "the bit: keep nothing on `self` or in the module, but in `memory`"
        )


def a_lane_alone_equals_the_lane_beside_others(trial: Trial) -> None:
    """What a lane learns depends on its own rate and seed alone."""
    number = 1
    lane = LANES[number : number + 1]
    start = trial.engine.start(lane)
    second, _ = trial.engine.round(trial.trained.state(1).lane(number), lane)
    for alone, beside in ((start, trial.trained.state(0)), (second, trial.trained.state(2))):
        difference = apart(beside.lane(number), alone, trial.engine.participants)
        if difference.size > ROUNDING:
            raise ContractError(
                f"{trial.path}: a lane trained alone differs from the same beside others, most in {difference}; "
                "expected no difference: keep nothing on `self` or in the module, and count no lanes"
            )


def a_lane_that_diverges_disturbs_no_other(trial: Trial) -> None:
    """Beside a lane whose rate is absurd, lanes are equal to the bit to those beside as many healthy ones."""
    engine, done = trial.engine, trial.trained
    broken = (LANES[0], Lane(ABSURD, LANES[1].seed), LANES[2])
    second, _ = engine.round(done.state(1), broken)
    closed = engine.close(second, broken)
    for healthy, beside in ((done.state(2), second), (done.closed, closed)):
        for number in (0, 2):
            difference = apart(healthy.lane(number), beside.lane(number), engine.participants)
            if difference.size:
                raise ContractError(
                    f"{trial.path}: beside a lane that diverges, a healthy one changes, most in {difference}; expected "
                    "no change to the bit: keep nothing on `self` or in the module"
                )
    deployed = engine.deployed(closed)
    for k, (before, after) in enumerate(zip(engine.validate(done.closed), engine.validate(closed), strict=True)):
        diverged = not all(torch.isfinite(leaf[1]).all() for leaf in deployed[k].values())
        for metric in before:
            kept = torch.equal(before[metric][[0, 2]], after[metric][[0, 2]])
            if not kept or (diverged and not after[metric][1].isnan()):
                raise ContractError(
                    f"{trial.place('predict', 'deployed')}: {metric} of client {engine.clients[k].name} is "
                    f"{after[metric].tolist()} where the lane in the middle diverges, {before[metric].tolist()} where "
                    "none does; expected NaN for that lane alone"
                )


def the_order_of_clients_does_not_matter(trial: Trial) -> None:
    """No client is special; sums over clients are taken in another order, so equal up to rounding."""
    order = [2, 0, 1]
    clients = trial.engine.clients
    other = trial.anew([clients[k] for k in order])
    moved = list(range(len(trial.engine.participants))) if trial.engine.model.method.pooled else order
    second, _ = other.round(_ordered(trial.trained.state(1), moved), LANES)
    difference = apart(_ordered(trial.trained.state(2), moved), second, other.participants)
    if difference.size > ROUNDING:
        raise ContractError(
            f"{trial.place('server')}: with the clients in another order results differ, most in {difference}; "
            "expected the same: treat no position on dimension 0 as special"
        )
    expected = predictions(trial.engine, trial.trained.state(2))
    for k, found in zip(order, predictions(other, second), strict=True):
        if (expected[k] - found).abs().max() > ROUNDING:
            raise ContractError(
                f"{trial.place('predict', 'deployed')}: with the clients in another order client {clients[k].name} "
                "predicts something else; expected a client's predictions to depend on its own leaves alone"
            )


def _ordered(state: State, order: list[int]) -> State:
    return state.map(lambda tensor: tensor[order])
