"""Weights from timm's hub, through timm's and the hub's own code, against a server on this machine."""

import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import load_file, save

from benchmark.config import ConfigError, parse
from benchmark.models.vit_weights import REVISIONS
from benchmark.plan import Plan
from benchmark.settings import BackboneSettings
from tests.data.server import Server, running
from tests.models.hub import COMMIT, fetched, hub

NAME = "vit_tiny_patch16_224.augreg_in21k"
OTHER = "vit_tiny_patch16_224.augreg_in21k_ft_in1k"
ASKED = "2b" * 20
ARGUMENTS: dict[str, Any] = {"patch_size": 32, "embed_dim": 48, "depth": 2, "num_heads": 3}


def fetch(
    server: Server, tmp_path: Path, output: str, name: str = NAME, revision: str = ""
) -> subprocess.CompletedProcess[str]:
    settings = BackboneSettings(name=name, weights="hub", arguments=ARGUMENTS, revision=revision)
    return fetched(server, tmp_path, output, settings)


def test_weights_are_fetched_once(tmp_path: Path) -> None:
    """They arrive to the bit from the known revision, their hash is noted, and a later run needs no network."""
    torch.manual_seed(0)
    state = timm.create_model(NAME, num_classes=21843, **ARGUMENTS).state_dict()
    torch.save(state, tmp_path / "weights.bin")
    with running() as server:
        hub(server, f"timm/{NAME}", REVISIONS[NAME], {"pytorch_model.bin": (tmp_path / "weights.bin").read_bytes()})
        done = fetch(server, tmp_path, "first")
        assert done.returncode == 0, done.stderr
        asked = len(server.asked)
        assert asked > 0
    stored = load_file(tmp_path / "first" / "model.safetensors")
    assert stored.keys() == {name for name in state if not name.startswith("head.")}
    assert all(torch.equal(stored[name], state[name]) for name in stored)
    about = json.loads((tmp_path / "first" / "backbone.json").read_text())
    assert about["origin"] == {"weights": "hub", "source": f"timm/{NAME}", "revision": REVISIONS[NAME]}
    content = (tmp_path / "first" / "model.safetensors").read_bytes()
    assert about["sha256"] == hashlib.sha256(content).hexdigest()
    again = fetch(server, tmp_path, "second")
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "second" / "model.safetensors").read_bytes() == content


def test_the_revision_of_other_weights_is_noted(tmp_path: Path) -> None:
    """No revision is known of them, so the newest is taken."""
    state = timm.create_model(OTHER, num_classes=1000, **ARGUMENTS).state_dict()
    with running() as server:
        hub(server, f"timm/{OTHER}", "main", {"model.safetensors": save(state)})
        done = fetch(server, tmp_path, "out", OTHER)
    assert done.returncode == 0, done.stderr
    about = json.loads((tmp_path / "out" / "backbone.json").read_text())
    assert about["origin"] == {"weights": "hub", "source": f"timm/{OTHER}", "revision": COMMIT}


@pytest.mark.parametrize("name", [NAME, OTHER])
def test_a_revision_is_fetched_that_is_asked_for(tmp_path: Path, name: str) -> None:
    """Whatever is newest meanwhile, and whether the project knows another one; it is noted."""
    states = []
    with running() as server:
        for seed, revision in enumerate(("main", REVISIONS[NAME], ASKED)):
            torch.manual_seed(seed)
            states.append(timm.create_model(name, num_classes=10, **ARGUMENTS).state_dict())
            hub(server, f"timm/{name}", revision, {"model.safetensors": save(states[-1])})
        done = fetch(server, tmp_path, "out", name, ASKED)
    assert done.returncode == 0, done.stderr
    stored = load_file(tmp_path / "out" / "model.safetensors")
    assert all(torch.equal(stored[leaf], states[-1][leaf]) for leaf in stored)
    about = json.loads((tmp_path / "out" / "backbone.json").read_text())
    assert about["origin"] == {"weights": "hub", "source": f"timm/{name}", "revision": ASKED}


def test_a_revision_is_part_of_what_is_fetched() -> None:
    """Another one is another backbone, and trains the same row with other weights."""
    values = {"name": "x", "federations": {"toy_lesions": {}}, "rates": ["1e-3"], "rounds": 1}
    plain, asked = (Plan.of({**values, "backbone": {"weights": "hub", **own}}) for own in ({}, {"revision": ASKED}))
    assert plain.backbone != asked.backbone
    assert json.loads(plain.fetching())["revision"] == ""
    assert json.loads(asked.fetching())["revision"] == ASKED
    assert plain.training("toy_lesions", "fedit") == asked.training("toy_lesions", "fedit")


@pytest.mark.parametrize(
    ("backbone", "said"),
    [
        ({"revision": "main"}, "backbone.revision: a revision is a commit in full, 40 digits from 0-9 and a-f"),
        ({"revision": 11}, "(got 11)"),
        ({"weights": "drawn", "revision": ASKED}, "and these are of `vit` from `drawn`: leave it out, or set"),
        ({"network": "sam", "name": "sam_vit_base", "revision": ASKED}, "these are of `sam` from `hub`"),
    ],
)
def test_a_revision_that_decides_nothing_is_refused(backbone: dict[str, Any], said: str) -> None:
    values = {"name": "x", "federations": {"toy_lesions": {}}, "rates": ["1e-3"], "rounds": 1, "backbone": backbone}
    with pytest.raises(ConfigError) as caught:
        parse(values, "x.yaml")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_hub_that_has_no_such_weights(tmp_path: Path) -> None:
    with running() as server:
        done = fetch(server, tmp_path, "out")
    assert done.returncode == 1
    assert f"backbone.weights: could not fetch {NAME} from timm's hub" in done.stderr.splitlines()[-1]
    assert not (tmp_path / "out").exists()
