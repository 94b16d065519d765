"""The job that turns pretrained weights into one file."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

from benchmark.job import run
from benchmark.models import fetch as module
from benchmark.models.vit import build
from benchmark.settings import BackboneSettings
from tests.federation.small import ROOT
from tests.models.small import features, loaded

NAME = "vit_tiny_patch16_224"
ARGUMENTS: dict[str, Any] = {"patch_size": 32, "embed_dim": 48, "depth": 2, "num_heads": 3}
SHARED_DATA = Path(os.environ.get("BENCHMARK_SHARED_DATA", ROOT.parent / "shared" / "data"))
PRETRAINED = SHARED_DATA / "vit_tiny_patch16_224.safetensors"


def fetch(weights: Path, output: Path, name: str = NAME, arguments: dict[str, Any] | None = None) -> int:
    """Run the job on a file."""
    arguments = ARGUMENTS if arguments is None else arguments
    settings = BackboneSettings(name=name, weights=str(weights), arguments=arguments)
    return run(module.fetch, ["--settings", settings.model_dump_json(), "--output", str(output)])


def checkpoint(path: Path, **changes: Any) -> dict[str, torch.Tensor]:
    """A checkpoint of a small model with a classifier of seven classes."""
    torch.manual_seed(0)
    vit = timm.create_model(NAME, num_classes=7, **{**ARGUMENTS, **changes})
    state = {name: tensor.clone() for name, tensor in vit.state_dict().items()}
    if path.suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save(state, path)
    return state


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_file_becomes_the_backbone_without_its_classifier(tmp_path: Path, suffix: str) -> None:
    """Every other weight is there, to the bit, and the description says where it is from."""
    state = checkpoint(tmp_path / f"mine{suffix}")
    assert fetch(tmp_path / f"mine{suffix}", tmp_path / "out") == 0
    stored = load_file(tmp_path / "out" / "model.safetensors")
    expected = {name: tensor for name, tensor in state.items() if not name.startswith("head.")}
    assert stored.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(stored[name], tensor), name
    about = json.loads((tmp_path / "out" / "backbone.json").read_text())
    assert about["origin"]["source"] == f"mine{suffix}"
    assert about["parameters"] == sum(tensor.numel() for tensor in expected.values())
    assert loaded(tmp_path / "out" / "model.safetensors", NAME, ARGUMENTS, 224).head.inputs == 48


def _missing(path: Path) -> None:
    pass


def _garbage(path: Path) -> None:
    path.write_bytes(b"this is no checkpoint " * 20)


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _smaller(path: Path) -> None:
    checkpoint(path, depth=1)


def _wider(path: Path) -> None:
    checkpoint(path, embed_dim=96)


@pytest.mark.parametrize("fault", [_missing, _garbage, _empty, _smaller, _wider])
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_wrong_file_is_an_error_of_one_line(
    tmp_path: Path, suffix: str, fault: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """It names the file, the exit status says failure, and nothing is written."""
    path = tmp_path / f"wrong{suffix}"
    fault(path)
    assert fetch(path, tmp_path / "out") == 1
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert str(path) in message
    assert not (tmp_path / "out" / "model.safetensors").exists()


@pytest.mark.skipif(not PRETRAINED.is_file(), reason="no pretrained ViT-Tiny: set BENCHMARK_SHARED_DATA to its folder")
def test_the_pretrained_vit_tiny_loads(tmp_path: Path) -> None:
    """All weights of the paper's backbone, and the features of timm's own loading, at the native size."""
    name = "vit_tiny_patch16_224.augreg_in21k"
    assert fetch(PRETRAINED, tmp_path, name, {}) == 0
    ours = loaded(tmp_path / "model.safetensors", name, {}, 224)
    about = json.loads((tmp_path / "backbone.json").read_text())
    assert about["parameters"] == sum(p.numel() for p in build(name, {}, 224).parameters())
    plain = timm.create_model(name, pretrained=False, num_classes=0).eval()
    plain.load_state_dict(load_file(PRETRAINED), strict=False)
    images = torch.rand(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found, expected = features(ours, images, {}, {})[0], plain((images - 0.5) / 0.5)
    assert (found - expected).abs().max() < 1e-4 * expected.abs().max()
