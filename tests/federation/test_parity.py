"""The engine agrees with the plain path (PEFT, torch's SGD, Python loops), method by method."""

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmark.federation.client import Lane
from benchmark.federation.engine import DRAWN, SUPPORT, Engine
from benchmark.models.network import LEAVES
from benchmark.settings import AugmentationSettings, LoraSettings, OptimiserSettings, TrainingSettings
from benchmark.tasks.classification import Classification
from tests.federation.small import (
    ARGUMENTS,
    BRIEF,
    CLASSES,
    LANES,
    METHODS,
    SIZE,
    VIT,
    engine,
    method,
    predictions,
    weights,
)
from tests.reference import methods as reference
from tests.reference.hospital import Drawn, Images, Setting
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
    assert deviation(name, HEAVY, settings=BRIEF.get(name)) < EXACT


@pytest.mark.parametrize(("precision", "most"), [("float32", 1e-3), ("bfloat16", 5e-2)])
@pytest.mark.parametrize("name", METHODS)
def test_engine_agrees_with_the_plain_path_in_less_precision(name: str, precision: str, most: float) -> None:
    """In the precisions that sweeps are trained in, the engine is as near to the plain path as rounding allows."""
    training = SHORT.model_copy(update={"precision": precision})
    if not hasattr(reference, name):
        pytest.skip(NO_REFERENCE.format(name))
    settings = BRIEF.get(name)
    (ours, _), drawn = engine_path(name, training, PAIR, settings=settings)
    plain, exact = (plain_path(name, own, PAIR[0], drawn, settings=settings) for own in (training, SHORT))
    # Where singular values are close, singular vectors turn at a rounding: there, what they predict is compared.
    leaves = name != "flexlora"
    rounding = difference(plain, exact, leaves=leaves)
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
        ("fedrep", {"head_epochs": 2, "closing_epochs": 0}),
        ("apfl", {"learned": False}),
        ("apfl", {"pull": 0.5}),
        ("feddpa_t", {"weighting": "code"}),
        ("iop_fl", {"kept": 0.6}),
    ],
)
def test_engine_agrees_with_the_plain_path_with_other_settings(name: str, settings: dict[str, Any]) -> None:
    """What a method's settings mean is the same in both."""
    assert deviation(name, PLAIN, settings=settings) < EXACT


def test_the_comparison_can_fail() -> None:
    """A penalty a thousandth stronger in one path alone is seen: both paths really trained, and were compared."""
    (ours,), drawn = engine_path("fedopal_w", PLAIN, PAIR[1:])
    theirs = plain_path("fedopal_w", PLAIN, PAIR[1], drawn, settings={"strength": 0.1001})
    assert difference(ours, theirs) > 1e3 * EXACT


def test_every_method_of_the_plain_path_has_its_file() -> None:
    """A renamed file would otherwise lose its parity test in silence."""
    written = {
        name
        for name, value in vars(reference).items()
        if inspect.isfunction(value) and value.__module__ == reference.__name__ and not name.startswith("_")
    }
    assert len(written) == 23
    assert written <= set(METHODS)


def deviation(name: str, training: TrainingSettings, lanes: Sequence[Lane] = PAIR, **changes: Any) -> float:
    """The largest difference between the engine, all lanes at once, and the plain path, for those of `PAIR`."""
    if not hasattr(reference, name):
        pytest.skip(NO_REFERENCE.format(name))
    found, drawn = engine_path(name, training, lanes, **changes)
    compared = {lane: ours for lane, ours in zip(lanes, found, strict=True) if lane in PAIR}
    return max(difference(ours, plain_path(name, training, lane, drawn, **changes)) for lane, ours in compared.items())


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
) -> tuple[list[list[Result]], "Drawing"]:
    """What every hospital ends with, lane by lane, all lanes trained together by the engine; and what was drawn."""
    lora = LoraSettings(targets=targets, rank=RANK, alpha=ALPHA)
    task = Watched(CLASSES)
    ours = engine(method(name, **(settings or {})), training=training, lora=lora, head=head, task=task)
    state, objectives = ours.start(lanes), []
    for _ in range(ROUNDS):
        state, measured = ours.round(state, lanes)
        objectives.append(measured.objectives)
    state = ours.close(state, lanes)
    holders = [0 if ours.model.method.pooled else k for k in range(len(ours.clients))]
    results = [
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
    return results, Drawing(ours, lanes, task.steps)


class Watched(Classification):
    """The task, which keeps what it is asked to augment: stored images, labels, and what was drawn for them."""

    def __init__(self, classes: Sequence[str]) -> None:
        super().__init__(classes)
        self.steps: list[Drawn] = []

    def augment(
        self, images: Tensor, targets: Tensor, settings: AugmentationSettings, draws: Tensor, dtype: torch.dtype
    ) -> tuple[Tensor, Tensor]:
        """As ever."""
        self.steps.append(Drawn(images.numpy().copy(), targets.numpy().copy(), draws.numpy().copy()))
        return super().augment(images, targets, settings, draws, dtype)


@dataclass(frozen=True)
class Drawing:
    """What one run of the engine drew at random.

    Attributes:
        engine: The engine.
        lanes: Its lanes.
        steps: Every batch, in the order in which they were made: for each step one of each seed.
    """

    engine: Engine
    lanes: Sequence[Lane]
    steps: Sequence[Drawn]

    def data(self, lane: Lane) -> list[Images]:
        """The hospitals, with what was drawn for them in a lane."""
        seeds = list(dict.fromkeys(own.seed for own in self.lanes))
        steps = self.steps[seeds.index(lane.seed) :: len(seeds)]
        found = []
        for own in self.engine.clients:
            images, unseen = own.training.images[:].numpy(), own.validation.images[:].numpy()
            held = {image.tobytes() for image in images}
            theirs = [step for step in steps if self.engine.model.method.pooled or step.images[0].tobytes() in held]
            support = own.support(SUPPORT, torch.float64)
            chosen = support[own.drawn(len(unseen), DRAWN, len(support))]
            stored = (255 * chosen).round().to(torch.uint8).movedim(2, -1).numpy()
            assert {image.tobytes() for image in stored.reshape(-1, *images.shape[1:])} <= held
            labels = own.training.targets.numpy()
            found.append(Images(own.name, images, labels, unseen, stored, iter(theirs)))
        return found

    def initial(self, lane: Lane) -> Callable[[str, int, int], Tensor]:
        """What leaves begin with in a lane."""
        place = self.lanes.index(lane)
        after = [self.engine.fresh(self.lanes, round) for round in range(ROUNDS + 1)]
        return lambda name, k, round: after[round][name][k, place]


def plain_path(
    name: str,
    training: TrainingSettings,
    lane: Lane,
    drawn: Drawing,
    *,
    targets: tuple[str, ...] = ("q", "v"),
    head: str = "shared",
    settings: Mapping[str, Any] | None = None,
) -> list[Result]:
    """What every hospital ends with, by the plain path, one run: of the same initial leaves and batches."""
    setting = Setting(
        vit=(VIT, {**ARGUMENTS, "img_size": SIZE}),
        weights=weights(),
        data=drawn.data(lane),
        classes=len(CLASSES),
        initial=drawn.initial(lane),
        targets=targets,
        rank=RANK,
        alpha=ALPHA,
        rounds=ROUNDS,
        epochs=training.local_epochs,
        batch_size=training.batch_size,
        momentum=training.optimiser.momentum,
        weight_decay=training.optimiser.weight_decay,
        head=head,
        dtype=LEAVES[training.precision],
        frozen=getattr(torch, training.precision),
    )
    run: Callable[..., list[Result]] = getattr(reference, name)
    return run(setting, float(lane.rate), **(settings or {}))


def test_the_plain_path_imports_nothing_of_the_engine() -> None:
    """What both shared, neither would find."""
    for path in Path(reference.__file__).parent.glob("[!t]*.py"):
        assert "benchmark" not in path.read_text(encoding="utf-8"), path


def test_what_begins_a_run_is_drawn_as_peft_and_timm_draw_it() -> None:
    """A is uniform within 1/sqrt(in), with the variance of PEFT's Kaiming draw; B is zero; heads are normal (0.02).

    Of 60 runs, so that a variance is known to a few per cent; and no two runs or adapters begin alike.
    """
    lanes = [Lane("1", seed) for seed in range(60)]
    drawn = engine(method("fedpal")).fresh(lanes, 0)
    for name, leaf in drawn.items():
        values = leaf[0].numpy()
        if name.endswith((".B", "/bias")):
            assert not values.any(), name
            continue
        assert len({own.tobytes() for own in values}) == len(lanes), name
        inputs = values.shape[-1]
        if name.endswith(".A"):
            like = torch.nn.init.kaiming_uniform_(torch.empty(4000, inputs), a=math.sqrt(5)).numpy()
            assert abs(values).max() <= 1 / math.sqrt(inputs)
            assert values.var() == pytest.approx(like.var(), rel=0.05), name
            other = name.replace("global/", "personal/")
            assert name == other or not np.array_equal(values, drawn[other][0].numpy())
        else:
            assert values.std() == pytest.approx(0.02, rel=0.05), name
