"""Weights from timm's hub, through timm's and the hub's own code, against a server on this machine."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors.torch import load_file, save

from benchmark.config import BackboneSettings
from tests.data.server import Request, Server, running
from tests.federation.small import ROOT

NAME = "vit_tiny_patch16_224.augreg_in21k"
ARGUMENTS: dict[str, Any] = {"patch_size": 32, "embed_dim": 48, "depth": 2, "num_heads": 3}


def hub(server: Server, content: bytes, file: str) -> None:
    """What the hub answers for one file of a repository."""

    def answer(request: Request) -> None:
        request.send_response(200)
        request.send_header("Content-Length", str(len(content)))
        request.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        request.send_header("X-Repo-Commit", "1" * 40)
        request.end_headers()
        if request.command == "GET":
            request.wfile.write(content)

    server.answers[f"/timm/{NAME}/resolve/main/{file}"] = answer


def fetch(server: Server, tmp_path: Path, output: str) -> subprocess.CompletedProcess[str]:
    """Run the job in a process of its own: the hub's address is read when its client is imported."""
    settings = BackboneSettings(name=NAME, weights="hub", arguments=ARGUMENTS).model_dump_json()
    command = [sys.executable, "-m", "benchmark.models.fetch", "--settings", settings]
    environment = {**os.environ, "HF_ENDPOINT": server.address(""), "HF_HOME": str(tmp_path / "hub")}
    return subprocess.run(
        [*command, "--output", str(tmp_path / output)], cwd=ROOT, env=environment, capture_output=True, text=True
    )


def test_weights_are_fetched_once(tmp_path: Path) -> None:
    """They arrive to the bit, their hash is noted, and a later run needs no network."""
    torch.manual_seed(0)
    state = timm.create_model(NAME, num_classes=21843, **ARGUMENTS).state_dict()
    with running() as server:
        hub(server, save(state), "model.safetensors")
        done = fetch(server, tmp_path, "first")
        assert done.returncode == 0, done.stderr
        asked = len(server.asked)
        assert asked > 0
    stored = load_file(tmp_path / "first" / "model.safetensors")
    assert stored.keys() == {name for name in state if not name.startswith("head.")}
    assert all(torch.equal(stored[name], state[name]) for name in stored)
    about = json.loads((tmp_path / "first" / "backbone.json").read_text())
    assert about["origin"] == {"weights": "hub", "source": f"timm/{NAME}"}
    content = (tmp_path / "first" / "model.safetensors").read_bytes()
    assert about["sha256"] == hashlib.sha256(content).hexdigest()
    again = fetch(server, tmp_path, "second")
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "second" / "model.safetensors").read_bytes() == content


def test_hub_that_has_no_such_weights(tmp_path: Path) -> None:
    with running() as server:
        done = fetch(server, tmp_path, "out")
    assert done.returncode == 1
    assert f"backbone.weights: could not fetch {NAME} from timm's hub" in done.stderr.splitlines()[-1]
    assert not (tmp_path / "out").exists()
