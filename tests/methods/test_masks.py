"""Every method keeps the contract where masks are predicted: by a vision transformer's patches, and by a U-Net."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from benchmark.contract.another import once
from benchmark.contract.federation import clients, engine, transformer
from benchmark.contract.rules import RULES, Rule
from benchmark.federation import methods
from benchmark.federation.client import ClientData, Samples
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
"""Methods of every kind: the others differ from these in arithmetic, and not in what they ask of a network."""
CASES = [*(("patches", name) for name in KINDS), *(("unet", name) for name in KINDS if whole(name))]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name.replace(" ", "_"))
@pytest.mark.parametrize(("build", "name"), CASES)
def test_a_method_keeps_the_contract(build: str, name: str, rule: Rule) -> None:
    """All rules of the contract, as where classes are predicted."""
    remark = rule.run(once(name, BUILDS[build], **BRIEF.get(name, {})))
    if remark is not None:
        assert remark.word == "skipped", remark.text
        pytest.skip(remark.text)


def test_most_methods_train_a_unet() -> None:
    """Those that mean nothing without adapters do not."""
    trained = {name for name in METHODS if whole(name)}
    assert {"fedit", "ditto", "fedper", "fedprox", "scaffold", "apfl", "local", "pooled"} <= trained
    assert not {"fedsa_lora", "flora"} & trained
