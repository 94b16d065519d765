"""A sweep divided over processes ends with what one process finds, and its processes end with it."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from benchmark.federation import parts
from benchmark.federation.parts import Part
from benchmark.federation.progress import LOCK, PROGRESS, Progress
from benchmark.files import read_json
from benchmark.lock import is_held
from tests.federation.jobs import Workplace, assert_equal_runs, origins, runs

SHARDS = ("--shards", "2")
SLOW = """
import time
from benchmark.method import Method

class Slow(Method):
    \"\"\"FedAvg of one adapter, a quarter of a second late.\"\"\"

    title, paper = "Slow", "none"

    def server(self, sent, start, weights):
        time.sleep(0.25)
        return super().server(sent, start, weights)
"""


@pytest.fixture(scope="module")
def divided(place: Workplace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of a training in two parts; the lane of the first part was in the store already."""
    output = tmp_path_factory.mktemp("divided") / "runs"
    assert place.train(output.parent / "before", store=output / "store", rates=["1e-1"]) == 0
    assert place.train(output, *SHARDS) == 0
    return output


def slow(place: Workplace, folder: Path) -> Workplace:
    """A federation whose method takes its time."""
    (folder / "slow.py").write_text(SLOW)
    return Workplace(place.folder, folder / "slow.py")


def wait_for(met: Callable[[], bool], what: str) -> None:
    """Until a condition is met."""
    deadline = time.monotonic() + 120
    while not met():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


@pytest.mark.parametrize("count", [1, 2, 3, 7])
def test_every_lane_is_in_one_part(count: int) -> None:
    """In their order, in shares that differ by one lane at most."""
    shares = [Part(number, count).share(range(7)) for number in range(1, count + 1)]
    assert [lane for share in shares for lane in share] == list(range(7))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.mark.parametrize(
    ("visible", "expected"),
    [("GPU-a,GPU-b", ["GPU-a", "GPU-b", "GPU-a"]), ("0", ["0", "0", "0"]), ("", [None, None, None])],
)
def test_parts_have_a_device_each(visible: str, expected: list[str | None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the lease gave fewer, parts share them; without any, parts compute on the CPU."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert parts._devices(3) == expected


def test_the_parts_results_are_those_of_one_process(place: Workplace, divided: Path, tmp_path: Path) -> None:
    """Another packing: equal within rounding. Lanes one at a time in one process: the same packing, to the bit.

    Where they come from, and the memory of who trained them, is told as it was.
    """
    assert place.train(tmp_path / "one") == 0
    assert place.train(tmp_path / "alone", "--lanes", "1") == 0
    assert_equal_runs(divided, tmp_path / "alone")
    for name, folder in runs(tmp_path / "one").items():
        found, expected = (load_file(path / "state.safetensors") for path in (runs(divided)[name], folder))
        assert all(torch.allclose(found[leaf], expected[leaf], atol=1e-5) for leaf in expected)
    assert origins(divided) == {"lr=1e-1/seed=0": "store", "lr=2e-2/seed=0": "trained"}
    assert not (divided / ".parts").exists()
    for folder in runs(divided).values():
        assert read_json(folder / "run.json")["costs"]["peak_memory_bytes"] > 1 << 20


def test_killed_jobs_leave_no_part_behind_and_go_on(place: Workplace, tmp_path: Path) -> None:
    """`kill -9` of a part, then of the job: the one is told, the other ends its parts; the end is that of no kill."""
    own, output = slow(place, tmp_path), tmp_path / "runs"
    folders = [Part(number, 2).folder(output) for number in (1, 2)]

    def trains(folder: Path) -> bool:
        begun = {path.parent for path in output.rglob("round=*.safetensors")}
        return is_held(folder / LOCK) and len(begun) == 2

    job = own.start(output, *SHARDS, rounds=6)
    wait_for(lambda: all(map(trains, folders)), "no part begins")
    os.kill(read_json(folders[0] / PROGRESS)["process"], signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(job, 0)[1]) == 1
    reason = "part 1/2 was killed by signal 9: run again, training goes on from its last checkpoint"
    assert (tmp_path / "runs.log").read_text().splitlines()[-1] == reason
    assert read_json(output / PROGRESS)["failure"] == reason
    job = own.start(output, *SHARDS, rounds=6)
    wait_for(lambda: trains(folders[0]), "no part goes on")
    os.kill(job, signal.SIGKILL)
    os.waitpid(job, 0)
    wait_for(lambda: not any(is_held(folder / LOCK) for folder in folders), "a part outlives its job")
    assert own.train(output, rounds=6) == 0
    assert own.train(tmp_path / "whole", "--lanes", "1", rounds=6) == 0
    assert set(origins(output).values()) <= {"resumed", "store"}
    assert_equal_runs(output, tmp_path / "whole")


def test_a_part_that_fails_fails_the_job_with_its_own_line(
    place: Workplace, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """File, line and hook, as without parts."""
    method = tmp_path / "mine.py"
    method.write_text(SLOW.replace("time.sleep(0.25)", "1 / 0"))
    assert Workplace(place.folder, method).train(tmp_path / "runs", *SHARDS) == 1
    said = capfd.readouterr().err.splitlines()[-1]
    assert said == f"{method}:11: in server() (all clients, round 1): ZeroDivisionError: division by zero"
    assert read_json(tmp_path / "runs" / PROGRESS)["failure"] == said


def test_the_job_tells_how_far_its_parts_are(tmp_path: Path) -> None:
    """Four lanes of ten rounds: one part has finished one lane and stands at round 4 with another, the other at 8.

    Together they have done 10 + 4 + 2 * 8 = 30 of 40 rounds of a lane: 7 of 10, and go at 1/2 + 2/1 lanes a second.
    """
    progress = Progress(tmp_path, "job", 10, 4)
    first = {"finished": 1, "group": {"round": 4, "together": 1, "seconds_per_round": 2.0}}
    second = {"finished": 0, "group": {"round": 8, "together": 2, "seconds_per_round": 1.0}}
    progress.follow([first, second, {}])
    assert read_json(tmp_path / PROGRESS)["group"] == {"round": 7, "together": 4, "seconds_per_round": 4 / 2.5}
