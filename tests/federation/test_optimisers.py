"""Optimisers over lanes, against torch.optim's lane by lane; and schedules against their formulas."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmark.federation import optimisers
from benchmark.federation.client import Lane
from benchmark.settings import OptimiserSettings
from tests.federation.small import TRAINING, apart, client, clients, engine, method, same, train

RATES = (0.1, 0.003, 1.0)
SHAPES = ((2, 3), (4,), ())
STEPS = 50
CASES: list[dict[str, Any]] = [
    {"name": "sgd"},
    {"name": "sgd", "momentum": 0.9},
    {"name": "sgd", "momentum": 0.9, "weight_decay": 0.1},
    {"name": "adam"},
    {"name": "adam", "weight_decay": 0.1, "betas": (0.8, 0.95), "eps": 1e-3},
    {"name": "adam", "amsgrad": True},
    {"name": "adamw", "weight_decay": 0.1},
    {"name": "adamw", "weight_decay": 0.1, "amsgrad": True},
]


def by_torch(settings: OptimiserSettings, leaves: list[Tensor], steps: list[list[Tensor]], rate: float) -> list[Tensor]:
    """Where torch's optimiser takes one lane."""
    own = [leaf.clone().requires_grad_() for leaf in leaves]
    common = {"lr": rate, "weight_decay": settings.weight_decay}
    if settings.name == "sgd":
        optimiser: Any = torch.optim.SGD(own, momentum=settings.momentum, **common)
    else:
        kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[settings.name]
        optimiser = kind(own, betas=settings.betas, eps=settings.eps, amsgrad=settings.amsgrad, **common)
    for gradients in steps:
        for leaf, gradient in zip(own, gradients, strict=True):
            leaf.grad = gradient.clone()
        optimiser.step()
    return [leaf.detach() for leaf in own]


@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(map(str, case.values())))
def test_steps_are_those_of_torch_lane_by_lane(case: dict[str, Any]) -> None:
    """Fifty steps at three rates, leaves of a matrix, a vector and a number; gradients that are sometimes zero."""
    settings, source = OptimiserSettings(**case), torch.Generator().manual_seed(0)
    leaves = [torch.randn(len(RATES), *shape, generator=source, dtype=torch.float64) for shape in SHAPES]
    steps = [[torch.randn(leaf.shape, generator=source, dtype=torch.float64) for leaf in leaves] for _ in range(STEPS)]
    steps[3] = [torch.zeros_like(leaf) for leaf in leaves]
    expected = [
        by_torch(settings, [leaf[k] for leaf in leaves], [[g[k] for g in step] for step in steps], rate)
        for k, rate in enumerate(RATES)
    ]
    ours, rates = (
        optimisers.of(settings),
        [torch.tensor(RATES, dtype=torch.float64).view(-1, *[1] * len(s)) for s in SHAPES],
    )
    state = ours.state(leaves)
    for gradients in steps:
        ours.step(leaves, [gradient.clone() for gradient in gradients], state, rates)
    for k, lane in enumerate(expected):
        for leaf, wanted in zip(leaves, lane, strict=True):
            assert (leaf[k] - wanted).abs().max() < 1e-12


def test_schedules_follow_their_formulas() -> None:
    """Ten steps of which four warm up; the constant, the cosine and the polynomial, by hand."""
    warm = [0.25, 0.5, 0.75, 1.0]
    cosine = [(1 + math.cos(math.pi * s / 6)) / 2 for s in range(6)]
    power = [(1 - s / 6) ** 7 for s in range(6)]
    for name, after in (("constant", [1.0] * 6), ("cosine", cosine), ("polynomial", power)):
        settings = OptimiserSettings(schedule=name, warmup=4, power=7.0)
        assert [optimisers.factor(settings, step, 10) for step in range(10)] == pytest.approx(warm + after, abs=1e-15)


@pytest.mark.parametrize("decay_rounds", [None, 2, 5])
def test_a_schedule_runs_over_all_rounds_of_a_client_or_over_more(decay_rounds: int | None) -> None:
    """Linear decay: a round's steps are plain SGD's at the falling rates, which the last of 2 x 2 steps ends at 1/4.

    Over five rounds of two steps, of which two are trained, it ends at 7/10.
    """
    schedule = OptimiserSettings(schedule="polynomial", decay_rounds=decay_rounds)
    training = TRAINING.model_copy(update={"optimiser": schedule})
    seen: list[float] = []
    ours = engine(method("fedit"), [client("north", 13)], training=training, rounds=2)
    plain = optimisers.SGD.step

    def look(self: Any, leaves: Any, gradients: Any, state: Any, rates: list[Tensor]) -> None:
        seen.append(float(rates[0].flatten()[0]))
        plain(self, leaves, gradients, state, rates)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(optimisers.SGD, "step", look)
        train(ours, [Lane("1e-1", 0)], 2)
    assert seen == pytest.approx([0.1 * (1 - s / (2 * (decay_rounds or 2))) for s in range(4)])


@pytest.mark.parametrize("name", ["adam", "sgd"])
def test_what_is_kept_with_the_client_goes_on_where_it_was(name: str) -> None:
    """One client whose leaves travel nowhere: two rounds with the state kept are two epochs of one, but for the order.

    With the state begun anew they are not; and an interrupted run equals an uninterrupted one.
    """
    settings = OptimiserSettings(name=name, momentum=0.9 if name == "sgd" else 0.0, state="kept")
    lanes = (Lane("1e-3", 0), Lane("1e-2", 1))
    kept, anew = (
        engine(method("local"), training=TRAINING.model_copy(update={"optimiser": own}))
        for own in (settings, settings.model_copy(update={"state": "anew"}))
    )
    first, _ = kept.round(kept.start(lanes), lanes)
    fresh, _ = anew.round(anew.start(lanes), lanes)
    assert apart(first.params, fresh.params) == 0
    assert first.optimiser
    assert not fresh.optimiser
    second, _ = kept.round(first, lanes)
    restarted, _ = anew.round(fresh, lanes)
    assert apart(second.params, restarted.params) > 1e-6
    again, _ = kept.round(first.map(Tensor.clone), lanes)
    assert same(again.params, second.params)
    assert same(again.optimiser, second.optimiser)


def test_what_is_kept_is_the_clients_own() -> None:
    """No client's state depends on who else takes part."""
    training = TRAINING.model_copy(update={"optimiser": OptimiserSettings(name="adamw", state="kept")})
    lanes = (Lane("1e-3", 0),)
    three = train(engine(method("local"), clients(), training=training), lanes, 2)
    two = train(engine(method("local"), clients()[:2], training=training), lanes, 2)
    assert same({name: own[:2] for name, own in three.optimiser.items()}, two.optimiser)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"amsgrad": True}, "`amsgrad` is a setting of adam and adamw, not of sgd"),
        ({"name": "adam", "momentum": 0.9}, "`momentum` is a setting of sgd; adam has `betas`"),
        ({"name": "adam", "betas": (0.9, 1.0)}, "allowed are numbers from 0 and below 1"),
        ({"decay_rounds": 200}, "`decay_rounds` is a setting of the schedules cosine and polynomial, not of constant"),
    ],
)
def test_settings_that_an_optimiser_lacks_are_refused(settings: dict[str, Any], said: str) -> None:
    """A setting without effect would be read as one that has one."""
    with pytest.raises(ValueError, match=said):
        OptimiserSettings(**settings)
