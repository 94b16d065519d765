"""How far training moved what clients hold, against NumPy."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmark.federation import moved
from benchmark.files import read_json
from tests.federation import small
from tests.federation.jobs import Workplace
from tests.methods.tiny import LANE, SCALE, SITE, W0, engine, held, run

A, B = f"global/{SITE}.A", f"global/{SITE}.B"


@pytest.mark.parametrize("name", ["fedit", "fedpal", "fedex_lora", "flora", "apfl"])
def test_what_is_measured_is_what_the_module_says(name: str) -> None:
    """By hand: relative changes of A and of the head, and of the adapted layer, as means over clients."""
    ours = engine(small.method(name))
    start, state = ours.start([LANE]), run(ours)
    found = moved.measured(ours, state, LANE)
    changes, updates, heads = [], [], []
    for k in range(len(ours.clients)):
        began, now = held(start, k), held(state, k)
        changes.append(np.linalg.norm(now[A] - began[A]) / np.linalg.norm(began[A]))
        heads.append(np.linalg.norm(now["head/weight"] - began["head/weight"]) / np.linalg.norm(began["head/weight"]))
        alpha = float(now.get("alpha", 0))
        weights = {"apfl": {"global": 1 - alpha, "personal": alpha}, "fedpal": {"global": 1.0, "personal": 1.0}}
        update = now.get(f"offset/{SITE}", np.zeros_like(W0))
        for adapter, m in weights.get(name, {"global": 1.0}).items():
            update = update + m * now[f"{adapter}/{SITE}.B"] @ now[f"{adapter}/{SITE}.A"]
        updates.append(SCALE * np.linalg.norm(update) / np.linalg.norm(W0))
    assert found["update"]["all"] == pytest.approx(np.mean(updates), rel=1e-12)
    assert found["head"]["head"] == pytest.approx(np.mean(heads), rel=1e-12)
    if name == "flora":
        assert "A" not in found, "adapters begin anew in every round"
    else:
        assert found["A"]["global"] == pytest.approx(np.mean(changes), rel=1e-12)
    assert ("personal" in found.get("A", {})) == (name in ("fedpal", "apfl"))


def test_without_adapters_heads_alone_move() -> None:
    """And a head that no pass has trained has not moved."""
    ours = small.engine(small.method("head_shared"))
    state = ours.start(small.LANES[:1])
    assert moved.measured(ours, state, small.LANES[0]) == {"head": {"head": 0.0}}
    after, _ = ours.round(state, small.LANES[:1])
    assert moved.measured(ours, after, small.LANES[0])["head"]["head"] > 0


def test_the_adapted_rows_of_a_transformer_are_those_of_its_site() -> None:
    """An update of one site alone is measured against the thirds q and v of the fused weight."""
    ours = small.engine(small.method("fedit"))
    params = {name: leaf.clone() for name, leaf in ours.start(small.LANES[:1]).params.items()}
    site = "blocks.1.attn.v"
    params[f"global/{site}.B"][:] = 0.5
    state = type(ours.start(small.LANES[:1]))(0, params, {})
    whole = sum(
        float((small.weights()[f"blocks.{block}.attn.qkv.weight"].double().chunk(3)[third] ** 2).sum())
        for block in (0, 1)
        for third in (0, 2)
    )
    product = params[f"global/{site}.B"][0, 0] @ params[f"global/{site}.A"][0, 0]
    expected = ours.model.network.scale * float(torch.linalg.norm(product)) / math.sqrt(whole)
    assert moved.measured(ours, state, small.LANES[0])["update"]["all"] == pytest.approx(expected, rel=1e-9)


def test_weights_of_the_network_are_measured_against_their_pretrained_values() -> None:
    """And what diverged is no number."""
    ours = small.engine(small.method("fedit"), trains=("norm", "head"))
    params = {name: 1.5 * leaf for name, leaf in ours.start(small.LANES[:1]).params.items()}
    state = type(ours.start(small.LANES[:1]))(0, params, {})
    assert moved.measured(ours, state, small.LANES[0])["weights"]["global"] == pytest.approx(0.5)
    params["global/norm.weight"][0, 0, 0] = torch.nan
    assert moved.measured(ours, state, small.LANES[0])["weights"]["global"] is None


def test_a_run_says_whose_head_it_is_and_how_far_it_moved(place: Workplace, tmp_path: Path) -> None:
    """The larger rate moves further."""
    assert place.train(tmp_path / "out", rounds=1, head="personal", rates=["1e-1", "1e-3"]) == 0
    runs = [read_json(tmp_path / f"out/lr={rate}/seed=0/run.json") for rate in ("1e-3", "1e-1")]
    assert [run["head"] for run in runs] == 2 * [{"policy": "personal", "fixed": False}]
    for measure, part in (("A", "global"), ("update", "all"), ("head", "head")):
        small_rate, large_rate = (run["moved"][measure][part] for run in runs)
        assert 0 < small_rate < large_rate, measure
