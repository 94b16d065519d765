"""The lease of GPUs by jobs, with pretend devices."""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmark import device
from benchmark.sources import ROOT

LISTED = """GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-5c89852c-d268)
  MIG 1g.5gb      Device  0: (UUID: MIG-c6d4f1ef-42e4)
  MIG 2g.10gb     Device  1: (UUID: MIG-91c745d7-1c87)
GPU 1: NVIDIA A100-SXM4-40GB (UUID: GPU-5d11aaaa-0001)
"""
"""What `nvidia-smi -L` prints of two GPUs, of which the first is divided."""
JOB = """
import fcntl, os, sys, time
name, seconds, folder = os.environ["CUDA_VISIBLE_DEVICES"], float(sys.argv[1]), sys.argv[2]
fcntl.flock(os.open(os.path.join(folder, name), os.O_RDWR | os.O_CREAT), fcntl.LOCK_EX | fcntl.LOCK_NB)
time.sleep(seconds)
"""
"""A job that fails where another is on its device."""
NOBODY = 65534


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Lock files in a folder of the test's own, and two pretend GPUs."""
    return {**os.environ, "BENCHMARK_LEASES": str(tmp_path / "leases"), "CUDA_VISIBLE_DEVICES": "GPU-a,GPU-b"}


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine whose `nvidia-smi` lists pretend GPUs."""
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\ncat <<'END'\n{LISTED}END\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def leased(*command: str) -> list[str]:
    """A command in a lease."""
    return [sys.executable, "-m", "benchmark.device", "--", *command]


def start(environment: dict[str, str], seconds: float) -> subprocess.Popen[str]:
    """A leased job that prints its device, then sleeps."""
    code = f"import os, time; print(os.environ['CUDA_VISIBLE_DEVICES'], flush=True); time.sleep({seconds})"
    command = leased(sys.executable, "-c", code)
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


def test_under_load_no_device_has_two_jobs(environment: dict[str, str], tmp_path: Path) -> None:
    """Twelve jobs on three devices, three of them killed: each device has one job at a time.

    None waits for ever, and all others end well.
    """
    devices = tmp_path / "devices"
    devices.mkdir()
    environment["CUDA_VISIBLE_DEVICES"] = "GPU-a,GPU-b,GPU-c"
    command = leased(sys.executable, "-c", JOB, "0.3", str(devices))
    jobs = [subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True) for _ in range(12)]
    time.sleep(1)
    killed = random.Random().sample([job for job in jobs if job.poll() is None], 3)
    for job in killed:
        job.kill()
    said = {job: job.communicate(timeout=60)[1] for job in jobs}
    assert all(job.returncode == 0 for job in jobs if job not in killed), said.values()
    assert {path.name for path in devices.iterdir()} == {"GPU-a", "GPU-b", "GPU-c"}


def test_a_device_has_two_jobs_where_they_are_asked_for(environment: dict[str, str]) -> None:
    """The devices fill evenly: a second job on each comes after a first on all."""
    both = {**environment, "BENCHMARK_JOBS_PER_GPU": "2"}
    jobs = [start(both, 60) for _ in range(4)]
    held = sorted(job.stdout.readline().strip() for job in jobs)
    for job in jobs:
        job.kill()
        job.wait(10)
    assert held == ["GPU-a", "GPU-a", "GPU-b", "GPU-b"]


def test_without_devices_the_command_runs_at_once(environment: dict[str, str]) -> None:
    job = start({**environment, "CUDA_VISIBLE_DEVICES": ""}, 0)
    assert job.stdout.readline() == "\n"
    assert job.wait(10) == 0


def test_the_commands_exit_status_is_the_jobs(environment: dict[str, str]) -> None:
    command = leased(sys.executable, "-c", "raise SystemExit(7)")
    assert subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode == 7


@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        ("0,1", ["0", "1"]),
        ("", []),
        ("-1", []),
        ("1,-1,0", ["1"]),
        ("MIG-1", ["MIG-1"]),
        ("GPU-a, GPU-b,GPU-a", ["GPU-a", "GPU-b"]),
    ],
)
def test_visible_devices_are_respected(visible: str, expected: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert device.devices() == expected


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize(
    ("visible", "expected"),
    [
        (None, ["MIG-c6d4f1ef-42e4", "MIG-91c745d7-1c87", "GPU-5d11aaaa-0001"]),
        ("1", ["GPU-5d11aaaa-0001"]),
        ("GPU-5d", ["GPU-5d11aaaa-0001"]),
        ("GPU-5d,1", ["GPU-5d11aaaa-0001"]),
        ("MIG-91c745d7-1c87", ["MIG-91c745d7-1c87"]),
        ("GPU-5", ["GPU-5"]),
        ("7", ["7"]),
    ],
)
def test_a_device_has_one_name(visible: str | None, expected: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """An index, the beginning of a name and the name are one lease; a divided GPU is its instances."""
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert device.devices() == expected


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        ("echo 'GPU 1: A100 (UUID: GPU-1)'; echo 'GPU 0 is lost' >&2; exit 15", ["GPU-1"]),
        ("sleep 60", []),
        ("exit 9", []),
    ],
)
def test_a_lost_gpu_leaves_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, expected: list[str]
) -> None:
    """`nvidia-smi` fails over one GPU but lists another; or it hangs; or it lists nothing."""
    (tmp_path / "nvidia-smi").write_text(f"#!/bin/sh\n{program}\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(device, "_PATIENCE", 0.5)
    assert device.devices() == expected


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be another user")
def test_two_users_share_the_leases(environment: dict[str, str]) -> None:
    """Whoever made folder and files, with a mask that keeps others out: both can lease, and see each other's leases."""
    folder, names = Path(environment["BENCHMARK_LEASES"]), ["GPU-a", "GPU-b"]
    for parent in (folder.parent, *folder.parent.parents):
        if parent.name.startswith(("test_", "popen-", "pytest-")):
            parent.chmod(0o755)
    mask = os.umask(0o077)
    try:
        assert device.lease(names, folder) == "GPU-a"
    finally:
        os.umask(mask)
    child = os.fork()
    if not child:
        try:
            os.setuid(NOBODY)
            found = device.lease(names, folder)
        except OSError:
            found = ""
        os._exit(0 if found == "GPU-b" else 1)  # Whatever happens, the copy of the tests' process ends here.
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
