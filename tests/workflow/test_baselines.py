"""`baselines: reference`: a new method is compared with kept rows, which are used only while nothing has changed."""

import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from benchmark.files import read_json, write_json
from tests.workflow.conftest import Project
from tests.workflow.test_dag import trained
from tests.workflow.test_faults import everything, failing

pytestmark = pytest.mark.workflow

ROWS = "results/reference/small/rows/toy_lesions"
TARGETS = ("results/small/leaderboard.md", "results/small/tables/toy_lesions.md", "results/small/checks.csv")


def copied(project: Project, folder: Path) -> Project:
    """A copy of a project, with all its metadata and times."""
    shutil.copytree(project.folder, folder, copy_function=shutil.copy2)
    return Project(folder)


@pytest.fixture(scope="module")
def keeping(finished: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project that has kept its rows."""
    project = copied(finished, tmp_path_factory.mktemp("keeping") / "project")
    project.snakemake("reference")
    return project


@pytest.fixture(scope="module")
def compared(keeping: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The same with a new method that was compared with them."""
    project = copied(keeping, tmp_path_factory.mktemp("compared") / "project")
    shutil.copy(project.folder / "methods/_template.py", project.folder / "methods/mine.py")
    project.configure(baselines="reference")
    project.snakemake(*TARGETS)
    return project


def gathered(project: Project, method: str) -> list[dict[str, Any]]:
    """What is gathered of a row's runs."""
    return list(read_json(project.folder / f"results/small/gathered/toy_lesions/{method}.json"))


def origin(project: Project, method: str) -> str:
    """Where a row's results are from."""
    (found,) = {run["origin"] for run in gathered(project, method)}
    return str(found)


def said(project: Project) -> list[str]:
    """What planning says of the rows."""
    return [line for line in project.snakemake("all", "-n").splitlines() if line.startswith("baselines=")]


def test_a_new_method_is_trained_alone_and_compared(compared: Project) -> None:
    """The kept rows are copied, marked and noted; a second run has nothing to do."""
    for method, expected in {"fedit": "reference", "local": "reference", "mine": "trained"}.items():
        assert origin(compared, method) == expected
    for target in TARGETS[:2]:
        table = (compared.folder / target).read_text()
        assert table.count("‡") == 3, "two rows and their note"
        assert f"commit {gathered(compared, 'fedit')[0]['commit'][:12]}, measured on CPU" in table
    checks = pd.read_csv(compared.folder / TARGETS[2])
    rows = checks[checks["check"].isin(["reference row", "not used"])]
    assert dict(zip(rows["method"], rows["check"], strict=True)) == {
        "fedit": "reference row",
        "local": "reference row",
        "mine": "not used",
    }
    assert "Nothing to be done" in compared.snakemake(*TARGETS, "-n")
    assert said(compared) == [
        "baselines=reference: fedit on toy_lesions is taken from the reference",
        "baselines=reference: local on toy_lesions is taken from the reference",
        f"baselines=reference: mine on toy_lesions is trained: there is no {ROWS}/mine.zip",
    ]


def test_what_has_changed_is_trained_and_said(compared: Project) -> None:
    """A method's edit concerns its own row; the engine's and a setting's all."""
    changed = f"has changed since {ROWS}/fedit.zip ("
    with compared.edited("methods/fedopal/fedit.py", 'title = "FedIT"', 'title = "Fed-IT"'):
        assert trained(compared.planned()) == {"fedit"}
        assert f"fedit on toy_lesions is trained: the method (its file or its settings) {changed}" in said(compared)[1]
    with compared.edited("benchmark/federation/engine.py", "SUPPORT = 32", "SUPPORT = 33"):
        assert trained(compared.planned()) == {"fedit", "local", "mine"}
        assert f"fedit on toy_lesions is trained: the engine {changed}" in said(compared)[0]


def test_no_job_that_fails_takes_a_kept_row_away(
    keeping: Project, compared: Project, tmp_path: Path, broken: Path
) -> None:
    """Neither the one that takes it, nor those that keep it and write what is committed."""
    taking = copied(compared, tmp_path / "taking")
    before = everything(taking)
    assert failing(taking, broken, "results/small/selected/toy_lesions/fedit.json") == {"baseline"}
    assert everything(taking) == before
    assert ("baseline",) in taking.planned()

    own = copied(keeping, tmp_path / "own")
    before = everything(own)
    assert failing(own, broken, "results/reference/small/about.json") == {"reference"}
    assert failing(own, broken, f"{ROWS}/fedit.zip") == {"keep"}
    assert everything(own) == before
    assert {("keep",), ("reference",)} <= own.planned("reference")


def test_a_row_that_was_made_from_other_images_is_trained(compared: Project) -> None:
    """By the job that would have taken it, and every planning says why; nothing fails, nothing is taken away."""
    (path,) = compared.folder.glob("results/packs/*/manifest.json")
    before, manifest = path.read_bytes(), read_json(path)
    write_json(path, {**manifest, "hashes": {**manifest["hashes"], "test.npy": "0" * 64}})
    selected = "results/small/selected/toy_lesions/fedit.json"
    chosen = (compared.folder / selected).read_bytes()
    compared.snakemake(selected, "results/small/test/toy_lesions/fedit/seed=0/counts.parquet")
    why = (
        f"{ROWS}/fedit.zip was made from other images: test.npy was {manifest['hashes']['test.npy'][:6]}, and is 000000"
    )
    assert f"baselines=reference: fedit on toy_lesions is trained: {why} here" in said(compared)
    log = compared.folder / "logs/small/baseline/toy_lesions/fedit.log"
    assert f"fedit on toy_lesions is trained: {why} here" in log.read_text()
    assert origin(compared, "fedit") == "store", "as before it was kept"
    assert (compared.folder / selected).read_bytes() == chosen
    path.write_bytes(before)
    compared.snakemake(selected)
    assert origin(compared, "fedit") == "reference"


def test_without_the_reference_nothing_that_was_copied_stays(compared: Project) -> None:
    """Switched off again, rows are selected and tested here; what had been trained here before is not trained again."""
    compared.configure(methods=["fedit", "local", "mine"])
    jobs = compared.planned()
    assert trained(jobs) == set()
    assert {("evaluate", "toy_lesions", method) for method in ("fedit", "local")} | {("select",)} <= jobs
    compared.snakemake("results/small/gathered/toy_lesions/local.json")
    assert origin(compared, "local") == "trained"
