"""SAM's weights from the hub, through the hub's own code, against a server on this machine."""

import hashlib
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save
from torch import Tensor
from transformers import SamModel

from benchmark.models import sam, sam_weights
from benchmark.settings import BackboneSettings
from tests.data.server import Server, running
from tests.models.hub import fetched, hub

NAME = "sam_vit_base"
REPOSITORY, REVISION = sam.VARIANTS[NAME].hub or ("", "")
SMALL: dict[str, Any] = {
    **{"encoder_width": 8, "encoder_depth": 2, "encoder_heads": 2, "global_every": 2, "window": 2},
    **{"width": 64, "decoder_mlp": 8, "decoder_heads": 2},
}


def checkpoint() -> dict[str, Tensor]:
    """A small SAM's, in the library's own names; its code of positions stands there twice, as in the hub's file."""
    torch.manual_seed(0)
    model = SamModel(sam.configured(SMALL, 4, 64))
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def fetch(server: Server, tmp_path: Path, output: str) -> subprocess.CompletedProcess[str]:
    settings = BackboneSettings(network="sam", name=NAME, weights="hub", arguments=SMALL)
    return fetched(server, tmp_path, output, settings)


def test_weights_are_fetched_once(tmp_path: Path) -> None:
    """They arrive to the bit from the pinned revision, their hash is noted, and a later run needs no network."""
    state = checkpoint()
    content = save(state)
    with running() as server:
        hub(server, REPOSITORY, REVISION, {"model.safetensors": content})
        newest = save({name: tensor + 1 for name, tensor in state.items()})
        hub(server, REPOSITORY, "main", {"model.safetensors": newest})
        done = fetch(server, tmp_path, "first")
        assert done.returncode == 0, done.stderr
    stored = load_file(tmp_path / "first" / "model.safetensors")
    assert stored.keys() == state.keys() - {"prompt_encoder.shared_embedding.positional_embedding"}
    assert all(torch.equal(stored[name], state[name]) for name in stored)
    about = json.loads((tmp_path / "first" / "backbone.json").read_text())
    source = {"weights": "hub", "source": REPOSITORY, "revision": REVISION}
    assert about["origin"] == {**source, "source_sha256": hashlib.sha256(content).hexdigest()}
    written = (tmp_path / "first" / "model.safetensors").read_bytes()
    assert about["sha256"] == hashlib.sha256(written).hexdigest()
    again = fetch(server, tmp_path, "second")
    assert again.returncode == 0, again.stderr
    assert (tmp_path / "second" / "model.safetensors").read_bytes() == written


def test_the_pinned_revision_is_a_whole_commit() -> None:
    """The hub takes no shorter one, and a branch's name would be whatever is newest."""
    assert len(REVISION) == 40
    assert set(REVISION) <= set("0123456789abcdef")


def test_weights_that_the_hub_lacks_are_one_line(tmp_path: Path) -> None:
    """And no folder is left."""
    with running() as server:
        done = fetch(server, tmp_path, "out")
    assert done.returncode == 1
    assert f"backbone.weights: could not fetch {REPOSITORY} at {REVISION[:7]} (" in done.stderr.splitlines()[-1]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        (NAME, b"<html>", "not a safetensors file that can be read ("),
        (NAME, save({"more": torch.ones(1)}), "not a checkpoint of sam_vit_base: there is no "),
        ("mobile_sam", b"", "backbone.weights: no hub has mobile_sam; allowed: `drawn`, or the path of a safetensors"),
    ],
    ids=["no weights", "another network's", "of no hub"],
)
def test_weights_of_the_hub_that_cannot_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: bytes, said: str
) -> None:
    """One line, whatever the hub gave: as of a file."""
    file = tmp_path / "model.safetensors"
    file.write_bytes(content)
    monkeypatch.setattr(sam_weights, "hf_hub_download", lambda *_, **__: str(file))
    settings = BackboneSettings(network="sam", name=name, weights="hub", arguments=SMALL if name == NAME else {})
    with pytest.raises(ValueError, match=re.escape(said)):
        sam_weights.fetch(settings)
