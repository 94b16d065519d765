"""SAM's rows, and the other methods on SAM's leaves, keep the contract; what the rows train and send is the paper's."""

from collections.abc import Sequence

import pytest

from benchmark.contract.another import once
from benchmark.contract.federation import engine
from benchmark.contract.rules import RULES, Rule
from benchmark.federation.client import ClientData
from benchmark.federation.engine import Engine
from benchmark.method import Method
from benchmark.methods import discovered
from benchmark.models import sam
from benchmark.models.sam import Sam
from benchmark.models.sam_pretrain import random
from benchmark.settings import LoraSettings
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
