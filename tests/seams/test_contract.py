"""Methods keep their contract on a task and a network that nothing else in the project knows."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from benchmark.adaptation import COMMON
from benchmark.contract.another import once
from benchmark.contract.federation import clients, engine, transformer
from benchmark.contract.rules import RULES, Rule
from benchmark.evaluation.outside import predict
from benchmark.evaluation.serving import Pictures
from benchmark.federation import methods
from benchmark.federation.adapting import Bank, Mixture
from benchmark.federation.client import ClientData, Lane
from benchmark.federation.engine import Engine
from benchmark.federation.job import _check_passes
from benchmark.method import Method
from benchmark.methods import method_file
from benchmark.models.network import Network
from benchmark.models.vit import ViT
from benchmark.tasks.classification import Classification
from tests.federation.small import BRIEF, CLASSES, METHODS, ROOT, TRAINING
from tests.seams.brightness import Brightness
from tests.seams.convnet import ConvNet, build

FREE = [
    name
    for name, method in ((name, methods.load(ROOT / method_file(name), {})) for name in METHODS)
    if {*method.needs, *(method.trains or ())} <= {*ConvNet.roles} and name != "sam_full"
]
"""Methods that train whatever there is; where all is trained, `sam_full` is FedIT, and no method of its own."""


def hospitals() -> list[ClientData]:
    """The three of the small federation, who know how bright their images are."""
    return [
        replace(
            own,
            **{
                kind: replace(held, targets=held.images[:].double().mean((1, 2, 3)) / 255)
                for kind, held in (("training", own.training), ("validation", own.validation))
            },
        )
        for own in clients()
    ]


def with_weights(task: Classification | Brightness) -> Network:
    """The convolutional network with the weights that it fetches."""
    body = build()
    body.load_state_dict(ConvNet.fetch(None)[0], strict=False)  # type: ignore[arg-type]
    return ConvNet(task, body)


def bright_transformer(method: Method, own: Sequence[ClientData] | None) -> Engine:
    """The new task on the vision transformer."""
    task = Brightness(())
    return engine(method, own or hospitals(), task=task, network=ViT(transformer(), task, LORA))


def convolutional(method: Method, own: Sequence[ClientData] | None) -> Engine:
    """Classification on the new network, trained whole."""
    task = Classification(CLASSES)
    return engine(method, own, task=task, network=with_weights(task), trains=("all",))


def both(method: Method, own: Sequence[ClientData] | None) -> Engine:
    """The new task on the new network, trained whole."""
    task = Brightness(())
    return engine(method, own or hospitals(), task=task, network=with_weights(task), trains=("all",))


LORA = engine(methods.load(ROOT / method_file("fedit"), {})).model.network.settings  # type: ignore[attr-defined]
BUILDS = {"new_task": bright_transformer, "new_network": convolutional, "both": both}
CASES = [
    *(("new_task", name) for name in ("fedit", "fedopal_r", "flora", "feddpa_f", "apfl")),
    *(("new_network", name) for name in FREE),
    *(("both", name) for name in ("fedit", "ditto")),
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name.replace(" ", "_"))
@pytest.mark.parametrize(("build", "name"), CASES)
def test_a_method_keeps_the_contract(build: str, name: str, rule: Rule) -> None:
    """All rules of the contract, as on the task and the network of the published rows."""
    remark = rule.run(once(name, BUILDS[build], **BRIEF.get(name, {})))
    if remark is not None:
        assert remark.word == "skipped", remark.text
        pytest.skip(remark.text)


def test_both_kinds_of_methods_are_there() -> None:
    """Those that need adapters, and those that train whatever there is."""
    assert {"fedit", "ditto", "fedpal", "local", "pooled"} <= set(FREE)
    assert not {"fedsa_lora", "fedopal_w", "flora", "feddpa_t"} & set(FREE)


def test_less_error_is_better_and_is_what_is_measured() -> None:
    """The validation score is the mean absolute error, by NumPy; and training lessens it."""
    ours = both(methods.load(ROOT / method_file("fedit"), {}), None)

    lanes = [Lane("3e-1", 0)]
    state = ours.start(lanes)
    before = [float(own["mean_absolute_error"][0]) for own in ours.validate(state)]
    for _ in range(6):
        state, _ = ours.round(state, lanes)
    after = [float(own["mean_absolute_error"][0]) for own in ours.validate(state)]
    assert np.mean(after) < np.mean(before)
    for own, params, error in zip(ours.clients, ours.deployed(state), after, strict=True):
        found = torch.cat([p for _, p in ours.predictions(own, own.validation.images, params)], 1)[0, :, 0]
        assert error == pytest.approx(float((found - own.validation.targets).abs().mean()), abs=1e-12)
    assert TRAINING.precision == "float64"


def test_a_task_without_classes_is_tested_outside_and_nothing_is_said_to_be_decided() -> None:
    """The error of every image of a hospital, by NumPy; neither entropy nor shares of classes."""
    everybody = hospitals()
    ours = both(methods.load(ROOT / method_file("fedit"), {}), everybody[:2])
    lanes, held = [Lane("3e-1", 0)], everybody[2].training
    state, _ = ours.round(ours.start(lanes), lanes)
    mixture = Mixture.of(ours.model, Bank.of(ours, state), {COMMON: 1.0})
    table = pd.DataFrame({"case": [str(n) for n in range(len(held.images))]})
    found = predict(mixture, Pictures(held.images, table, {}), held.targets, 3, np.zeros(len(table), dtype=np.bool_))
    predicted = torch.cat([own for _, own in mixture.predictions(held.images)])[:, 0]
    np.testing.assert_allclose(found.worth.counts[:, 0, 0], (predicted - held.targets).abs().numpy(), atol=1e-12)
    assert ours.model.task.decided(predicted[:, None]) is None
    assert (found.entropy, found.shares) == (None, None)


def test_a_pass_that_trains_nothing_is_refused_before_anything_is_trained() -> None:
    """FedRep's second pass trains what stands below the head: with the head alone there is nothing."""
    alone = engine(methods.load(ROOT / method_file("fedrep"), {}), trains=("head",)).model
    with pytest.raises(ValueError, match="FedRep has a pass that trains nothing, since what is trained is head: add"):
        _check_passes(alone)
    for name in ("fedrep", "ditto", "fedit"):
        _check_passes(engine(methods.load(ROOT / method_file(name), {})).model)


def test_what_has_no_leaves_is_copied_as_nothing() -> None:
    """Ditto's personal adapter begins as the global one; where the head alone is trained, neither has a leaf."""
    ours = engine(methods.load(ROOT / method_file("ditto"), {}), trains=("head",))
    state, _ = ours.round(ours.start([Lane("1e-1", 0)]), [Lane("1e-1", 0)])
    assert set(state.params) == {"head/weight", "head/bias", "personal_head/weight", "personal_head/bias"}
