"""A small copy of the project that Snakemake runs in, shared by all workflow tests."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
CODE = (
    "Snakefile",
    "workflow",
    "environment.yml",
    "benchmark",
    "methods",
    "adaptations",
    "config",
    "profiles",
    "report",
    "requirements.lock",
)

SMALL: dict[str, Any] = {
    "name": "small",
    "federations": {"toy_lesions": {"image_size": 24, "options": {"scale": 0.01, "side": 32}, "validation": 0.3}},
    "methods": ["fedit", "local"],
    "rates": ["1e-3", "1e-2"],
    "rounds": 1,
    "backbone": {
        "name": "vit_tiny_patch16_224",
        "weights": "drawn",
        "arguments": {"patch_size": 12, "embed_dim": 96, "depth": 4, "num_heads": 3},
    },
    "lora": {"rank": 2, "alpha": 2},
    "appendix": False,
}


@dataclass(frozen=True)
class Project:
    """A copy of the project in a folder of its own.

    Attributes:
        folder: The folder.
    """

    folder: Path

    def snakemake(self, *arguments: str, ok: bool = True, config: str = "small", first: Path | None = None) -> str:
        """Run Snakemake on a configuration and return all that it printed; jobs find commands in `first` first."""
        command = [
            sys.executable,
            "-m",
            "snakemake",
            *arguments,
            "--cores",
            "4",
            "--configfile",
            f"config/{config}.yaml",
        ]
        folders = [*([first] if first else []), Path(sys.executable).parent, os.environ["PATH"]]
        path = os.pathsep.join(map(str, folders))
        done = subprocess.run(
            command, cwd=self.folder, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False
        )
        printed = done.stdout + done.stderr
        assert (done.returncode == 0) is ok, printed
        return printed

    def planned(self, *arguments: str, config: str = "small") -> set[tuple[str, ...]]:
        """The jobs that a run would do now: rule, and for training and testing the federation and the method."""
        printed = self.snakemake("all", *arguments, "-n", config=config)
        counted = re.search(r"^Job stats:\njob +count\n[- ]+\n((?:\w+ +\d+\n)+)", printed, re.MULTILINE)
        rules = {(line.split()[0],) for line in counted[1].splitlines()} - {("total",)} if counted else set()
        named = re.findall(r"^Job \d+: (Train|Test) (\w+) on (\w+);", printed, re.MULTILINE)
        rules -= {("train",), ("evaluate",)}
        rules |= {("train" if verb == "Train" else "evaluate", where, method) for verb, method, where in named}
        assert rules or "Nothing to be done" in printed, printed
        return rules

    def configure(self, **changes: Any) -> None:
        """Write the small configuration, changed."""
        (self.folder / "config/small.yaml").write_text(yaml.safe_dump({**SMALL, **changes}), encoding="utf-8")

    def run(self, method: str, rate: str) -> dict[str, Any]:
        """The `run.json` of one run."""
        path = self.folder / f"results/small/runs/toy_lesions/{method}/lr={rate}/seed=0/run.json"
        return dict(json.loads(path.read_text(encoding="utf-8")))

    def forget(self) -> None:
        """Remove all that was trained, and what was made of it."""
        for name in ("runs", "selected", "gathered", "test", "tables", "clients.parquet", "../store"):
            path = self.folder / "results/small" / name
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    @contextmanager
    def edited(self, file: str, old: str, new: str) -> Iterator[None]:
        """Within the block, one file has one piece of text replaced; afterwards it is as old as it was."""
        path = self.folder / file
        before, times = path.read_text(encoding="utf-8"), path.stat()
        assert old in before
        path.write_text(before.replace(old, new), encoding="utf-8")
        try:
            yield
        finally:
            path.write_text(before, encoding="utf-8")
            os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def copy_code(folder: Path) -> None:
    """Copy what a run needs of the project into a folder."""
    for name in CODE:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    (folder / "results/reference").mkdir(parents=True)
    shutil.copy(ROOT / "results/reference/published.csv", folder / "results/reference")


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose small configuration has been run to the end. Tests leave it as they found it."""
    folder = tmp_path_factory.mktemp("project")
    copy_code(folder)
    project = Project(folder)
    project.configure()
    project.snakemake("all")
    return project


VALIDATED = "results/two_tasks/develop/leaderboard.md"
"""How methods compare on validation images, which is no part of `all`."""


@pytest.fixture(scope="session")
def two_tasks(finished: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose configuration `two_tasks` has been run to the end; tests leave it as they found it.

    To the classification that is there already it adds volumes to segment, of which one hospital takes no part: slices
    are read with their neighbours as channels.
    """
    folder = tmp_path_factory.mktemp("two_tasks") / "project"
    shutil.copytree(finished.folder, folder, copy_function=shutil.copy2)
    project = Project(folder)
    volumes = {
        **{"image_size": 24, "options": {"scale": 0.3, "side": 32}, "validation": 0.3, "context": [-1, 0, 1]},
        **{"clients": ["0", "1"], "outside": ["2"]},
    }
    changed = {"name": "two_tasks", "federations": {**SMALL["federations"], "toy_volumes": volumes}}
    values = {**SMALL, **changed, "adaptations": ["each", "mean", "none"]}
    (folder / "config/two_tasks.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    project.snakemake("all", VALIDATED, config="two_tasks")
    return project


@pytest.fixture
def project(finished: Project, tmp_path: Path) -> Project:
    """A copy of the finished project, with all its metadata and times, that a test may change and run."""
    folder = tmp_path / "project"
    shutil.copytree(finished.folder, folder, copy_function=shutil.copy2)
    return Project(folder)


@pytest.fixture
def untrained(project: Project) -> Project:
    """A project with its data and backbone, in which nothing is trained."""
    project.forget()
    return project


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """A folder whose `python` fails, whatever it is to do but to look for licences."""
    folder = tmp_path / "broken"
    folder.mkdir()
    script = f'#!/bin/sh\ncase "$*" in *benchmark.data.licences*) exec {sys.executable} "$@";; esac\nexit 1\n'
    (folder / "python").write_text(script)
    (folder / "python").chmod(0o755)
    return folder
