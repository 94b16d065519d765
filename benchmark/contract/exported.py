"""What is deployed can be used without this project."""

import tempfile
from pathlib import Path

import timm
import torch

from benchmark.contract.fault import ContractError, Remark
from benchmark.contract.federation import ARGUMENTS, SIZE, VIT, predictions, weights
from benchmark.contract.trial import Trial
from benchmark.data.augmentation import to_float
from benchmark.method import Method
from benchmark.models.vit import ViT

SINGLE = 1e-4
"""PEFT loads float32: how far logits of order one may be apart."""


def peft_loads_what_is_deployed(trial: Trial) -> Remark | None:
    """The last client's adapters, written in PEFT's format and loaded into timm's model, predict what it predicts."""
    from peft import PeftModel  # Imported where it is needed: that takes seconds.

    engine, state = trial.engine, trial.trained.closed
    if not isinstance(engine.model.network, ViT):
        return Remark("skipped", "what this network exports is no adapter of PEFT's")
    if type(engine.model.method).predict is not Method.predict:
        return Remark("skipped", "`predict` is the method's own: what is exported predicts with the weights of `mix`")
    k, lane = len(engine.clients) - 1, 0
    leaves = {name: leaf[lane] for name, leaf in engine.deployed(state)[k].items()}
    vit = timm.create_model(VIT, num_classes=engine.model.task.outputs, img_size=SIZE, **ARGUMENTS)
    vit.load_state_dict(weights(), strict=False)
    with tempfile.TemporaryDirectory() as folder:
        engine.model.network.export(Path(folder), leaves, *engine.model.parted(engine.model.method.mix(leaves)))
        loaded = PeftModel.from_pretrained(vit, folder).double().eval()
    images = to_float(engine.clients[k].validation.images[:], torch.float64)
    with torch.no_grad():
        found = loaded((images - 0.5) / 0.5)
    distance = float((found - predictions(engine, state.lane(lane))[k][0]).abs().max())
    if not distance < SINGLE:
        raise ContractError(
            f"{trial.place('mix', 'deployed')}: with PEFT, the leaves of client {engine.clients[k].name} predict "
            f"logits that differ by {distance:.1e}; expected the same: deployed leaves with the weights of `mix` are "
            "all that a client predicts with"
        )
    return None
