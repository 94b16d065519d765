"""Classification and segmentation in one comparison, to one leaderboard, its figures and its report."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.workflow.conftest import Project
from tests.workflow.test_dag import trained

pytestmark = pytest.mark.workflow

CASES = "results/two_tasks/cases/toy_volumes.csv"


def test_two_tasks_run_to_one_leaderboard(two_tasks: Project) -> None:
    """The classification that was already there was not trained again; masks are kept of the shown cases alone."""
    results, drawn = two_tasks.folder / "results/two_tasks", two_tasks.folder / "figures/two_tasks"

    clients = pd.read_parquet(results / "clients.parquet")
    metrics = clients.groupby("federation")["metric"].agg(set)
    assert "balanced_accuracy" in metrics["toy_lesions"]
    assert {"dice", "jaccard", "dice[organ]", "dice[lesion]"} <= metrics["toy_volumes"]
    dice = clients[clients["metric"] == "dice"]
    assert set(dice["client"]) == {"0", "1"}
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


def test_adding_a_method_predicts_no_other_rows_cases_anew(two_tasks: Project) -> None:
    """Cases are chosen among more rows then; before they are, nobody knows that they would be others."""
    mine = two_tasks.folder / "methods/mine.py"
    shutil.copy(two_tasks.folder / "methods/_template.py", mine)
    jobs = two_tasks.planned(config="two_tasks")
    mine.unlink()
    assert trained(jobs) == {"mine"}
    assert {("cases",), ("overlays",)} <= jobs
    assert ("show",) not in jobs


def test_cases_that_are_chosen_again_are_predicted_where_they_are_others(two_tasks: Project, tmp_path: Path) -> None:
    """One client's are gone: others than were predicted. Chosen anew they are those, and nothing is predicted."""
    folder = tmp_path / "project"
    shutil.copytree(two_tasks.folder, folder, copy_function=shutil.copy2)
    project, cases = Project(folder), folder / CASES
    whole = cases.read_text(encoding="utf-8")
    cases.write_text("".join(whole.splitlines(keepends=True)[:-2]), encoding="utf-8")
    assert ("show",) in project.planned(config="two_tasks")
    printed = project.snakemake("figures/two_tasks/overlays.svg", "--forcerun", "cases", config="two_tasks")
    assert "Choose the cases of toy_volumes" in printed
    assert "Predict the shown cases" not in printed
    assert cases.read_text(encoding="utf-8") == whole
    assert project.planned(config="two_tasks") <= {("report",), ("all",)}
