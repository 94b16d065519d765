"""A comparison over two tasks, one of which this project does not know: from counts to the report, by the jobs."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import benchmark.tasks
from benchmark import gallery
from benchmark.counted import ABOUT, frame
from benchmark.evaluation import counts
from benchmark.files import read_json, write_json
from benchmark.reporting.inputs import load
from benchmark.tasks import task as tasks
from tests.evaluation import distance
from tests.reporting import browser, synthetic

ROOT = Path(__file__).parents[2]


@pytest.fixture
def known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Another task stands beside the project's."""
    folder = tmp_path / "tasks"
    folder.mkdir()
    shutil.copy(distance.__file__, folder)
    monkeypatch.setattr(benchmark.tasks, "__path__", [*benchmark.tasks.__path__, str(folder)])
    yield
    sys.modules.pop("benchmark.tasks.distance", None)


@pytest.fixture
def tree(known: None, tmp_path: Path) -> synthetic.Tree:
    """Drawn results in which `toy_slides` is a mean distance over cases of two samples, less being better."""
    tree = synthetic.write(tmp_path / "results", diverged=())
    other = tasks.find("distance")
    for folder in tree.runs:
        if "toy_slides" in folder.parts:
            content = read_json(folder / "run.json")
            task = {"name": other.name, "score": other.score_name, "higher_is_better": False}
            write_json(folder / "run.json", {**content, "task": task})
            metrics = pd.read_parquet(folder / "metrics.parquet")
            metrics["metric"] = metrics["metric"].replace("balanced_accuracy", other.score_name)
            metrics.to_parquet(folder / "metrics.parquet")
    for row in (tree.root / "runs/toy_slides").iterdir():
        tree.select("toy_slides", row.name)
    for folder in tree.tests:
        if "toy_slides" in folder.parts:
            about = pd.read_parquet(folder / counts.KEPT, columns=ABOUT)
            about["case"] = about["group"] = about["client"] + (about.groupby("client").cumcount() // 2).astype(str)
            values = synthetic.generator(*folder.parts[-2:]).gamma(2, size=(len(about), 1, 1))
            frame(about, values, other.counted).to_parquet(folder / counts.FILE)
            about.to_parquet(folder / counts.KEPT)
    manifests = read_json(tree.comparison)["manifests"]
    manifests["toy_slides"] |= {"task": other.name, "classes": []}
    tree.change(manifests=manifests)
    assert tree.job("evaluation.collect") == 0
    return synthetic.with_statistics(tree)


def test_every_job_reports_on_both(tree: synthetic.Tree, tmp_path: Path) -> None:
    results = load(tree.comparison, statistics=True, overlaps=True)
    scores = results.metrics.groupby("federation")["metric"].unique()
    assert "balanced_accuracy" in scores["toy_lesions"]
    assert list(scores["toy_slides"]) == ["mean_distance"]

    # The best method has the least distance; its case's distance is the mean of two samples' sum over cases.
    cells = results.cells[results.cells["federation"] == "toy_slides"]
    (folder,) = (f for f in tree.tests if f.parts[-3:] == ("toy_slides", "fedit", "seed=0"))
    own = pd.read_parquet(folder / counts.FILE).query("client == '0'").groupby("case")["distance"].sum()
    mine = cells[(cells["method"] == "fedit") & (cells["seed"] == 0) & (cells["client"] == "0")]["value"]
    assert mine.item() == pytest.approx(own.mean())
    ranked = cells[~cells["method"].isin(results.controls)].groupby(["client", "seed", "method"])["value"].first()
    expected = ranked.unstack("method").rank(axis=1).groupby("client").mean()
    pd.testing.assert_frame_equal(results.ranks.loc["toy_slides"], expected, check_names=False)

    intervals = results.statistics.intervals
    assert not ((intervals["federation"] == "all") & (intervals["quantity"] == "mean")).any()
    assert not (intervals["quantity"].eq("corrected_mean") & intervals["federation"].eq("all")).any()
    given = intervals[intervals["reason"] == ""]
    assert len(given)
    assert np.isfinite(given[["value", "low", "high"]]).all(axis=None)
    assert intervals.loc[intervals["reason"] != "", "low"].isna().all()

    published = ROOT / "results/reference/published.csv"
    for name in results.federations:
        files = [part for kind in ("csv", "md", "tex") for part in (f"--{kind}", tmp_path / f"{name}.{kind}")]
        assert tree.job("reporting.tables", name, "--published", published, *files) == 0
    assert "mean distance on the test images" in (tmp_path / "toy_slides.md").read_text()
    assert tree.job("reporting.leaderboard", "--csv", tmp_path / "l.csv", "--md", tmp_path / "l.md") == 0
    assert {"mean:toy_lesions", "mean:toy_slides"} <= set(pd.read_csv(tmp_path / "l.csv"))
    assert tree.job("evaluation.checks", "--output", tree.root / "checks.csv") == 0
    shown = gallery.names(results.task(federation).figures for federation in results.federations)
    drawn = [name for name in shown if name not in gallery.FROM_IMAGES]
    assert tree.job("reporting.figures", *drawn, "--output", tmp_path) == 0
    assert set(pd.read_csv(tmp_path / "confusion.csv")["federation"]) == {"toy_lesions"}
    (tmp_path / "examples.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    page = tmp_path / "report.html"
    assert tree.job("reporting.report", "--published", published, "--figures", tmp_path, "--output", page) == 0
    assert "balanced accuracy (toy_lesions), mean distance (toy_slides) on the test images" in page.read_text()
    if shutil.which("chromium"):
        _is_drawn(page.read_text(encoding="utf-8"), tmp_path)


def _is_drawn(html: str, folder: Path) -> None:
    """A score without classes, without chance and better where it is less has its cells, its shades and its sides."""
    addresses = ["task=distance", "task=distance&view=corrected", "task=distance&cell=toy_slides/fedit/0"]
    plain, corrected, opened = browser.read(html, [(1000 + i, f"#{a}") for i, a in enumerate(addresses)], folder)[
        "frames"
    ]
    assert plain["faults"] == corrected["faults"] == opened["faults"] == []
    assert plain["columns"] == ["Method", "0 Site 0", "1 Site 1", "Mean"]
    assert plain["cells"] == 4 * 2
    assert "sensitivity" not in opened["behind"]
    assert opened["behind"].startswith("mean distance")
    for text, shade in zip(plain["texts"], plain["shades"], strict=True):
        assert (shade == "down") == (text[0] == "+"), "more is worse"
