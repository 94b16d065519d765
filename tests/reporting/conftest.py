"""Results that the tests of this folder read."""

import argparse
from pathlib import Path

import pytest

from benchmark.reporting.inputs import Results, add_arguments, load
from tests.reporting import synthetic


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
    return Path(__file__).parents[2] / "results" / "reference" / "published.csv"
