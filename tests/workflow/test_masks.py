"""Classification and segmentation in one comparison, to one leaderboard, its figures and its report."""

import numpy as np
import pandas as pd
import pytest
import yaml

from tests.workflow.conftest import SMALL, Project

pytestmark = pytest.mark.workflow


def test_two_tasks_run_to_one_leaderboard(project: Project) -> None:
    """The classification that is already there is not trained again; masks are kept of the shown cases alone.

    Volumes are read with a slice's neighbours as its channels.
    """
    volumes = {"image_size": 24, "options": {"scale": 0.3, "side": 32}, "validation": 0.3, "context": [-1, 0, 1]}
    changed = {**SMALL, "name": "two_tasks", "federations": {**SMALL["federations"], "toy_volumes": volumes}}
    (project.folder / "config/two_tasks.yaml").write_text(yaml.safe_dump(changed), encoding="utf-8")
    project.snakemake("all", config="two_tasks")
    results, drawn = project.folder / "results/two_tasks", project.folder / "figures/two_tasks"

    clients = pd.read_parquet(results / "clients.parquet")
    metrics = clients.groupby("federation")["metric"].agg(set)
    assert "balanced_accuracy" in metrics["toy_lesions"]
    assert {"dice", "jaccard", "dice[organ]", "dice[lesion]"} <= metrics["toy_volumes"]
    dice = clients[clients["metric"] == "dice"]
    assert set(dice["client"]) == {"0", "1", "2"}
    assert dice["value"].between(0, 1).all()
    board = pd.read_csv(results / "leaderboard.csv")
    assert "toy_lesions" in "".join(board.columns) + board.to_csv()
    assert "toy_volumes" in "".join(board.columns) + board.to_csv()

    scores = pd.read_csv(drawn / "case_scores.csv")
    tested = pd.read_parquet(results / "test/toy_volumes/fedit/seed=0/counts.parquet")
    assert scores.groupby("method")["case"].nunique().tolist() == [tested["case"].nunique()] * 2
    for client, own in scores[scores["method"] == "fedit"].groupby("client"):
        stated = dice[(dice["method"] == "fedit") & (dice["client"] == str(client))]["value"].iloc[0]
        assert own["value"].mean() == pytest.approx(stated, abs=1e-12)

    shown = pd.read_csv(drawn / "overlays.csv", dtype={"client": str})
    assert set(shown["method"]) == {"fedit", "local"}
    assert set(shown["reference"]) == {"fedit"}, "a control is no reference"
    own = scores[scores["method"] == "fedit"].astype({"client": str})
    for _, row in shown[(shown["method"] == "fedit") & (shown["place"] == "worst")].iterrows():
        assert row["value"] == own.loc[own["client"] == row["client"], "value"].min()
    with np.load(results / "test/toy_volumes/local/shown.npz") as held:
        assert sorted(held["sample"]) == sorted(shown["sample"].unique())
        assert held["predicted"].shape == held["target"].shape == (len(held["sample"]), 24, 24)
    page = (results / "report.html").read_text(encoding="utf-8")
    assert "median and the worst test case" in page
    assert "toy_volumes" in (results / "leaderboard.md").read_text(encoding="utf-8")
