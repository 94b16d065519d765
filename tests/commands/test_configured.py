"""Which configuration a command speaks of: the one that it is given, or the one that was last run."""

from pathlib import Path

import pytest
import yaml

from benchmark import last_run
from benchmark.commands.configured import Command
from benchmark.config import parse, read

VALUES = {"name": "mine", "federations": {"toy_slides": {}}, "rates": ["1e-3"], "rounds": 1}
GIVEN = {"own": ["mine"], "rounds": 3, "local_files": "/my data", "training": {"batch_size": 8}}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a configuration, the present one."""
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text(yaml.safe_dump(VALUES))
    return tmp_path


def test_what_the_last_run_was_given_is_taken_and_said(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With the values that Snakemake had; the commands that mend something repeat it."""
    assert Command(Path("mine.yaml")).settings == ()
    last_run.write("results/mine", [here / "mine.yaml"], GIVEN)
    command = Command(Path("mine.yaml"))
    assert parse(read(command.file, command.settings)) == parse(VALUES | GIVEN)
    said = """--config 'own=["mine"]' rounds=3 'local_files="/my data"' 'training={"batch_size": 8}'"""
    assert capsys.readouterr().err == f"as the last run of mine: {said}\n"
    assert command.to(Path("all")).endswith(said)


def test_what_a_command_is_given_counts_alone(here: Path) -> None:
    last_run.write("results/mine", [here / "mine.yaml"], GIVEN)
    assert Command(Path("mine.yaml"), ("rounds=2",)).settings == ("rounds=2",)


def test_a_run_of_another_name_is_found_by_its_name(here: Path) -> None:
    last_run.write("results/other", [here / "mine.yaml"], {"name": "other", "rounds": 2})
    assert Command(Path("mine.yaml"), ("name=other",)).settings == ("name=other", "rounds=2")
    assert Command(Path("mine.yaml")).settings == ()


@pytest.mark.parametrize("content", ["", "[]", '{"configfiles": ["else.yaml"], "config": ["rounds=2"]}', "{}"])
def test_a_note_of_another_configuration_or_a_broken_one_counts_for_nothing(here: Path, content: str) -> None:
    (here / "results/mine").mkdir(parents=True)
    (here / "results/mine" / last_run.NAME).write_text(content)
    assert Command(Path("mine.yaml")).settings == ()
