"""How methods compare on validation images: the tables of the results, without anything that was tested."""

import shutil
from pathlib import Path

import pandas as pd
import pytest

from benchmark.files import read_json
from benchmark.reporting import develop
from tests.reporting import synthetic


def test_tables_are_of_validation_scores_at_the_chosen_rate(tree: synthetic.Tree, tmp_path: Path) -> None:
    """From what was gathered alone: there is no test, and no table of test metrics."""
    for name in ("selected", "gathered"):
        shutil.copytree(tree.root / name, tmp_path / name)
    shutil.copy(tree.comparison, tmp_path)
    bare = synthetic.Tree(tmp_path)
    assert bare.job("reporting.develop", "--output", tmp_path / "develop") == 0
    written = sorted(path.name for path in (tmp_path / "develop").iterdir())
    names = ("leaderboard", "toy_lesions", "toy_slides")
    assert written == sorted(f"{name}.{kind}" for name in names for kind in ("csv", "md"))
    board = pd.read_csv(tmp_path / "develop/leaderboard.csv").set_index("method")
    for method in ("fedit", "fedpal", "local"):
        for federation in ("toy_lesions", "toy_slides"):
            choice = read_json(tmp_path / f"selected/{federation}/{method}.json")
            mean = choice["scores"][choice["rate"]]["mean"]
            table = pd.read_csv(tmp_path / f"develop/{federation}.csv").set_index("method")
            assert table.loc[method, "mean"] == pytest.approx(mean)
            assert board.loc[method, f"mean:{federation}"] == pytest.approx(mean)
    text = (tmp_path / "develop/leaderboard.md").read_text()
    assert "balanced accuracy on validation images" in text
    assert develop.NOTE in text
