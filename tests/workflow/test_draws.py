"""Several draws of a split: each is trained and tested, every patient once, and together they count as one."""

import pandas as pd
import pytest
import yaml

from benchmark.comparison import Comparison
from benchmark.data.datasets.camelyon17 import Camelyon17
from benchmark.plan import Plan
from tests.workflow.conftest import SMALL, Project

pytestmark = pytest.mark.workflow

CLIENTS = ("0", "3")
FOLDS = Camelyon17.drawn["patient_folds"]


def test_patient_folds_test_every_patient_once_and_count_as_one(project: Project) -> None:
    """One setting trains all folds; clients' scores, and their intervals, are of all patients together."""
    slides = {
        "image_size": 24,
        "options": {"scale": 0.0003, "side": 32},
        "clients": list(CLIENTS),
        "protocol": "patient_folds",
        "draws": FOLDS,
        "validation": 0.3,
    }
    federations = {**SMALL["federations"], "toy_slides": slides}
    values = {**SMALL, "name": "folds", "federations": federations, "methods": ["fedit"]}
    (project.folder / "config/folds.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    project.snakemake("all", "develop", config="folds")
    results, folds = project.folder / "results/folds", [f"toy_slides_draw{k + 1}" for k in range(4)]
    assert Plan.of(values).federations == ["toy_lesions", *folds]
    assert Comparison.read(results).counted == ["toy_lesions", "toy_slides"]

    counts = [pd.read_parquet(results / f"test/{fold}/fedit/seed=0/counts.parquet") for fold in folds]
    tested = pd.concat(counts)
    patients = pd.concat([own[["client", "group"]].drop_duplicates() for own in counts])
    assert not patients.duplicated().any()
    assert patients.groupby("client").size().to_dict() == {"0": 7, "3": 10}, "the patients of Camelyon17"

    clients = pd.read_parquet(results / "clients.parquet")
    scores = clients[(clients["metric"] == "balanced_accuracy") & (clients["method"] == "fedit")]
    together = scores[scores["federation"] == "toy_slides"].set_index("client")["value"]
    for client, own in tested.groupby("client"):
        by_class = own.groupby("class")[["hit", "true"]].sum()
        assert together[client] == pytest.approx((by_class["hit"] / by_class["true"]).mean())
    intervals = pd.read_parquet(results / "intervals.parquet").set_index(["federation", "client", "quantity", "method"])
    assert intervals.loc[("toy_slides", "3", "score", "fedit"), "groups"] == 10
    assert intervals.loc[("toy_slides", "3", "score", "fedit"), "reason"] == ""
    assert "groups in the test set" in intervals.loc[("toy_slides_draw1", "3", "score", "fedit"), "reason"]

    board = pd.read_csv(results / "leaderboard.csv").set_index("method")
    assert [name for name in board if name.startswith("mean:")] == ["mean:toy_lesions", "mean:toy_slides"]
    assert board.loc["fedit", "mean:toy_slides"] == pytest.approx(together.mean())
    stability = pd.read_csv(results / "stability.csv")
    assert stability.loc[stability["varied"] == "draws", "setting"].tolist() == folds, "of one ranked method"
    page = (results / "report.html").read_text(encoding="utf-8")
    assert "Would other draws of the split rank the same?" in page
    assert (results / "tables/toy_slides_draw4.md").is_file()
    table = pd.read_csv(results / "tables/toy_slides.csv").set_index("method")
    assert table.loc["fedit", "mean"] == pytest.approx(together.mean())

    validated = pd.read_csv(results / "develop/leaderboard.csv").set_index("method")
    of_folds = [pd.read_csv(results / f"develop/{fold}.csv").set_index("method").loc["fedit", "mean"] for fold in folds]
    assert validated.loc["fedit", "mean:toy_slides"] == pytest.approx(sum(map(float, of_folds)) / 4)
