"""What all tests have in common."""

import pytest
import torch
from hypothesis import settings

# On shared cores, threads that wait for each other make small models ten times slower.
torch.set_num_threads(1)

# Examples are the same in every run, nothing is written beside the sources, and a busy machine fails no test.
settings.register_profile("suite", database=None, deadline=None, derandomize=True)
settings.load_profile("suite")


def pytest_addoption(parser: pytest.Parser) -> None:
    """How long a campaign of faults goes on."""
    parser.addoption("--kills", type=int, default=8, help="how often the test of resuming kills a training")
    parser.addoption("--slurm", action="store_true", help="start a SLURM of one node here, as root, and use it")


@pytest.hookimpl(tryfirst=True)  # Before pytest-xdist looks for the groups.
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Processes of `pytest -n` share out whole files; one takes all that run Snakemake on one project, and begins."""
    items.sort(key=lambda item: item.path.parent.name != "workflow")
    for item in items:
        folder, name = item.path.parent.name, item.path.stem
        item.add_marker(pytest.mark.xdist_group("workflow" if folder == "workflow" else f"{folder}/{name}"))


@pytest.fixture
def kills(request: pytest.FixtureRequest) -> int:
    """How often the test of resuming kills a training."""
    return int(request.config.getoption("--kills"))
