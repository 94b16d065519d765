"""SAM's rows, and the other methods on SAM's leaves, keep the contract; what the rows train and send is the paper's."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmark.contract.another import once
from benchmark.contract.federation import engine
from benchmark.contract.rules import RULES, Rule
from benchmark.federation import engine as engine_module
from benchmark.federation.client import ClientData, Lane
from benchmark.federation.engine import Engine, State, Validated
from benchmark.federation.methods import load
from benchmark.method import Method
from benchmark.methods import discovered
from benchmark.models import sam
from benchmark.models.sam import Sam
from benchmark.models.sam_pretrain import random
from benchmark.settings import AugmentationSettings, LoraSettings
from tests.federation.small import SIZE
from tests.methods.test_masks import TASK, hospitals

SMALL = {
    "encoder_width": 8,
    "encoder_depth": 2,
    "encoder_heads": 2,
    "global_every": 2,
    "window": 2,
    "width": 64,
    "decoder_mlp": 8,
    "decoder_heads": 2,
}
OTHERS = ["feddpa_t", "fedopal_r", "fedrep", "scaffold", "fedex_lora"]
"""Methods of `config/flap_sam.yaml` beside SAM's own that differ most in what they train, keep and send."""


def build(method: Method, own: Sequence[ClientData] | None) -> Engine:
    """A small SAM with drawn weights. The same function for all methods, so that what they are compared with is too."""
    body, head = sam.build("sam_tiny", SMALL, TASK.outputs, SIZE)
    network = Sam(
        body, head, sam.fill(body, random("sam_tiny", SMALL, seed=0)), LoraSettings(targets=["q", "v"], rank=2, alpha=2)
    )
    return engine(method, own or hospitals(), task=TASK, network=network)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name.replace(" ", "_"))
@pytest.mark.parametrize("name", [*discovered().groups["sam"], *OTHERS])
def test_a_method_keeps_the_contract(name: str, rule: Rule) -> None:
    """All rules of the contract, as where classes are predicted."""
    remark = rule.run(once(name, build))
    if remark is not None:
        assert remark.word == "skipped", remark.text
        pytest.skip(remark.text)


# What the frozen encoder makes of images is computed once.


@pytest.mark.parametrize(
    ("name", "change", "trained", "validated"),
    [
        ("sam_head", {}, True, True),
        ("sam_decoder", {}, True, True),
        ("sam_head", {"flip": True}, False, True),
        ("sam_lora", {}, False, False),
        ("sam_attention", {}, False, False),
        ("sam_full", {}, False, False),
    ],
)
def test_images_are_encoded_once_where_neither_they_nor_the_encoder_change(
    name: str, change: dict[str, Any], trained: bool, validated: bool
) -> None:
    """A run from what was encoded is one from the images; the encoder looks again at those alone that change."""
    still = AugmentationSettings(**{"flip": False, "rotate": False, "brightness": 0, "contrast": 0, **change})
    method, lanes, clients = load(Path(discovered().files[name]), {}), [Lane("0.01", 0), Lane("0.1", 0)], hospitals()

    def run() -> tuple[int, State, Sequence[Validated]]:
        """Images that the encoder looks at in the second round, and what comes of both rounds."""
        ours, seen = replace(build(method, clients), augmentation=still), list[int]()
        state, _ = ours.round(ours.start(lanes), lanes)
        ours.validate(state)
        network: Any = ours.model.network
        network.body.vision_encoder.register_forward_hook(lambda _, __, grid: seen.append(len(grid)))
        state, _ = ours.round(state, lanes)
        measured = ours.validated(state)
        return sum(seen), state, measured

    again, state, measured = run()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine_module, "ENCODED", 0)
        everything, of_images, expected = run()
    kinds = {"training": trained, "validation": validated}
    counts = {kind: sum(len(getattr(client, kind)) for client in clients) for kind in kinds}
    assert everything == sum(counts.values())
    assert again == sum(counts[kind] for kind, once in kinds.items() if not once)
    for leaf, own in of_images.params.items():
        torch.testing.assert_close(state.params[leaf], own, rtol=1e-9, atol=1e-9)
    for one, other in zip(measured, expected, strict=True):
        torch.testing.assert_close(one.metrics["loss"], other.metrics["loss"], rtol=1e-9, atol=1e-9)
