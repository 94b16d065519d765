"""Deployed adapters load with Hugging Face PEFT and predict what the client predicts."""

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from peft import PeftModel

from benchmark.data.augmentation import to_float
from benchmark.federation.client import Lane
from benchmark.settings import LoraSettings
from tests.federation.small import ARGUMENTS, CLASSES, SIZE, VIT, engine, method, predictions, train, weights

LANE = (Lane("1e-1", 0),)


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("fedit", {}),
        ("fedopal_w", {}),
        ("feddpa_f", {"instance_wise": False, "weight": 0.3}),
        ("apfl", {}),
        ("ditto", {}),
        ("flora", {}),
        ("head_personal", {}),
    ],
)
@pytest.mark.parametrize("targets", [("q", "v"), ("qkv", "proj"), ("q", "k", "v", "proj", "fc1", "fc2")], ids="-".join)
def test_peft_loads_what_is_deployed(
    tmp_path: Path, name: str, settings: dict[str, Any], targets: tuple[str, ...]
) -> None:
    """Adapters, heads and offsets; equal weights or learned; thirds of the fused projection or all: the same logits."""
    ours = engine(method(name, **settings), lora=LoraSettings(targets=targets, rank=3, alpha=5.0))
    state = train(ours, LANE, 2)
    for k in (0, 2):
        leaves = {leaf: value[0] for leaf, value in ours.deployed(state)[k].items()}
        ours.model.network.export(tmp_path / str(k), leaves, *ours.model.parted(ours.model.method.mix(leaves)))
        vit = timm.create_model(VIT, num_classes=len(CLASSES), img_size=SIZE, **ARGUMENTS)
        vit.load_state_dict(weights(), strict=False)
        loaded = PeftModel.from_pretrained(vit, tmp_path / str(k)).double().eval()
        images = to_float(ours.clients[k].validation.images[:], torch.float64)
        with torch.no_grad():
            found = loaded((images - 0.5) / 0.5)
        assert (found - predictions(ours, state)[k][0]).abs().max() < 1e-5  # PEFT loads float32.
