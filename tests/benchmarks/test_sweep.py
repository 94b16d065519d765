"""The sweep's command: it compares sides whose results agree, and says so where they do not."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.sweep import Measured, _compare, _together

ROOT = Path(__file__).resolve().parents[2]


def measured(loss: float) -> Measured:
    """A side that ended with this loss."""
    return Measured(1.0, 0.9, 0.5, 0.1, 1, {"1e-3/0": {"north": 0.7, "south": loss}})


def test_a_side_that_did_other_work_is_found(capsys: pytest.CaptureFixture[str]) -> None:
    """A difference of the bound or more, of any client; NaN too."""
    for loss, agrees in ((0.5 + 1e-6, True), (0.5 + 1e-2, False), (float("nan"), False)):
        assert _compare({"peft": [measured(0.5)], "fused": [measured(loss)]}, 1e-3) == agrees
        assert ("DISAGREES" in capsys.readouterr().out) != agrees


def test_of_a_side_that_trained_all_runs_those_count_that_plain_peft_trained(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Seconds of a few runs are scaled to the sweep's; losses are compared where there are both."""
    few, all_runs = measured(0.5), measured(0.5 + 1e-6)
    all_runs = replace(all_runs, losses={**all_runs.losses, "1e-3/1": {"north": 9.0, "south": 9.0}})
    assert _compare({"peft": [few], "fused": [all_runs]}, 1e-3)
    assert "2 clients and runs" in capsys.readouterr().out
    both = _together([few, few], times=3.0)
    assert (both.seconds, both.training, both.memory) == (6.0, 3.0, 1)


@pytest.mark.workflow
@pytest.mark.parametrize(("task", "scale"), [("classification", "0.002"), ("segmentation", "0.1")])
def test_a_small_sweep_runs_and_its_sides_agree(task: str, scale: str) -> None:
    """One rate, one round, few images: the whole command, whose last line is the ratio."""
    command = [sys.executable, "benchmarks/sweep.py", "--device", "cpu", "--quick", "--rounds", "1", "--rates", "1e-3"]
    command += ["--task", task, "--scale", scale, "--image-size", "32", "--peft-threads", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count(" agrees with (a)") == 2
    assert done.stdout.splitlines()[-1].startswith("fused/peft end to end: ")
