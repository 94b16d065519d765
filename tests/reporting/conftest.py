"""Results that the tests of this folder read."""

import argparse
from pathlib import Path

import pytest

from benchmark.evaluation import checks
from benchmark.reporting import figures, report
from benchmark.reporting.inputs import Results, add_arguments, load
from tests.reporting import synthetic

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def tree(tmp_path_factory: pytest.TempPathFactory) -> synthetic.Tree:
    """Results and statistics of two datasets, three ranked methods, a control, two rates, two seeds: never changed."""
    return synthetic.with_statistics(synthetic.write(tmp_path_factory.mktemp("results")))


@pytest.fixture(scope="session")
def results(tree: synthetic.Tree) -> Results:
    """The same, read."""
    return read(tree)


def read(tree: synthetic.Tree) -> Results:
    """Read results as the jobs do."""
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return load(parser.parse_args([*tree.arguments(), *tree.extras()]))


@pytest.fixture
def published() -> Path:
    """The published values that the project commits."""
    return ROOT / "results" / "reference" / "published.csv"


@pytest.fixture(scope="session")
def html(tree: synthetic.Tree, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The page that reports on the results, with two figures."""
    folder = tmp_path_factory.mktemp("report")
    findings, page = folder / "checks.csv", folder / "report.html"
    assert checks.main([*tree.arguments(), "--output", str(findings)]) == 0
    drawn = []
    for name in ("clients", "average_rank"):
        drawn.append(folder / f"{name}.svg")
        options = ["--pdf", str(folder / "x.pdf"), "--svg", str(drawn[-1]), "--csv", str(folder / "x.csv")]
        assert figures.main([name, *tree.arguments(), *tree.extras(), *options]) == 0
    arguments = [
        *tree.arguments(),
        *("--title", "A <title> & more"),
        *("--published", str(ROOT / "results" / "reference" / "published.csv")),
        *("--checks", str(findings)),
        *("--figures", *map(str, drawn)),
        *("--captions", *map(str, sorted((ROOT / "report").glob("*.rst")))),
        *("--output", str(page)),
    ]
    assert report.main(arguments) == 0
    return page.read_text(encoding="utf-8")
