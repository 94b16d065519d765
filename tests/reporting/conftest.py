"""Results that the tests of this folder read."""

from pathlib import Path

import pytest

from benchmark import gallery
from benchmark.reporting.inputs import Results, load
from benchmark.tasks.classification import Classification
from tests.reporting import synthetic

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> synthetic.Tree:
    """Results and statistics of two federations, three ranked methods, a control, two rates, two seeds."""
    return synthetic.with_statistics(synthetic.write(tmp_path_factory.mktemp("results")))


@pytest.fixture(scope="session")
def results(tree: synthetic.Tree) -> Results:
    """The same, read."""
    return load(tree.comparison, statistics=True, overlaps=True, validation=True)


@pytest.fixture
def published() -> Path:
    """The published values that the project commits."""
    return ROOT / "results" / "reference" / "published.csv"


@pytest.fixture(scope="session")
def html(tree: synthetic.Tree, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page that reports on the results; a grey rectangle stands for each figure that takes long to draw."""
    folder = tmp_path_factory.mktemp("report")
    for name in gallery.names([Classification.figures]):
        (folder / f"{name}.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    assert tree.job("reporting.figures", "clients", "average_rank", "--output", folder) == 0
    assert tree.job("evaluation.checks", "--output", tree.root / "checks.csv") == 0
    committed = ROOT / "results" / "reference" / "published.csv"
    page = folder / "report.html"
    assert tree.job("reporting.report", "--published", committed, "--figures", folder, "--output", page) == 0
    return page.read_text(encoding="utf-8")
