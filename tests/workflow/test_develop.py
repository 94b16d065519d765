"""`snakemake develop`: methods are compared on validation images, and no test split is opened."""

import os

import pandas as pd
import pytest

from benchmark.files import read_json
from benchmark.plan import Plan
from tests.workflow.conftest import SMALL, Project

pytestmark = pytest.mark.workflow


def test_develop_compares_on_validation_images_with_unreadable_test_images(untrained: Project) -> None:
    """It trains and selects, and shows its table; `all`, which tests, cannot even begin to."""
    pack = untrained.folder / "results/packs" / Plan.of(SMALL).pack("toy_lesions")
    for path in pack.glob("test.*"):
        times = path.stat()
        path.write_bytes(b"closed")
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    printed = untrained.snakemake("develop")
    assert "balanced accuracy on validation images" in printed
    assert "| FedIT (`fedit`) |" in printed
    results = untrained.folder / "results/small"
    assert untrained.run("fedit", "1e-3")["origin"] == "trained"
    board = pd.read_csv(results / "develop/leaderboard.csv").set_index("method")
    for method in SMALL["methods"]:
        choice = read_json(results / f"selected/toy_lesions/{method}.json")
        assert board.loc[method, "mean:toy_lesions"] == pytest.approx(choice["scores"][choice["rate"]]["mean"])
    assert not (results / "test").exists()
    assert "Error in rule evaluate" in untrained.snakemake("results/small/clients.parquet", ok=False)
