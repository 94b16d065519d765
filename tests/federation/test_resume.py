"""Nothing is lost: trainings that are killed at random moments end with the results of one that is not."""

import os
import random
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from benchmark.federation.store import Store
from benchmark.federation.training import Record
from benchmark.methods import method_file
from tests.federation.jobs import UNET, Workplace, assert_equal_runs, origins, workplace
from tests.federation.small import ROOT

CHANGES = {"rates": ["1e-1", "5e-2", "2e-2"], "seeds": [0, 1], "lanes": 2}
"""Three rates, two at once: groups of two lanes and of one."""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    """FedDPA-F, which has a closing pass: the work after the last round can be killed too."""
    return workplace(tmp_path_factory.mktemp("workplace"), ROOT / method_file("feddpa_f"))


@pytest.fixture(scope="module")
def whole(place: Workplace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of an uninterrupted training."""
    output = tmp_path_factory.mktemp("whole") / "runs"
    assert place.train(output, **CHANGES) == 0
    return output


@pytest.fixture(scope="module")
def longest(place: Workplace, whole: Path, tmp_path_factory: pytest.TempPathFactory) -> float:
    """Seconds that a training takes on this machine now: one that is killed sooner every time would never end."""
    began = time.monotonic()
    assert place.train(tmp_path_factory.mktemp("again") / "runs", **CHANGES) == 0
    return time.monotonic() - began


def ended(child: int) -> bool:
    """Whether a child has ended of itself; it must have succeeded then."""
    found, status = os.waitpid(child, os.WNOHANG)
    assert status == 0
    return bool(found)


def damage_the_newest(store: Path, chance: random.Random) -> None:
    """Cut the newest file short, as a loss of power may."""
    files = sorted(store.rglob("*.safetensors"), key=lambda path: path.stat().st_mtime_ns)
    if files:
        os.truncate(files[-1], chance.randint(0, files[-1].stat().st_size))


def test_random_kills_change_nothing(place: Workplace, whole: Path, longest: float, tmp_path: Path, kills: int) -> None:
    """`kill -9`, now and then with the newest file cut short: leaves, adapters and metrics are equal to the bit."""
    chance, killed, attempt = random.Random(), 0, 0
    while killed < kills:
        attempt += 1
        output = tmp_path / f"attempt{attempt}"
        child = place.start(output, **CHANGES)
        deadline = time.monotonic() + chance.uniform(0, longest)
        while not ended(child):
            if time.monotonic() > deadline:
                os.kill(child, signal.SIGKILL)
                os.waitpid(child, 0)
                killed += 1
                if chance.random() < 0.3:
                    damage_the_newest(output / "store", chance)
                child = place.start(output, **CHANGES)
                deadline = time.monotonic() + chance.uniform(0, longest)
            time.sleep(0.002)
        assert_equal_runs(output, whole)
        assert not list(output.rglob("*.partial-*")), "what killed writers left is swept away"


ADAM = {"name": "adam", "amsgrad": True, "state": "kept", "schedule": "cosine"}
DENSE: dict[str, dict[str, Any]] = {
    "norm and Adam": {"trains": ["lora", "norm", "head"], "training": {"batch_size": 8, "optimiser": ADAM}},
    "buffers": UNET,
}
"""What else a lane consists of: weights of the network with an optimiser that is kept, running means and variances."""
KEPT = {
    "norm and Adam": ("params:global/norm.weight", "optimiser:mean:global/norm.weight", "optimiser:steps:head/bias"),
    "buffers": ("params:global/encoder.0.1.running_mean", "params:global/encoder.0.1.weight"),
}
"""Some of what checkpoints then hold."""


@pytest.mark.parametrize("leaves", DENSE)
def test_a_kill_after_any_round_loses_no_weight_buffer_or_optimiser(
    leaves: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after its first round and again after its third, a training ends as one that is not, to the bit.

    All leaves are trained once more at the close, from what the last round left.
    """
    place = workplace(tmp_path / "place", ROOT / method_file("fedavg_ft"), masks=leaves == "buffers")
    changes = {**DENSE[leaves], "rates": ["1e-2", "1e-3"]}
    assert place.train(tmp_path / "whole", **changes) == 0
    checkpoint = Store.checkpoint
    for last in (1, 3):

        def kill(store: Store, records: Mapping[str, Record], last: int = last) -> None:
            checkpoint(store, records)
            if {record.state.round for record in records.values()} == {last}:
                os.kill(os.getpid(), signal.SIGKILL)

        with monkeypatch.context() as patch:
            patch.setattr(Store, "checkpoint", kill)
            _, status = os.waitpid(place.start(tmp_path / "runs", **changes), 0)
        assert os.WIFSIGNALED(status)
        held = [path.stem for path in sorted((tmp_path / "runs/store").rglob("*.safetensors"))]
        assert held == [f"round={n:06d}" for n in range(max(1, last - 1), last + 1)] * 2
    newest = load_file(next((tmp_path / "runs/store").rglob("round=000003.safetensors")))
    assert [name for name in KEPT[leaves] if name not in newest] == []
    assert place.train(tmp_path / "runs", **changes) == 0
    assert set(origins(tmp_path / "runs").values()) == {"resumed"}
    assert_equal_runs(tmp_path / "runs", tmp_path / "whole")


def test_lanes_that_stand_at_different_rounds_go_on_together(
    place: Workplace, whole: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A lane whose newest checkpoint is lost takes its company back to the round that all of them have."""
    store = tmp_path / "store"
    assert place.train(tmp_path / "three", store=store, **{**CHANGES, "rounds": 3}) == 0
    lost = sorted(store.rglob("round=000003.safetensors"))[0]
    os.truncate(lost, 100)
    assert place.train(tmp_path / "four", store=store, **CHANGES) == 0
    assert f"{lost}: damaged" in capfd.readouterr().err
    assert lost.with_suffix(".damaged").is_file()
    assert set(origins(tmp_path / "four").values()) == {"resumed"}
    assert_equal_runs(tmp_path / "four", whole)


def test_a_lane_lost_after_the_last_round_is_closed_in_its_company(
    place: Workplace, whole: Path, tmp_path: Path
) -> None:
    """A kill between the lanes' last files: who is done stays done, and keeps the other company once more."""
    store, output = tmp_path / "store", tmp_path / "runs"
    assert place.train(output, store=store, **CHANGES) == 0
    sorted(store.rglob("final=*.safetensors"))[0].unlink()
    assert place.train(output, store=store, **CHANGES) == 0
    assert sorted(origins(output).values()) == ["resumed", *["store"] * 5]
    assert_equal_runs(output, whole)


def test_more_rounds_forget_a_validation_made_for_being_last(place: Workplace, tmp_path: Path) -> None:
    """Validated after rounds 2 and 3, then trained on: the metrics are those of a training that went through."""
    store, changes = tmp_path / "store", {"evaluate_every": 2, "rates": ["1e-1"]}
    assert place.train(tmp_path / "three", store=store, **{**changes, "rounds": 3}) == 0
    assert place.train(tmp_path / "four", store=store, **changes) == 0
    assert place.train(tmp_path / "whole", **changes) == 0
    assert_equal_runs(tmp_path / "four", tmp_path / "whole")


def test_a_store_keeps_few_checkpoints(place: Workplace, tmp_path: Path) -> None:
    """The newest and the one before it; a result for every number of rounds that was asked for."""
    place.train(tmp_path / "runs", rates=["1e-1"])
    names = [path.stem for path in sorted((tmp_path / "runs/store").rglob("*.safetensors"))]
    assert names == ["final=000004", "round=000003", "round=000004"]
