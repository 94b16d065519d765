"""The README's leaderboard."""

from pathlib import Path

import pytest

from benchmark.reporting import readme
from tests.reporting import synthetic

TEXT = f"# Title\n\n{readme.BEGIN}\nold\n{readme.END}\n\nrest\n"


@pytest.fixture
def tree(tmp_path: Path) -> synthetic.Tree:
    """Results with a leaderboard of one line, beside a README."""
    found = synthetic.write(tmp_path / "results", methods=["fedit"], diverged=())
    (found.root / "leaderboard.md").write_text("| # | Method |\n", encoding="utf-8")
    (tmp_path / "README.md").write_text(TEXT, encoding="utf-8")
    return found


def test_the_table_is_replaced_and_the_rest_stays(tree: synthetic.Tree, tmp_path: Path) -> None:
    assert tree.job("reporting.readme", "--readme", tmp_path / "README.md") == 0
    text = (tmp_path / "README.md").read_text(encoding="utf-8")
    assert text.startswith(f"# Title\n\n{readme.BEGIN}\n| # | Method |\n")
    assert text.endswith(f"{readme.END}\n\nrest\n")
    assert "old" not in text
    for part in ("Drawn GPU", "python 3.11", "torch 2.0", "abcdef012345"):
        assert part in text


def test_check_writes_nothing_and_tells_a_difference(
    tree: synthetic.Tree, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--readme", tmp_path / "README.md"]
    assert tree.job("reporting.readme", *options, "--check") == 1
    assert capsys.readouterr().err.count("\n") == 1
    assert (tmp_path / "README.md").read_text(encoding="utf-8") == TEXT
    assert tree.job("reporting.readme", *options) == 0
    assert tree.job("reporting.readme", *options, "--check") == 0


@pytest.mark.parametrize("text", ["", readme.BEGIN, readme.END + readme.BEGIN, TEXT + TEXT])
def test_a_readme_without_exactly_one_place_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected one line"):
        readme.filled(text, "", synthetic.run("d", "fedit", "1e-3", 0, ["0"]))


def test_the_readmes_leaderboard_is_the_committed_one() -> None:
    """What the README shows is what `snakemake reference readme` wrote beside it."""
    root = Path(__file__).resolve().parents[2]
    leaderboard = (root / "results/reference/quickstart/leaderboard.md").read_text(encoding="utf-8")
    assert leaderboard.strip() in (root / "README.md").read_text(encoding="utf-8")
