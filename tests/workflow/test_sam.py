"""SAM's rows from drawn data and drawn weights to tables and report, by one command, as cheap as they can be."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from tests.methods.test_sam import SMALL
from tests.workflow.conftest import SMALL as BASE
from tests.workflow.conftest import Project, copy_code

pytestmark = pytest.mark.workflow
ROWS = ["flap_sam", "sam_full", "sam_head"]
SAM = {
    **BASE,
    "name": "sam",
    "federations": {"toy_volumes": {"image_size": 32, "options": {"scale": 0.3, "side": 32}, "validation": 0.3}},
    "methods": ROWS,
    "rates": ["1e-3"],
    "backbone": {"network": "sam", "name": "sam_tiny", "weights": "drawn", "arguments": SMALL},
    "training": {"optimiser": {"name": "adamw"}},
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose SAM was pretrained on a few drawn shapes and fine-tuned on a few drawn volumes."""
    project = Project(tmp_path_factory.mktemp("sam"))
    copy_code(project.folder)
    pretraining = project.folder / "benchmark/models/sam_pretrain.py"
    code = pretraining.read_text(encoding="utf-8")
    few = code.replace("images: int = 1024", "images: int = 32").replace("epochs: int = 20", "epochs: int = 1")
    assert few.count("= 32,") == few.count("epochs: int = 1,") == 1
    pretraining.write_text(few, encoding="utf-8")
    (project.folder / "config/sam.yaml").write_text(yaml.safe_dump(SAM), encoding="utf-8")
    project.snakemake("all", config="sam")
    return project


def run_of(project: Project, method: str) -> Path:
    """The folder of a row's one run."""
    return project.folder / f"results/sam/runs/toy_volumes/{method}/lr=1e-3/seed=0"


def test_every_row_is_scored(trained: Project) -> None:
    """On every client, in cases' Dice and Jaccard; the tables have a row for each; the report shows masks."""
    results = trained.folder / "results/sam"
    dice = pd.read_parquet(results / "clients.parquet").query("metric == 'dice'")
    assert sorted(zip(dice["method"], dice["client"], strict=True)) == [(m, c) for m in sorted(ROWS) for c in "012"]
    assert dice["value"].between(0, 1).all()
    assert dice["value"].nunique() > len(ROWS), "rows and clients differ"
    table, board = (pd.read_csv(results / name) for name in ("tables/toy_volumes.csv", "leaderboard.csv"))
    for found in (table, board):
        assert sorted(found["method"]) == sorted(ROWS)
        assert np.isfinite(found["average_rank"]).all()
    for method, own in dice.groupby("method"):
        assert table.set_index("method").loc[method, "mean"] == pytest.approx(own["value"].mean(), abs=1e-12)
    assert set(pd.read_csv(trained.folder / "figures/sam/overlays.csv")["method"]) == set(ROWS)
    page = (results / "report.html").read_text(encoding="utf-8")
    for title in ("FLAP-SAM", "SAM, full", "SAM, head", "Aggregation error"):
        assert title in page


def test_runs_cost_what_the_table_of_communication_says(trained: Project) -> None:
    """Parameters and bytes, row by row, of runs and of the table that needs none."""
    table = pd.read_csv(trained.folder / "results/sam/tables/communication.csv").set_index("method")
    assert sorted(table.index) == sorted(ROWS)
    for method in ROWS:
        run = json.loads((run_of(trained, method) / "run.json").read_text(encoding="utf-8"))
        costs, told = run["costs"], table.loc[method]
        assert costs["trainable_parameters"] == told["parameters"] > 0
        assert (costs["bytes_up"], costs["bytes_down"]) == (told["bytes_up"], told["bytes_down"])
        both = costs["bytes_up_total"] + costs["bytes_down_total"]
        assert len(run["clients"]) * both == told["total_bytes"]
        assert run["diverged_round"] is None
    assert table.loc["sam_full", "total_bytes"] == table["total_bytes"].max()
    assert table.loc["flap_sam", "parameters"] > table.loc["sam_head", "parameters"]


def test_the_error_of_averaging_is_recorded(trained: Project) -> None:
    """Of the row that averages products, once a round; a row that averages no adapter has none."""
    of = {m: pd.read_parquet(run_of(trained, m) / "metrics.parquet").query("split == 'server'") for m in ROWS}
    assert of["flap_sam"]["metric"].tolist() == ["aggregation_error"]
    assert 0 < of["flap_sam"]["value"].item() < 1
    run = json.loads((run_of(trained, "flap_sam") / "run.json").read_text(encoding="utf-8"))
    assert run["exchange"] == {"aggregation_error": of["flap_sam"]["value"].item()}
    assert all(of[method].empty for method in ROWS if method != "flap_sam")


def test_a_row_that_is_lost_is_trained_alone(trained: Project) -> None:
    """Nothing is left to do after a run; and where one row is asked for anew, no other is."""
    assert "Nothing to be done" in trained.snakemake("all", "-n", config="sam")
    with trained.edited("methods/sam/sam_head.py", 'paper = "arXiv:2407.21739"', 'paper = "arXiv:2407.21739v2"'):
        printed = trained.snakemake("all", "-n", config="sam")
    assert "Train sam_head on toy_volumes" in printed
    assert not [m for m in ROWS if m != "sam_head" and f"Train {m} on" in printed]
