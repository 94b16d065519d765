"""What is committed of a comparison is of one run, whatever fails."""

import shutil
from pathlib import Path

import pytest

from benchmark.comparison import Comparison
from benchmark.files import write_text
from tests.reporting.synthetic import Tree

NUMBERS = {"clients.csv", "selected.csv", "runs.csv", "about.json"}


def committed(folder: Path) -> dict[str, str]:
    """What the two folders hold, by name."""
    files = [path for name in ("numbers", "drawn") for path in (folder / name).rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8") for path in files}


def test_numbers_and_figures_are_replaced_together_or_not_at_all(
    tree: Tree, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A figure that cannot be copied leaves all of the last run; then all is new but what the job does not make."""
    own = Tree(tmp_path / "results")
    shutil.copytree(tree.root, own.root)
    places = Comparison.read(own.root).places
    tables = [places.table(name, kind) for name in ("toy_lesions", "toy_slides") for kind in ("csv", "md")]
    for path in (*tables, places.of("leaderboard.csv"), places.of("leaderboard.md")):
        write_text(Path(path), "new")
    copies = {f"numbers/{Path(path).name}" for path in tables} | {"numbers/leaderboard.csv", "numbers/leaderboard.md"}
    made = {*(f"numbers/{name}" for name in NUMBERS), *copies, "drawn/a.svg", "drawn/b.svg"}
    for name in (*made, "numbers/rows/toy_lesions/fedit.zip", "drawn/examples.png"):
        write_text(tmp_path / name, "old")
    write_text(tmp_path / "figures/a.svg", "new")
    options = ["--command", "make all", "--output", tmp_path / "numbers", "--drawn", tmp_path / "drawn"]
    options += ["--figures", tmp_path / "figures/a.svg", tmp_path / "figures/b.svg"]

    assert own.job("reporting.reference", *options) == 1
    assert "b.svg" in capsys.readouterr().err
    assert set(committed(tmp_path).values()) == {"old"}
    assert not [path for name in ("numbers", "drawn") for path in (tmp_path / name).glob(".*")]

    write_text(tmp_path / "figures/b.svg", "new")
    assert own.job("reporting.reference", *options) == 0
    found = committed(tmp_path)
    assert {name for name, text in found.items() if text != "old"} == made
    assert found.keys() - made == {"numbers/rows/toy_lesions/fedit.zip", "drawn/examples.png"}
    assert {found[name] for name in made if not name.endswith(tuple(NUMBERS))} == {"new"}
