"""What is deployed can be used without this project."""

import json
import tempfile
from pathlib import Path

import timm
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from benchmark.contract.fault import ContractError, Remark
from benchmark.contract.federation import ARGUMENTS, SIZE, VIT, predictions, weights
from benchmark.contract.trial import Trial
from benchmark.data.augmentation import to_float
from benchmark.method import Leaves, Method, Mix
from benchmark.models.heads import HEADS, weighted
from benchmark.models.vit import ViT

SINGLE = 1e-4
"""PEFT loads float32: how far logits of order one may be apart."""


def peft_loads_what_is_deployed(trial: Trial) -> Remark | None:
    """The last client's adapters, written in PEFT's format and loaded into timm's model, predict what it predicts."""
    from peft import PeftModel  # Imported where it is needed: that takes seconds.

    engine, state = trial.engine, trial.trained.closed
    network = engine.model.network
    if not isinstance(network, ViT):
        return Remark("skipped", "what this network exports is no adapter of PEFT's")
    if type(engine.model.method).predict is not Method.predict:
        return Remark("skipped", "`predict` is the method's own: what is exported predicts with the weights of `mix`")
    k, lane = len(engine.clients) - 1, 0
    leaves = {name: leaf[lane] for name, leaf in engine.deployed(state)[k].items()}
    vit = timm.create_model(VIT, num_classes=engine.model.task.outputs, img_size=SIZE, **ARGUMENTS)
    vit.load_state_dict(weights(), strict=False)
    with tempfile.TemporaryDirectory() as folder:
        network.export(Path(folder), leaves, *engine.model.parted(engine.model.method.mix(leaves)))
        if (dense := Path(folder) / "weights.safetensors").is_file():
            vit.load_state_dict(load_file(dense), strict=False)
        loaded = PeftModel.from_pretrained(vit, folder).double().eval()
        beside = Path(folder) / HEADS
        heads = _read(beside) if beside.is_file() else None
    images = to_float(engine.clients[k].validation.images[:], torch.float64)
    with torch.no_grad():
        found = (images - 0.5) / 0.5
        if heads is None:
            found = loaded(found)
        else:
            tokens = loaded.get_base_model().forward_features(found)[:, vit.num_prefix_tokens :]
            grid = tokens.unflatten(1, vit.patch_embed.grid_size)
            found = weighted(lambda name: network.head(heads[0], name, grid), heads[1])
    distance = float((found - predictions(engine, state.lane(lane))[k][0]).abs().max())
    if not distance < SINGLE:
        raise ContractError(
            f"{trial.place('mix', 'deployed')}: with PEFT, the leaves of client {engine.clients[k].name} predict "
            f"logits that differ by {distance:.1e}; expected the same: deployed leaves with the weights of `mix` are "
            "all that a client predicts with"
        )
    return None


def _read(path: Path) -> tuple[Leaves, Mix]:
    """Heads that are written beside PEFT's files, and the weight of each."""
    with safe_open(path, framework="pt") as stream:
        leaves = {name: stream.get_tensor(name).double() for name in stream.keys()}  # noqa: SIM118
        return leaves, json.loads(stream.metadata()["weights"])
