"""The DAG on a real SLURM of one node: `pytest tests/workflow/test_slurm.py --slurm`, as root, with Debian's SLURM."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.workflow.conftest import ROOT, Project

pytestmark = pytest.mark.workflow

CLUSTER = ROOT / "tests/slurm/cluster.sh"
WITHOUT_ACCOUNTING = (
    *("--slurm-no-account", "--slurm-status-command", "squeue"),
    *("--slurm-init-seconds-before-status-checks", "5"),
)
"""As `docs/cluster.md` says for a cluster that keeps no accounts."""
TABLE = "results/small/tables/toy_lesions.csv"


@pytest.fixture
def cluster(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A SLURM of one node with two pretend GPUs."""
    if not request.config.getoption("--slurm"):
        pytest.skip("starts daemons: give --slurm")
    if os.getuid() != 0 or not all(map(shutil.which, ("slurmctld", "slurmd", "munged"))):
        pytest.skip("needs root, slurm-wlm and munge")
    with tempfile.TemporaryDirectory(prefix="slurm-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        started = subprocess.run([CLUSTER, "start", folder], capture_output=True, text=True, check=False)
        if started.returncode:
            pytest.skip(f"no SLURM: {started.stderr.strip()}")
        monkeypatch.setenv("SLURM_CONF", started.stdout.strip())
        yield
        subprocess.run([CLUSTER, "stop", folder], check=False)


def start(project: Project) -> subprocess.Popen[str]:
    """Snakemake with the project's SLURM profile."""
    command = [sys.executable, "-m", "snakemake", TABLE, "--profile", "profiles/slurm"]
    command += ["--configfile", "config/small.yaml", *WITHOUT_ACCOUNTING]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path}
    return subprocess.Popen(
        command, cwd=project.folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def jobs() -> dict[str, dict[str, str]]:
    """What SLURM knows of every job, by its id: rule and wildcards are in `Comment`."""
    printed = subprocess.run(["scontrol", "--oneliner", "show", "jobs"], capture_output=True, text=True, check=True)
    fields = [dict(field.partition("=")[::2] for field in line.split()) for line in printed.stdout.splitlines()]
    return {job["JobId"]: job for job in fields if "JobId" in job}


@pytest.mark.usefixtures("cluster")
def test_a_cancelled_training_resumes_and_the_table_is_made(untrained: Project) -> None:
    """Cancelled in mid-training, then asked for again; trainings and tests ask for a GPU, nothing else does."""
    untrained.configure(methods=["fedit"], rounds=60, checkpoint_every=1)
    progress = untrained.folder / "results/small/runs/toy_lesions/fedit/.progress.json"
    first = start(untrained)
    while not (progress.is_file() and json.loads(progress.read_text())["group"].get("round", 0) > 2):
        assert first.poll() is None, first.communicate()[0]
        time.sleep(0.1)
    (training,) = (number for number, job in jobs().items() if job["Comment"].startswith("rule_train"))
    subprocess.run(["scancel", training], check=True)
    printed = first.communicate(timeout=300)[0]
    assert first.returncode != 0, printed
    second = start(untrained)
    printed = second.communicate(timeout=400)[0]
    assert second.returncode == 0, printed
    assert untrained.run("fedit", "1e-3")["origin"] == "resumed"
    assert (untrained.folder / TABLE).is_file()
    asked = {job["Comment"].split("_")[1]: job.get("TresPerJob") for job in jobs().values()}
    assert asked == {
        "train": "gres:gpu:1",
        "evaluate": "gres:gpu:1",
        **dict.fromkeys(("select", "collect", "uncertainty", "stability", "table")),
    }


def test_the_profile_is_what_snakemake_takes() -> None:
    """Its executor is the one in the requirements; a number of cores is there, which the rules ask for."""
    profile = yaml.safe_load((ROOT / "profiles/slurm/profile.yaml").read_text(encoding="utf-8"))
    assert profile["executor"] == "slurm"
    assert profile["cores"] >= 1
    assert "snakemake-executor-plugin-slurm\n" in (ROOT / "requirements.in").read_text(encoding="utf-8")
    rules = "\n\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "workflow/rules").glob("*.smk"))
    # On one machine they share out the cores that Snakemake was promised; on a cluster that number means nothing.
    sharing = re.findall(r"^rule (\w+):\n(?:(?!^rule ).*\n)*?    threads: plan\.threads", rules, re.MULTILINE)
    alike = {new: old for old, new in re.findall(r"^use rule (\w+) as (\w+) with:", rules, re.MULTILINE)}
    assert set(profile["set-threads"]) == {*sharing, *(new for new, old in alike.items() if old in sharing)}
    named = {*re.findall(r"^rule (\w+):", rules, re.MULTILINE), *alike}
    assert {*profile["set-threads"], *profile["set-resources"]} <= named


def test_the_profile_plans(finished: Project) -> None:
    """A dry run needs no cluster."""
    assert "Nothing to be done" in finished.snakemake(TABLE, "-n", "--profile", "profiles/slurm")
