"""Methods keep the contract where masks are predicted: by a vision transformer's patches, and by a U-Net.

Methods of every kind are held to all of its rules; the others train for one round on the transformer.
"""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from benchmark.contract.another import once
from benchmark.contract.federation import clients, engine, predictions, train, transformer
from benchmark.contract.rules import RULES, Rule
from benchmark.federation import methods
from benchmark.federation.client import ClientData, Lane, Samples
from benchmark.federation.engine import Engine
from benchmark.method import Method
from benchmark.methods import method_file
from benchmark.models.unet import UNet, build
from benchmark.models.vit import ViT
from benchmark.tasks.segmentation import Segmentation
from tests.federation.small import BRIEF, METHODS, ROOT, SIZE

TASK = Segmentation(("background", "bright"))
BODY = {"channels": 4, "levels": 2, "norm": "batch"}


def masked(samples: Samples) -> Samples:
    """The images, of which the bright pixels are to be told."""
    return replace(samples, targets=(samples.images[:].double().mean(-1) > 110).byte())


def hospitals() -> list[ClientData]:
    """The three of the small federation."""
    return [replace(own, training=masked(own.training), validation=masked(own.validation)) for own in clients()]


def patches(method: Method, own: Sequence[ClientData] | None) -> Engine:
    """LoRA and an upscaler on the small vision transformer."""
    settings = engine(method).model.network.settings  # type: ignore[attr-defined]
    return engine(method, own or hospitals(), task=TASK, network=ViT(transformer(), TASK, settings))


def unet(method: Method, own: Sequence[ClientData] | None) -> Engine:
    """A U-Net with batch normalisation, trained whole."""
    network = UNet(build(BODY), TASK, SIZE)
    return engine(method, own or hospitals(), task=TASK, network=network, trains=("all",))


def whole(name: str) -> bool:
    """Whether a method trains whatever there is: planning refuses the others where a network has no projections."""
    held = methods.load(ROOT / method_file(name), {})
    return {*held.needs, *(held.trains or ())} <= {*UNet.roles}


BUILDS = {"patches": patches, "unet": unet}
KINDS = [
    "fedit",
    "fedper",
    "feddpa_t",
    "fedopal_r",
    "ditto",
    "fedrep",
    "fedex_lora",
    "scaffold",
    "rolora",
    "pooled",
    "iop_fl",
]
"""Methods of every kind: the others differ from these in arithmetic, and hardly in what they ask of a network."""
CASES = [*(("patches", name) for name in KINDS), *(("unet", name) for name in KINDS if whole(name))]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name.replace(" ", "_"))
@pytest.mark.parametrize(("build", "name"), CASES)
def test_a_method_keeps_the_contract(build: str, name: str, rule: Rule) -> None:
    """All rules of the contract, as where classes are predicted."""
    remark = rule.run(once(name, BUILDS[build], **BRIEF.get(name, {})))
    if remark is not None:
        assert remark.word == "skipped", remark.text
        pytest.skip(remark.text)


@pytest.mark.parametrize("name", [name for name in METHODS if name not in KINDS])
def test_every_other_method_trains_and_predicts_masks(name: str) -> None:
    """One round at one rate, with the passes that close a training: it changes what every hospital predicts."""
    ours, lanes = patches(methods.load(ROOT / method_file(name), BRIEF.get(name, {})), None), [Lane("1e-1", 0)]
    untrained = predictions(ours, ours.start(lanes))
    for own, before, after in zip(ours.clients, untrained, predictions(ours, train(ours, lanes, 1)), strict=True):
        assert after.shape == (1, len(own.validation), len(TASK.classes), SIZE, SIZE)
        assert after.isfinite().all()
        assert not after.allclose(before), own.name


def test_the_kinds_are_methods_that_there_are() -> None:
    """Of which a transformer trains all."""
    assert {*KINDS} < {*METHODS}


def test_most_methods_train_a_unet() -> None:
    """Those that mean nothing without adapters do not."""
    trained = {name for name in METHODS if whole(name)}
    assert {"fedit", "ditto", "fedper", "fedprox", "scaffold", "apfl", "local", "pooled"} <= trained
    assert not {"fedsa_lora", "flora"} & trained
