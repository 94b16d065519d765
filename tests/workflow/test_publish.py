"""Publishing a finished configuration, and finding what was changed in it afterwards."""

import csv
import io
import shutil
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from benchmark.__main__ import main
from benchmark.config import parse, read
from benchmark.files import read_json, sha256
from benchmark.publishing import sums
from tests.workflow.conftest import Project

pytestmark = pytest.mark.workflow

CONFIGURED = ["--configfile", "config/small.yaml"]


@pytest.fixture
def here(finished: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """The finished project, whose folder is the present one."""
    monkeypatch.chdir(finished.folder)
    return finished


@pytest.fixture
def publication(here: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    """A publication with predictions, in a folder."""
    folder = tmp_path / "publication"
    status = main(["publish", *CONFIGURED, "--predictions", "--output", str(folder)])
    assert status == 0, capsys.readouterr().err
    return folder


def faults(path: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What `verify` says; nothing where all is well."""
    capsys.readouterr()
    status = main(["verify", str(path)])
    said = capsys.readouterr().err.splitlines()
    assert status == (1 if said else 0)
    return said


def sign(folder: Path) -> None:
    """Write the hashes anew, as one who tampers would."""
    files = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file() and p.name != sums.NAME}
    (folder / sums.NAME).write_text(sums.text({name: path.read_bytes() for name, path in files.items()}))


def edit_csv(path: Path, column: str, value: Any) -> None:
    """Change the first row's cell."""
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    table.loc[0, column] = value
    table.to_csv(path, index=False)


def test_a_publication_holds_what_it_takes_to_believe_it(
    publication: Path, here: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    """All results, their origin and the way to them; `sha256sum` and `verify` agree that it is whole."""
    for name in (
        *("leaderboard.csv", "leaderboard.md", "clients.parquet", "clients.csv", "tables/toy_lesions.csv"),
        *("selection.csv", "selected/toy_lesions/fedit.json", "checks.csv", "figures/clients.svg", "report.html"),
        *("config.yaml", "requirements.lock", "provenance.json", "project/methods/fedopal/fedit.py", "REPRODUCE.md"),
        *("comparison.json", "runs/toy_lesions/fedit/lr=1e-3/seed=0/run.json"),
    ):
        assert (publication / name).stat().st_size > 0
    subprocess.run(["sha256sum", "--check", "--strict", "--quiet", sums.NAME], cwd=publication, check=True)
    assert faults(publication, capsys) == []
    config = parse(read(publication / "config.yaml"), str(publication / "config.yaml"))
    assert (config.methods, config.rounds) == (("fedit", "local"), 1)
    reproduce = (publication / "REPRODUCE.md").read_text()
    assert "snakemake --cores 8 all --configfile PUBLICATION/config.yaml\n" in reproduce
    assert "| torch | " in reproduce
    assert "**Warning: unknown commit.**" in reproduce, "the project's copy is no repository"
    assert read_json(publication / "provenance.json")["runs"]["origins"] == {"trained": 4}


def test_equal_results_are_equal_publications(
    publication: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """To the byte, as folders and as archives; nothing is written over."""
    for name in ("one.zip", "two.zip"):
        assert main(["publish", *CONFIGURED, "--predictions", "--output", str(tmp_path / name)]) == 0
    assert sha256(tmp_path / "one.zip") == sha256(tmp_path / "two.zip")
    with zipfile.ZipFile(tmp_path / "one.zip") as archive:
        assert archive.read(sums.NAME) == (publication / sums.NAME).read_bytes()
    assert faults(tmp_path / "one.zip", capsys) == []
    assert main(["publish", *CONFIGURED, "--output", str(publication)]) == 1
    assert "is there already" in capsys.readouterr().err


def test_every_change_of_a_file_is_found(publication: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (publication / "checks.csv").unlink()
    (publication / "note.txt").write_text("mine")
    (publication / "leaderboard.md").write_text("first")
    said = faults(publication, capsys)
    assert [line.removeprefix(f"{publication}: ") for line in said] == [
        "checks.csv: missing",
        "note.txt: not listed in SHA256SUMS",
        "leaderboard.md: changed since it was published",
    ]
    (publication / sums.NAME).write_text(f"{'0' * 64}  ../outside\n")
    assert "line 1: expected a hash" in faults(publication, capsys)[0]
    (publication / sums.NAME).unlink()
    assert "cannot be read" in faults(publication, capsys)[0]


def test_numbers_that_contradict_each_other_are_found(
    publication: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Even where the hashes were made anew: the leaderboard, the table of clients, its copy, a prediction."""

    def tampered(name: str) -> Path:
        return Path(shutil.copytree(publication, tmp_path / name))

    board = tampered("board")
    edit_csv(board / "leaderboard.csv", "corrected_mean", "0.999")
    sign(board)
    (said,) = faults(board, capsys)
    assert "leaderboard.csv, row 1, corrected_mean: 0.999, but clients.parquet gives 0." in said

    clients = tampered("clients")
    table = pd.read_parquet(clients / "clients.parquet")
    table.loc[table["method"] == "fedit", "value"] += 0.1
    table.to_parquet(clients / "clients.parquet", index=False)
    sign(clients)
    said = faults(clients, capsys)
    assert [line.split(": ")[1].partition(",")[0] for line in said] == [
        *("clients.csv", "clients.parquet", "leaderboard.csv", "leaderboard.md")
    ]

    markdown = tampered("markdown")
    (markdown / "leaderboard.md").write_text("first")
    (markdown / "project/methods/fedopal/fedit.py").unlink()
    sign(markdown)
    assert faults(markdown, capsys) == [f"{markdown}: leaderboard.md: not the leaderboard that clients.parquet gives"]


def test_an_archive_that_would_write_elsewhere_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, said in {
        "../outside": "would be written elsewhere",
        "/tmp/outside": "would be written elsewhere",
    }.items():
        path = tmp_path / "bad.zip"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(name, "x")
        assert said in faults(path, capsys)[0]
    path.write_bytes(b"PK")
    assert "damaged" in faults(path, capsys)[0]


def test_what_is_incomplete_is_not_published(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It says what is missing, and which command completes it; results that do not fit together are refused too."""
    monkeypatch.chdir(project.folder)
    output = tmp_path / "publication"
    publish = ["publish", *CONFIGURED, "--output", str(output)]
    (project.folder / "results/small/checks.csv").rename(tmp_path / "checks.csv")
    assert main(publish) == 1
    said = capsys.readouterr().err
    assert said.startswith("small is not complete: results/small/checks.csv is missing; complete it with `snakemake ")
    assert "--configfile config/small.yaml" in said

    assert main([*publish, "--config", "rounds=2"]) == 1
    said = capsys.readouterr().err
    assert "fedit on toy_lesions is outdated, and 2 more" in said
    assert "--config rounds=2" in said

    (tmp_path / "checks.csv").rename(project.folder / "results/small/checks.csv")
    table = pd.read_parquet("results/small/clients.parquet")
    table.assign(value=table["value"] / 2).to_parquet("results/small/clients.parquet", index=False)
    assert main(publish) == 1
    assert "results contradict each other: clients.parquet, row 1, value: 0." in capsys.readouterr().err
    assert not output.exists()


def test_the_table_of_clients_is_the_same_in_both_formats(publication: Path) -> None:
    rows = list(csv.reader(io.StringIO((publication / "clients.csv").read_text())))
    table = pd.read_parquet(publication / "clients.parquet")
    assert rows[0] == list(table.columns)
    assert [float(row[5]) for row in rows[1:]] == pytest.approx(table["value"].tolist(), rel=0, abs=0)
