"""What a job says when something fails: in a method, on the disk, in memory, on a GPU."""

import errno
import os
import re
import resource
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from benchmark import files
from benchmark.federation.client import Lane
from benchmark.federation.engine import Engine, State
from tests.federation.jobs import Workplace, assert_equal_runs, origins
from tests.federation.small import ROOT

BROKEN = '''"""A method that fails in one hook once it is no longer sound."""

from benchmark.method import Method


class Mine(Method):
    """Fails."""

    title = "Mine"
    paper = "none"
    sound = {sound}

    def {hook}(self, {arguments}):
        return {returned} if self.sound else 1 / 0
'''
NOBODY = 65534
"""A user who owns nothing."""
HOOKS = {
    "phases": ("round", r" \(all clients, round 3\)"),
    "loss": ("batch, params, start, memory", r" \(client (north|east|south), round 3\)"),
    "memory": ("params", ""),
    "after": ("params, start, memory, gradients", r" \(all clients, round 3\)"),
    "server": ("sent, start, weights", r" \(all clients, round 3\)"),
    "deployed": ("params, memory", r" \(all clients, round 3\)"),
    "predict": ("batch, support, params", r" \(client (north|east|south), round 3\)"),
}
"""By hook, its arguments, and where it is called."""


def broken(folder: Path, hook: str, returned: str | None = None, *, sound: bool = True) -> Path:
    """The file of a method with this hook."""
    arguments = HOOKS[hook][0]
    path = folder / "mine.py"
    returned = returned or f"super().{hook}({arguments})"
    path.write_text(BROKEN.format(hook=hook, arguments=arguments, returned=returned, sound=sound))
    return path


@pytest.fixture(scope="module")
def whole(place: Workplace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of an undisturbed training."""
    output = tmp_path_factory.mktemp("whole") / "runs"
    assert place.train(output) == 0
    return output


def last_line(capfd: pytest.CaptureFixture[str]) -> str:
    """What a job's log ends with."""
    return capfd.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("hook", HOOKS)
def test_an_exception_in_a_method_names_its_place(
    place: Workplace, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, hook: str
) -> None:
    """File, line, hook, client and round: in the third round, on the client whose turn it is."""
    method = broken(tmp_path, hook, sound=hook != "memory")
    rounds = Engine.round

    def third(self: Engine, state: State, lanes: Sequence[Lane]) -> tuple[State, Tensor]:
        type(self.model.method).sound = state.round < 2 or hook in ("predict", "deployed")
        done = rounds(self, state, lanes)
        type(self.model.method).sound = state.round < 2
        return done

    monkeypatch.setattr(Engine, "round", third)
    assert Workplace(place.folder, method).train(tmp_path / "runs") == 1
    text = method.read_text()
    line = text[: text.index("1 / 0")].count("\n") + 1
    said = f"{re.escape(str(method))}:{line}: in {hook}\\(\\){HOOKS[hook][1]}: ZeroDivisionError: division by zero"
    assert re.fullmatch(said, last_line(capfd))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = 1 / 0\n", "mine.py:1: while it was loaded: ZeroDivisionError"),
        ("def f(:\n", "mine.py:1: while it was loaded: SyntaxError"),
        ("import no_such_module\n", "mine.py:1: while it was loaded: ModuleNotFoundError"),
        ("x = 1\n", "defines exactly one subclass of Method"),
        ("\0", "mine.py"),
    ],
)
def test_a_file_that_cannot_be_loaded_is_named(
    place: Workplace, tmp_path: Path, capfd: pytest.CaptureFixture[str], text: str, said: str
) -> None:
    method = tmp_path / "mine.py"
    method.write_text(text)
    assert Workplace(place.folder, method).train(tmp_path / "runs") == 1
    assert said in last_line(capfd)


def test_what_the_server_returns_wrongly_is_said_with_the_round(
    place: Workplace, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    method = broken(tmp_path, "server", "sent")
    assert Workplace(place.folder, method).train(tmp_path / "runs") == 1
    assert re.search(r"Mine\.server\(\) returned .* \(all clients, round 1\)$", last_line(capfd))


def test_a_diverged_lane_is_recorded_and_goes_on_being_data(place: Workplace, tmp_path: Path) -> None:
    """Its neighbour is what it is without it; it has its files, and the round in which it broke, validated or not."""
    scaled = {"targets": ["q", "v"], "rank": 2, "alpha": 1e9}  # No rate that is allowed breaks a training so small.
    assert place.train(tmp_path / "both", rates=["1e-10", "1e2"], evaluate_every=2, lora=scaled) == 0
    assert set(origins(tmp_path / "both").values()) == {"trained"}
    about = files.read_json(tmp_path / "both/lr=1e2/seed=0/run.json")
    assert about["diverged_round"] == 1
    assert files.read_json(tmp_path / "both/lr=1e-10/seed=0/run.json")["diverged_round"] is None


def test_a_full_disk_is_named_and_nothing_is_lost(
    place: Workplace, whole: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first write of every kind of file fails in turn; then there is space again, and the run equals another."""
    output, failing = tmp_path / "runs", ["round=000002", "final=", "adapter_model", "state", "metrics", "run.json"]
    replace = Path.replace

    def full(self: Path, target: Path) -> Path:
        if failing and failing[0] in target.name:
            failing.pop(0)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", full)
    expected = list(failing)
    for name in expected:
        assert place.train(output) == 1
        said = last_line(capfd)
        assert "No space left on device" in said
        assert name in said
        assert not list(output.rglob("*.partial-*"))
    assert place.train(output) == 0
    assert_equal_runs(output, whole)


def test_a_limit_on_files_is_an_error_of_one_line(place: Workplace, whole: Path, tmp_path: Path) -> None:
    """The system itself refuses to write, in a process of its own."""
    output = tmp_path / "runs"
    command = [sys.executable, "-m", "benchmark.federation.train", *place.command(output, rounds=1)]

    def little() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))

    done = subprocess.run(command, cwd=ROOT, preexec_fn=little, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert re.search(r"OSError: .*File too large: .*round=000001\.safetensors", done.stderr.splitlines()[-1])
    assert place.train(output) == 0
    assert_equal_runs(output, whole)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be another user")
def test_a_folder_that_may_not_be_written_is_named(place: Workplace, tmp_path: Path) -> None:
    """Run as a user who owns nothing here."""
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    child = place.start(tmp_path / "runs", user=NOBODY)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
    said = (tmp_path / "runs.log").read_text()
    assert said.startswith("PermissionError: [Errno 13] Permission denied")
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), "out of memory (client north, round 1): set `lanes`"),
        (MemoryError(), "out of memory (client north, round 1): set `lanes`"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "out of memory"),
        (
            torch.AcceleratorError("CUDA error: lost"),
            "the GPU failed (client north, round 1): run again",
        ),
    ],
)
def test_memory_and_gpus_fail_with_a_remedy(
    place: Workplace,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    said: str,
) -> None:
    """Wherever the error passes: here in the task's loss, called by the method's hook."""

    def fails(*_: object) -> None:
        raise error

    monkeypatch.setattr("benchmark.federation.model.Images.task_loss", fails)
    assert place.train(tmp_path / "runs") == 1
    assert re.sub(r"client \w+", "client north", last_line(capfd)).startswith(said)


def test_a_failed_job_says_so_in_its_progress(place: Workplace, tmp_path: Path) -> None:
    method = tmp_path / "mine.py"
    method.write_text("x = 1 / 0\n")
    Workplace(place.folder, method).train(tmp_path / "runs")
    about = files.read_json(tmp_path / "runs/.progress.json")
    assert "ZeroDivisionError" in about["failure"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_said(
    place: Workplace, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked for, it is an error; leased but invisible, the CPU is used and the log says so."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-lost")
    assert place.train(tmp_path / "asked", device="cuda") == 1
    assert last_line(capfd).startswith("ValueError: `device` is cuda, but torch finds no GPU")
    assert place.train(tmp_path / "leased", rounds=1) == 0
    assert "torch finds no GPU (CUDA_VISIBLE_DEVICES is 'GPU-lost'" in capfd.readouterr().err
