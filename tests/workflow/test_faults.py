"""What a sweep survives: kills of Snakemake, of its workers and of both, a second Snakemake, a clock that jumps."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from tests.workflow.conftest import Project

pytestmark = pytest.mark.workflow

TABLE = "results/small/tables/toy_lesions.csv"
ROUNDS = 30
"""So many that a training lasts for some seconds, in which it can be killed."""


def start(project: Project, target: str = TABLE) -> subprocess.Popen[str]:
    """Snakemake in a process group of its own, with all its workers."""
    command = [sys.executable, "-m", "snakemake", target, "--cores", "2", "--configfile", "config/small.yaml"]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with (project.folder / "printed").open("a") as printed:
        return subprocess.Popen(
            command,
            cwd=project.folder,
            env={**os.environ, "PATH": path},
            stdout=printed,
            stderr=printed,
            text=True,
            start_new_session=True,
        )


def wait_for(condition: Callable[[], object], seconds: float = 90) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came to be"
        time.sleep(0.02)


def text(log: Path) -> str:
    """What a log says; nothing while Snakemake has removed it to begin another."""
    try:
        return log.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""


def status(project: Project) -> str:
    """What `python -m benchmark status` prints."""
    command = [sys.executable, "-m", "benchmark", "status", "--configfile", "config/small.yaml"]
    return subprocess.run(command, cwd=project.folder, capture_output=True, text=True, check=True).stdout


def trained(project: Project) -> dict[str, bytes]:
    """The table and every run's leaves."""
    files = [project.folder / TABLE, *project.folder.glob("results/small/runs/*/*/*/*/state.safetensors")]
    return {str(path.relative_to(project.folder)): path.read_bytes() for path in files}


def test_kills_of_snakemake_and_workers_change_no_table(untrained: Project) -> None:
    """Snakemake alone, its orphan, another's worker, then all; a plain rerun ends with an undisturbed one's table."""
    untrained.configure(rounds=ROUNDS, checkpoint_every=3)
    progress = untrained.folder / "results/small/runs/toy_lesions/fedit/.progress.json"
    log = untrained.folder / "logs/small/train/toy_lesions/fedit.log"
    started = [first := start(untrained)]
    try:
        wait_for(progress.is_file)
        orphan = json.loads(progress.read_text())["process"]
        os.kill(orphan, signal.SIGSTOP)  # However fast it is, it has not finished when it is killed.
        said = status(untrained)
        assert "Snakemake is running here" in said
        assert "running     toy_lesions fedit" in said
        refused = untrained.snakemake(TABLE, ok=False)
        assert "Directory cannot be locked" in refused, "a second Snakemake does no harm"
        os.kill(first.pid, signal.SIGKILL)
        first.wait()
        assert "Snakemake is not running here" in status(untrained)

        started.append(second := start(untrained))  # While workers of the first are still at it.
        wait_for(lambda: "waiting for the folder" in text(log))
        os.kill(orphan, signal.SIGCONT)
        wait_for(lambda: json.loads(progress.read_text())["group"])
        os.kill(orphan, signal.SIGKILL)
        wait_for(lambda: json.loads(progress.read_text())["process"] != orphan)
        os.kill(json.loads(progress.read_text())["process"], signal.SIGKILL)
        wait_for(lambda: "Error in rule train" in (untrained.folder / "printed").read_text())
        os.killpg(second.pid, signal.SIGKILL)
        second.wait()

        untrained.snakemake(TABLE)
    finally:
        for snakemake in started:
            with suppress(ProcessLookupError):
                os.killpg(snakemake.pid, signal.SIGKILL)
    assert "2 done" in status(untrained)
    found = trained(untrained)
    assert len(found) == 5
    untrained.forget()
    untrained.snakemake(TABLE)
    assert trained(untrained) == found


RESULTS = "results/small"
STEPS = (
    ("report.html",),
    ("leaderboard.csv", "checks.csv", "tables/toy_lesions.csv", "../../figures/small/clients.svg"),
    ("intervals.parquet", "stability.csv", "selection.csv"),
    ("clients.parquet", "../../figures/small/examples.svg", "tables/communication.csv"),
    ("test/toy_lesions/fedit/seed=0/counts.parquet", "comparison.json"),
    ("selected/toy_lesions/fedit.json",),
    ("runs/toy_lesions/fedit/lr=1e-3/seed=0/run.json",),
    ("packs", "backbones"),
    ("data",),
)
"""A file of every rule of `all`, those first that others need last: what they need is then as it was."""


def target(project: Project, name: str) -> str:
    """The path of a file of `STEPS`; what stands beside the results has a pack's or a setting's hash in its path."""
    beside = {"packs": "results/packs/*/manifest.json", "backbones": "results/backbones/*/backbone.json"}
    if pattern := {**beside, "data": "data/*/source.json"}.get(name):
        (path,) = project.folder.glob(pattern)
        return path.relative_to(project.folder).as_posix()
    return os.path.normpath(f"{RESULTS}/{name}")


def everything(project: Project) -> dict[str, bytes]:
    """Every file that a rule made, and what it holds."""
    folders = (RESULTS, "figures", "data", "results/packs", "results/backbones")
    files = [path for folder in folders for path in (project.folder / folder).rglob("*") if path.is_file()]
    return {str(path.relative_to(project.folder)): path.read_bytes() for path in files}


def test_no_job_that_fails_takes_a_result_away(project: Project, tmp_path: Path) -> None:
    """Every rule fails once: all files stay as they were, all of it is planned again, and ends with the same tables."""
    before = everything(project)
    broken = tmp_path / "broken"
    broken.mkdir()
    script = f'#!/bin/sh\ncase "$*" in *benchmark.data.licences*) exec {sys.executable} "$@";; esac\nexit 1\n'
    (broken / "python").write_text(script)
    (broken / "python").chmod(0o755)
    failed = set()
    for names in STEPS:
        targets = [target(project, name) for name in names]
        printed = project.snakemake(*targets, "--force", ok=False, first=broken)
        own = set(re.findall(r"^Error in rule (\w+):", printed, re.MULTILINE))
        assert len(own) == len(targets), printed
        failed |= own
    rules = {line.split("\t")[2] for line in project.snakemake("all", "--summary").splitlines() if "\t" in line}
    assert failed == rules - {"rule"}
    assert everything(project) == before
    assert {job[0] for job in project.planned()} >= failed
    project.snakemake("all")
    assert project.planned() == set()
    after = everything(project)
    assert after.keys() == before.keys()
    for name in ("leaderboard.csv", "tables/toy_lesions.csv", "selection.csv", "clients.parquet"):
        assert after[f"{RESULTS}/{name}"] == before[f"{RESULTS}/{name}"], name


def test_a_clock_that_jumps_trains_nothing(project: Project) -> None:
    """Inputs seem a day younger than results: jobs may run again, but every lane comes from the store."""
    yesterday = time.time() - 86_400
    for path in project.folder.glob("results/small/runs/**/*.*"):
        os.utime(path, (yesterday, yesterday))
    run = "results/small/runs/toy_lesions/fedit/lr=1e-3/seed=0/run.json"
    project.snakemake(run)
    if "Nothing to be done" not in project.snakemake(run):
        assert project.run("fedit", "1e-3")["origin"] == "store"
