"""What a sweep survives: kills of Snakemake, of its workers and of both, a second Snakemake, a clock that jumps."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from tests.workflow.conftest import VALIDATED, Project

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


OUTSIDE = "outside/toy_volumes/2/fedit/none/seed=0"
PICTURED = (
    (
        *("../../figures/two_tasks/overlays.svg", "../../figures/two_tasks/overlays_outside.svg"),
        *("tables/outside.csv", "develop/leaderboard.md"),
    ),
    ("test/toy_volumes/fedit/shown.npz", "outside.parquet"),
    ("cases/toy_volumes.csv", f"{OUTSIDE}/counts.parquet"),
    (f"{OUTSIDE}/adapted.safetensors",),
    ("runs/toy_volumes/fedit/lr=1e-3/seed=0/run.json",),
)
"""The same of the rules that a comparison with masks and a hospital outside has beside them."""


def target(project: Project, name: str) -> str:
    """The path of a file of `STEPS`; what stands beside the results has a pack's or a setting's hash in its path."""
    beside = {"packs": "results/packs/*/manifest.json", "backbones": "results/backbones/*/backbone.json"}
    if pattern := {**beside, "data": "data/*/source.json"}.get(name):
        (path,) = project.folder.glob(pattern)
        return path.relative_to(project.folder).as_posix()
    return os.path.normpath(f"{RESULTS}/{name}")


def everything(project: Project, results: str = RESULTS) -> dict[str, bytes]:
    """Every file that a rule made, and what it holds."""
    folders = (results, "figures", "data", "results/packs", "results/backbones", "results/reference")
    files = [path for folder in folders for path in (project.folder / folder).rglob("*") if path.is_file()]
    return {str(path.relative_to(project.folder)): path.read_bytes() for path in files}


def failing(project: Project, broken: Path, *targets: str, config: str = "small") -> set[str]:
    """Make files anew by jobs that fail; returns their rules, one for each file."""
    printed = project.snakemake(*targets, "--force", ok=False, first=broken, config=config)
    rules = set(re.findall(r"^Error in (?:rule|checkpoint) (\w+):", printed, re.MULTILINE))
    assert len(rules) == len(targets), printed
    return rules


def test_no_job_that_fails_takes_a_result_away(project: Project, broken: Path) -> None:
    """Every rule fails once: all files stay as they were, all of it is planned again, and ends with the same tables."""
    before = everything(project)
    failed = set()
    for names in STEPS:
        failed |= failing(project, broken, *(target(project, name) for name in names))
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


def test_no_job_on_masks_or_outside_that_fails_takes_a_result_away(
    two_tasks: Project, tmp_path: Path, broken: Path
) -> None:
    """Every rule that there is more fails once: all files stay as they were, and all of it is planned again."""
    folder, results = tmp_path / "project", "results/two_tasks"
    shutil.copytree(two_tasks.folder, folder, copy_function=shutil.copy2)
    project = Project(folder)
    before, failed = everything(project, results), set()
    for names in PICTURED:
        targets = [os.path.normpath(f"{results}/{name}") for name in names]
        failed |= failing(project, broken, *targets, config="two_tasks")
    assert failed == {
        *("overlays", "overlays_outside", "table_outside", "validate", "show", "families", "cases"),
        *("outside_pictured", "adapt", "train_bank"),
    }
    assert everything(project, results) == before
    planned = {job[0] for job in project.planned(VALIDATED, config="two_tasks")}
    assert planned >= failed - {"show"}, "what is shown is known once cases are chosen"


def test_a_clock_that_jumps_trains_nothing(project: Project) -> None:
    """Inputs seem a day younger than results: jobs may run again, but every lane comes from the store."""
    yesterday = time.time() - 86_400
    for path in project.folder.glob("results/small/runs/**/*.*"):
        os.utime(path, (yesterday, yesterday))
    run = "results/small/runs/toy_lesions/fedit/lr=1e-3/seed=0/run.json"
    project.snakemake(run)
    if "Nothing to be done" not in project.snakemake(run):
        assert project.run("fedit", "1e-3")["origin"] == "store"
