"""A task and a network, each a file that nothing else knows, go from the drawn images to the tables and the report."""

import shutil

import pandas as pd
import pytest
import yaml

from tests.workflow.conftest import ROOT, SMALL, Project

pytestmark = pytest.mark.workflow

DATASET = '''"""Drawn lesions of which one number is to be told: how bright they are."""

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from benchmark.data.datasets.toy_lesions import ToyLesions


class ToyBright(ToyLesions):
    """The images of `toy_lesions`."""

    name = "toy_bright"
    title = "Toy brightness"
    classes = ()
    task = "brightness"

    def index(self, root: Path, protocol: str, split_seed: int) -> pd.DataFrame:
        """With the mean of all pixels in place of a label."""
        table = super().index(root, protocol, split_seed).drop(columns="label")
        means = [float(np.asarray(Image.open(root / path)).mean() / 255) for path in table["path"]]
        return table.assign(brightness=means)


DATASET = ToyBright()
'''


def test_a_task_and_a_network_in_one_file_each_run_to_the_tables(project: Project) -> None:
    """Beside a federation of another task: two scores, of which one is better when it is smaller."""
    for file, room in (("brightness", "tasks"), ("convnet", "models")):
        shutil.copy(ROOT / f"tests/seams/{file}.py", project.folder / f"benchmark/{room}/{file}.py")
    (project.folder / "benchmark/data/datasets/toy_bright.py").write_text(DATASET, encoding="utf-8")
    federations = {**SMALL["federations"], "toy_bright": SMALL["federations"]["toy_lesions"]}
    changed = {
        **SMALL,
        "name": "seams",
        "federations": federations,
        "methods": ["fedit", "local"],
        "backbone": {"network": "convnet", "name": "convnet", "weights": "drawn"},
        "trains": ["all"],
        "rates": ["1e-2", "1e-1"],
        "rounds": 2,
        "appendix": True,
    }
    (project.folder / "config/seams.yaml").write_text(yaml.safe_dump(changed), encoding="utf-8")
    project.snakemake("all", config="seams")
    results = project.folder / "results/seams"
    clients = pd.read_parquet(results / "clients.parquet")
    scores = clients.groupby("federation")["metric"].agg(set)
    assert "mean_absolute_error" in scores["toy_bright"]
    assert "balanced_accuracy" in scores["toy_lesions"]
    errors = clients[clients["metric"] == "mean_absolute_error"]
    assert len(errors) == 2 * 6
    assert errors["value"].between(0, 1).all()
    selected = pd.read_csv(results / "selection.csv", dtype={"rate": str})
    for _, rates in selected[selected["federation"] == "toy_bright"].groupby("method"):
        chosen = rates.loc[rates["chosen"], "mean"].iloc[0]
        assert chosen == rates["mean"].min(), "less error is better"
    for name in ("leaderboard.md", "report.html", "tables/toy_bright.md", "appendix/selection.csv"):
        assert (results / name).stat().st_size > 0
    assert "mean absolute error" in (results / "tables/toy_bright.md").read_text(encoding="utf-8")
    assert "balanced accuracy" in (results / "tables/toy_lesions.md").read_text(encoding="utf-8")


def test_a_method_that_needs_adapters_is_refused_at_planning(project: Project) -> None:
    """In one line, before anything runs: the network has none, or they are not trained."""
    shutil.copy(ROOT / "tests/seams/convnet.py", project.folder / "benchmark/models/convnet.py")
    project.configure(methods=["fedsa_lora"], backbone={**SMALL["backbone"], "network": "convnet"}, trains=["all"])
    said = project.snakemake("-n", "all", ok=False)
    assert "trains: fedsa_lora needs lora, but what is trained is all" in said
    project.configure(methods=["fedit"], backbone={**SMALL["backbone"], "network": "convnet"})
    said = project.snakemake("-n", "all", ok=False)
    assert "trains: fedit trains lora, head, but the network convnet has no projections for lora" in said
