"""Where a run stands is said in one place."""

import ast
from pathlib import Path

import pytest

from benchmark.comparison import EVERY_RUN, Places, run_path
from benchmark.sources import ROOT


def test_a_run_stands_in_its_rows_folder(tmp_path: Path) -> None:
    """The rate is the user's own text; the pattern finds runs and nothing else."""
    assert run_path("5e-4", 3) == "lr=5e-4/seed=3"
    assert run_path("5e-4", 3, "run.json") == "lr=5e-4/seed=3/run.json"
    assert Places("results/x").run("toy", "fedit", "5e-4", 3) == "results/x/runs/toy/fedit/lr=5e-4/seed=3"
    for folder in ("lr=5e-4/seed=3", "lr=0.1/seed=0", "shards/seed=0", "lr=0.1/adapters"):
        (tmp_path / folder).mkdir(parents=True)
    assert {path.relative_to(tmp_path).as_posix() for path in tmp_path.glob(EVERY_RUN)} == {
        "lr=5e-4/seed=3",
        "lr=0.1/seed=0",
    }


@pytest.mark.parametrize("folder", ["benchmark", "benchmarks"])
def test_nobody_else_spells_a_runs_path(folder: str) -> None:
    """Another module's text may describe the path, in a docstring, and never builds one."""
    spelled = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if (isinstance(node, ast.JoinedStr) and any("lr=" in str(_text(part)) for part in node.values))
        or _text(node).startswith("lr=")
    }
    assert spelled <= {"benchmark/comparison.py"}


def _text(node: ast.AST) -> str:
    """A text constant's value; empty for anything else."""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""
