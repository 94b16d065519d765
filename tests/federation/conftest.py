"""Where training jobs run as processes: a pack, a backbone and a method's file."""

import pytest

from benchmark.methods import method_file
from tests.federation.jobs import Workplace, workplace
from tests.federation.small import ROOT


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    """Three hospitals and FedIT."""
    return workplace(tmp_path_factory.mktemp("workplace"), ROOT / method_file("fedit"))
