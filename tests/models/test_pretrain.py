"""The project's own weights: the committed file, and the command that made it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from benchmark.data.drawn_source import SHAPES, TEXTURES, draw_source
from benchmark.files import read_json
from benchmark.job import run
from benchmark.models import fetch as module
from benchmark.models.pretrain import pretrain
from benchmark.models.vit_weights import DRAWN, DRAWN_ARGUMENTS, DRAWN_NAME, DRAWN_SIZE
from benchmark.settings import BackboneSettings
from tests.models.small import features, loaded


def about(path: Path) -> dict[str, Any]:
    """What a file of weights says of its training."""
    with safe_open(path, "pt") as opened:
        found: dict[str, Any] = json.loads(opened.metadata()["about"])
    return found


def fetched(folder: Path, **changes: Any) -> int:
    """Run the job that brings the weights."""
    settings = BackboneSettings(**{"name": DRAWN_NAME, "weights": "drawn", "arguments": DRAWN_ARGUMENTS, **changes})
    return run(module.fetch, ["--settings", settings.model_dump_json(), "--output", str(folder)])


def test_the_command_makes_such_a_file_again(tmp_path: Path) -> None:
    """Smaller, twice: the same bytes on one machine, the committed file's tensors, and its metadata."""
    state = torch.get_rng_state()
    for name in ("once", "again"):
        pretrain(tmp_path / name, images=40, epochs=1, batch_size=20)
    assert torch.equal(state, torch.get_rng_state())
    assert (tmp_path / "once").read_bytes() == (tmp_path / "again").read_bytes()
    made, kept = load_file(tmp_path / "once"), load_file(DRAWN)
    assert {name: tensor.shape for name, tensor in made.items()} == {n: tensor.shape for n, tensor in kept.items()}
    assert {tensor.dtype for tensor in kept.values()} == {torch.float16}
    assert about(tmp_path / "once").keys() == about(DRAWN).keys()
    assert about(tmp_path / "once")["training"] == {
        **about(DRAWN)["training"],
        "images": 40,
        "epochs": 1,
        "batch_size": 20,
    }


def test_the_file_becomes_the_backbone(tmp_path: Path) -> None:
    """In float32, every value exactly, and named by its hash; it is small enough for a repository."""
    assert fetched(tmp_path) == 0
    stored, kept = load_file(tmp_path / "model.safetensors"), load_file(DRAWN)
    assert stored.keys() == kept.keys()
    assert all(torch.equal(stored[name], kept[name].float()) for name in kept)
    assert read_json(tmp_path / "backbone.json")["origin"]["source"] == "drawn.safetensors"
    assert DRAWN.stat().st_size < 2**20


def test_another_transformer_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert fetched(tmp_path, arguments={**DRAWN_ARGUMENTS, "depth": 2}) == 1
    message = capsys.readouterr().err
    assert "`drawn` is a vit_tiny_patch16_224 of" in message
    assert "set `name` and `arguments` so, or name a file" in message


def test_its_features_tell_drawn_shapes_and_textures_apart(tmp_path: Path) -> None:
    """Pictures that it was not trained on, by the nearest mean of each class: chance is one in twenty."""
    assert fetched(tmp_path) == 0
    vit = loaded(tmp_path / "model.safetensors", DRAWN_NAME, DRAWN_ARGUMENTS, DRAWN_SIZE)
    pictures, labels = draw_source(1200, DRAWN_SIZE, 1)
    with torch.no_grad():
        images = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255
        found = features(vit, images, {}, {})[0].numpy()
    found = (found - found.mean(0)) / found.std(0)
    means = np.stack([found[:800][labels[:800] == label].mean(0) for label in range(SHAPES * TEXTURES)])
    nearest = np.square(found[800:, None] - means).sum(-1).argmin(1)
    assert (nearest == labels[800:]).mean() > 0.15
