"""The lease of one GPU per job, with pretend devices."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmark import device
from benchmark.sources import ROOT


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Lock files in a folder of the test's own, and two pretend GPUs."""
    return {**os.environ, "TMPDIR": str(tmp_path), "CUDA_VISIBLE_DEVICES": "GPU-a,GPU-b"}


def start(environment: dict[str, str], seconds: float) -> subprocess.Popen[str]:
    """A leased job that prints its device, then sleeps."""
    code = f"import os, time; print(os.environ['CUDA_VISIBLE_DEVICES'], flush=True); time.sleep({seconds})"
    command = [sys.executable, "-m", "benchmark.device", "--", sys.executable, "-c", code]
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)


def test_two_jobs_hold_two_devices_and_a_third_waits(environment: dict[str, str]) -> None:
    """The third gets a device once one of the others is killed, with no chance to clean up."""
    first, second = start(environment, 60), start(environment, 60)
    held = {job.stdout.readline().strip() for job in (first, second)}
    assert held == {"GPU-a", "GPU-b"}
    third = start(environment, 0)
    time.sleep(2.5)
    assert third.poll() is None
    first.kill()
    assert third.stdout.readline().strip() in held
    assert third.wait(10) == 0
    second.kill()
    for job in (first, second):
        job.wait(10)


def test_without_devices_the_command_runs_at_once(environment: dict[str, str]) -> None:
    job = start({**environment, "CUDA_VISIBLE_DEVICES": ""}, 0)
    assert job.stdout.readline() == "\n"
    assert job.wait(10) == 0


def test_the_commands_exit_status_is_the_jobs(environment: dict[str, str]) -> None:
    command = [sys.executable, "-m", "benchmark.device", "--", sys.executable, "-c", "raise SystemExit(7)"]
    assert subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode == 7


@pytest.mark.parametrize(("visible", "expected"), [("0,1", ["0", "1"]), ("", []), ("-1", []), ("MIG-1", ["MIG-1"])])
def test_visible_devices_are_respected(visible: str, expected: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert device.devices() == expected
