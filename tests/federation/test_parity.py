"""The engine agrees with the plain path (PEFT, torch's SGD, Python loops), method by method."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import pytest
import torch

from benchmark.config import AugmentationSettings, LoraSettings, OptimiserSettings, TrainingSettings
from benchmark.federation.client import Lane
from benchmark.models.network import LEAVES
from tests.federation.small import (
    ARGUMENTS,
    CLASSES,
    LANES,
    METHODS,
    SIZE,
    VIT,
    clients,
    engine,
    method,
    predictions,
    weights,
)
from tests.reference import methods as reference
from tests.reference.hospital import Images, Setting
from tests.reference.methods import Result

ROUNDS, RANK, ALPHA = 3, 4, 8.0
PAIR = LANES[1:3]
"""Two lanes that differ in rate and in seed."""

EXACT = 1e-9
"""Float64, absolute, on values of order one: rounding differs in the order of sums alone."""

ROUNDED = 5
"""Float32, bfloat16: how many times the distance between the plain path's own rounded and float64 results is allowed.

That distance is what rounding alone does to a run of this length. The engine sums in another order, so it rounds
differently, but no worse. The distance differs between methods: FedOPAL-R's cosines of tiny vectors amplify rounding a
few hundred times more than the other losses do."""

PLAIN = TrainingSettings(batch_size=8, precision="float64")
MOMENTUM = OptimiserSettings(momentum=0.9, weight_decay=0.02)
HEAVY = TrainingSettings(batch_size=8, local_epochs=2, optimiser=MOMENTUM, precision="float64")
SHORT = HEAVY.model_copy(update={"local_epochs": 1})

NO_REFERENCE = "tests/reference/methods.py has no {}: the plain path knows the published methods only"


@pytest.mark.parametrize("name", METHODS)
def test_engine_agrees_with_the_plain_path(name: str) -> None:
    """Of four lanes at once in the engine two equal runs, each alone, in adapters, heads, logits and objectives."""
    assert deviation(name, PLAIN, LANES) < EXACT


@pytest.mark.parametrize("name", METHODS)
def test_engine_agrees_with_the_plain_path_with_all_of_sgd(name: str) -> None:
    """Momentum, whose buffers start anew in every pass, weight decay and two local epochs."""
    assert deviation(name, HEAVY) < EXACT


@pytest.mark.parametrize(("precision", "most"), [("float32", 1e-3), ("bfloat16", 5e-2)])
@pytest.mark.parametrize("name", METHODS)
def test_engine_agrees_with_the_plain_path_in_less_precision(name: str, precision: str, most: float) -> None:
    """In the precisions that sweeps are trained in, the engine is as near to the plain path as rounding allows."""
    training = SHORT.model_copy(update={"precision": precision})
    if not hasattr(reference, name):
        pytest.skip(NO_REFERENCE.format(name))
    ours, _ = engine_path(name, training, PAIR)
    plain = plain_path(name, training, PAIR[0])
    # Where singular values are close, singular vectors turn at a rounding: there, what they predict is compared.
    leaves = name != "flexlora"
    rounding = difference(plain, exact_path(name), leaves=leaves)
    assert 1e-8 < rounding < most
    assert difference(ours, plain, leaves=leaves) < ROUNDED * rounding


@pytest.mark.parametrize("targets", [("qkv",), ("q", "k", "v", "proj", "fc1", "fc2")], ids="-".join)
@pytest.mark.parametrize("name", ["fedit", "fedopal_r"])
def test_engine_agrees_with_the_plain_path_on_other_projections(name: str, targets: tuple[str, ...]) -> None:
    """The fused projection as one site; and every linear layer of every block, the fused one in thirds."""
    assert deviation(name, PLAIN, targets=targets) < EXACT


@pytest.mark.parametrize("name", METHODS)
def test_engine_agrees_with_the_plain_path_with_personal_heads(name: str) -> None:
    """The head's policy is the configuration's where the method does not say it. One lane, trained alone."""
    assert deviation(name, PLAIN, head="personal", lanes=PAIR[1:]) < EXACT


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("feddpa_t", {"weight": 0.3, "instance_wise": False}),
        ("feddpa_f", {"weight": 0.7, "instance_wise": False, "epochs": 3}),
        ("fedopal_w", {"strength": 0.5, "entries": "mean"}),
        ("fedopal_r", {"strength": 0.5, "eps": 1e-3}),
        ("fedavg_ft", {"epochs": 2}),
        ("fedprox", {"mu": 0.7}),
        ("ditto", {"strength": 0.3}),
        ("fedrep", {"head_epochs": 2}),
        ("apfl", {"learned": False}),
    ],
)
def test_engine_agrees_with_the_plain_path_with_other_settings(name: str, settings: dict[str, Any]) -> None:
    """What a method's settings mean is the same in both."""
    assert deviation(name, PLAIN, settings=settings) < EXACT


def test_the_comparison_can_fail() -> None:
    """A penalty a thousandth stronger in one path alone is seen: both paths really trained, and were compared."""
    (ours,) = engine_path("fedopal_w", PLAIN, PAIR[1:])
    theirs = plain_path("fedopal_w", PLAIN, PAIR[1], settings={"strength": 0.1001})
    assert difference(ours, theirs) > 1e3 * EXACT


def test_every_method_of_the_plain_path_has_its_file() -> None:
    """A renamed file would otherwise lose its parity test in silence."""
    written = {
        name
        for name, value in vars(reference).items()
        if inspect.isfunction(value) and value.__module__ == reference.__name__ and not name.startswith("_")
    }
    assert len(written) == 21
    assert written <= set(METHODS)


def deviation(name: str, training: TrainingSettings, lanes: Sequence[Lane] = PAIR, **changes: Any) -> float:
    """The largest difference between the engine, all lanes at once, and the plain path, for those of `PAIR`."""
    if not hasattr(reference, name):
        pytest.skip(NO_REFERENCE.format(name))
    found = zip(lanes, engine_path(name, training, lanes, **changes), strict=True)
    compared = {lane: ours for lane, ours in found if lane in PAIR}
    return max(difference(ours, plain_path(name, training, lane, **changes)) for lane, ours in compared.items())


def difference(left: Sequence[Result], right: Sequence[Result], *, leaves: bool = True) -> float:
    """The largest difference in anything that hospitals end with: adapters, head, logits, objectives."""
    largest = 0.0
    for ours, theirs in zip(left, right, strict=True):
        assert ours.leaves.keys() == theirs.leaves.keys()
        pairs = [(ours.leaves[name], theirs.leaves[name]) for name in theirs.leaves if leaves]
        pairs += [(ours.logits, theirs.logits)]
        for got, expected in pairs:
            assert got.shape == expected.shape
            assert torch.isfinite(expected).all()
            largest = max(largest, float((got.double() - expected.double()).abs().max()))
        for round in range(ROUNDS):
            largest = max(largest, abs(mean_objective(ours, round) - mean_objective(theirs, round)))
    return largest


def mean_objective(result: Result, round: int) -> float:
    """The mean objective over the passes of one round."""
    passes = [mean for name, mean in result.objectives.items() if name.startswith(f"round {round} ")]
    return sum(passes) / len(passes)


def engine_path(
    name: str,
    training: TrainingSettings,
    lanes: Sequence[Lane],
    *,
    targets: tuple[str, ...] = ("q", "v"),
    head: str = "shared",
    settings: Mapping[str, Any] | None = None,
) -> list[list[Result]]:
    """What every hospital ends with, lane by lane, all lanes trained together by the engine."""
    lora = LoraSettings(targets=targets, rank=RANK, alpha=ALPHA)
    ours = engine(method(name, **(settings or {})), training=training, lora=lora, head=head)
    state, objectives = ours.start(lanes), []
    for _ in range(ROUNDS):
        state, objective = ours.round(state, lanes)
        objectives.append(objective)
    state = ours.close(state, lanes)
    holders = [0 if ours.model.method.pooled else k for k in range(len(ours.clients))]
    return [
        [
            Result(
                {leaf: value[k, number] for leaf, value in state.params.items()},
                rows[number],
                {f"round {round} all passes": float(values[k, number]) for round, values in enumerate(objectives)},
            )
            for k, rows in zip(holders, predictions(ours, state), strict=True)
        ]
        for number in range(len(lanes))
    ]


@cache
def exact_path(name: str) -> list[Result]:
    """The plain path in float64, for both of the lower precisions."""
    return plain_path(name, SHORT, PAIR[0])


def plain_path(
    name: str,
    training: TrainingSettings,
    lane: Lane,
    *,
    targets: tuple[str, ...] = ("q", "v"),
    head: str = "shared",
    settings: Mapping[str, Any] | None = None,
) -> list[Result]:
    """What every hospital ends with, by the plain path, one run."""
    setting = Setting(
        vit=(VIT, {**ARGUMENTS, "img_size": SIZE}),
        weights=weights(),
        data=[
            Images(own.name, own.training.images[:], own.training.targets, own.validation.images[:])
            for own in clients()
        ],
        classes=len(CLASSES),
        targets=targets,
        rank=RANK,
        alpha=ALPHA,
        rounds=ROUNDS,
        epochs=training.local_epochs,
        batch_size=training.batch_size,
        momentum=training.optimiser.momentum,
        weight_decay=training.optimiser.weight_decay,
        head=head,
        augmentation=AugmentationSettings(),
        dtype=LEAVES[training.precision],
        frozen=getattr(torch, training.precision),
    )
    run: Callable[..., list[Result]] = getattr(reference, name)
    return run(setting, float(lane.rate), lane.seed, **(settings or {}))
