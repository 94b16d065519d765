"""The appendix is made after selection, from test data, and nothing else reads it."""

import pandas as pd
import pytest

from tests.workflow.conftest import Project

pytestmark = pytest.mark.workflow

TABLE = "results/small/appendix/selection.csv"


def test_the_appendix_follows_selection_and_feeds_no_table(project: Project) -> None:
    """Its scores at the chosen rates are those of the leaderboard; the leaderboard is planned without it."""
    project.configure(appendix=True)
    planned = project.snakemake(TABLE, "-n", "--forceall")
    assert "Test every rate of fedit on toy_lesions for the appendix" in planned
    assert "Select the rate of fedit on toy_lesions" in planned
    results = "results/small/"
    everything = [f"{results}{name}" for name in ("leaderboard.csv", "checks.csv", "selection.csv", "clients.parquet")]
    tables = [f"{results}tables/toy_lesions.csv", "figures/small/clients.svg"]
    assert "results/small/appendix" not in project.snakemake(*everything, *tables, "-n", "--forceall")

    project.snakemake(TABLE)
    table = pd.read_csv(project.folder / TABLE, dtype={"rates": str}).set_index(["method", "rule"])
    clients = pd.read_parquet(project.folder / "results/small/clients.parquet")
    scores = clients[clients["metric"] == "balanced_accuracy"].groupby("method")["value"].mean()
    for method in ("fedit", "local"):
        means = table.loc[method, "mean"]
        assert means["published"] == pytest.approx(scores[method], abs=1e-9)
        assert means["published"] <= means["test"] <= means["test_per_client"]
