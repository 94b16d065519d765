"""Reliability diagrams: tenths of confidence against plain loops, and the error of the other tables."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmark import gallery
from benchmark.evaluation import counts
from benchmark.evaluation.ranks import best_ranked
from benchmark.reporting.drawings.reliability import reliability
from benchmark.reporting.inputs import Results, load
from benchmark.reporting.tested import stated
from benchmark.tasks.classification import Classification
from benchmark.tasks.segmentation import Segmentation
from tests.reporting import synthetic


def loop(results: Results, federation: str, method: str, client: str) -> dict[int, tuple[int, float, float]]:
    """By tenth of confidence: predictions, mean confidence, share that is right. One prediction after the other."""
    found: dict[int, list[tuple[float, bool]]] = {}
    for seed in results.seeds:
        folder = Path(results.comparison.places.test(federation, method, seed, ""))
        said = pd.read_parquet(folder / counts.KEPT).set_index("sample")
        true = (
            pd.read_parquet(folder / counts.FILE).query("true == 1 and client == @client").set_index("sample")["class"]
        )
        for sample, label in true.items():
            own = said.loc[sample].filter(like="probability_").to_numpy(dtype=float)
            found.setdefault(int(10 * own.max()), []).append((own.max(), int(own.argmax()) == label))
    return {tenth: (len(own), *np.mean(own, axis=0)) for tenth, own in found.items()}


def test_a_point_is_a_tenth_of_confidence(results: Results) -> None:
    _, numbers = reliability(results)
    for federation in results.federations:
        here = numbers[numbers["federation"] == federation]
        assert list(dict.fromkeys(here["method"])) == [best_ranked(results.ranks, federation), "local"]
        assert set(here["client"]) == set(results.sites(federation))
    for (federation, method, client), own in numbers.groupby(["federation", "method", "client"]):
        expected = loop(results, federation, method, client)
        assert own["tenth"].tolist() == sorted(expected)
        for row in own.itertuples():
            assert (row.predictions, row.confidence, row.right) == pytest.approx(expected[row.tenth])


def test_the_error_is_that_of_the_other_tables(results: Results) -> None:
    """With one seed it follows from the points that are drawn: the mean distance, weighted by predictions."""
    one = replace(
        results,
        runs=[run for run in results.runs if run["seed"] == 0],
        metrics=results.metrics[results.metrics["seed"] == 0],
    )
    figure, numbers = reliability(one)
    metrics = one.metrics.set_index(["federation", "method", "client", "metric"])
    for key, own in numbers.groupby(["federation", "method", "client"]):
        gaps = (own["confidence"] - own["right"]).abs() * own["predictions"]
        assert own["calibration_error"].iloc[0] == pytest.approx(gaps.sum() / own["predictions"].sum())
        assert own["calibration_error"].iloc[0] == metrics.loc[(*key, "calibration_error"), "value"]
        assert own["predictions"].sum() == own["images"].iloc[0] == metrics.loc[(*key, "accuracy"), "n"]
    below = [axes.get_xlabel() for axes in figure.axes]
    for (_, client), own in numbers.groupby(["federation", "client"], sort=False):
        said = [
            f"{one.methods[name].title} {part.iloc[0]:.2f}"
            for name, part in own.groupby("method", sort=False)["calibration_error"]
        ]
        assert "\n".join([f"{own['images'].iloc[0]} images", *said]) in below, client


def test_a_model_that_diverged_states_nothing(results: Results, monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmark.reporting.drawings import reliability as drawing

    def broken(held: Results, federation: str, method: str) -> dict:
        return {client: values * np.nan for client, values in stated(held, federation, method).items()}

    monkeypatch.setattr(drawing, "stated", broken)
    lost = results.metrics["metric"] == "calibration_error"
    figure, numbers = reliability(
        replace(results, metrics=results.metrics.assign(value=results.metrics["value"].mask(lost)))
    )
    assert numbers["predictions"].eq(0).all()
    assert numbers[["tenth", "confidence", "right", "calibration_error"]].isna().all(axis=None)
    figure.canvas.draw()
    assert "Local diverged" in figure.axes[0].get_xlabel()


def test_a_task_that_keeps_no_probabilities_is_told_so(tmp_path: Path) -> None:
    slides = {"toy_slides": synthetic.FEDERATIONS["toy_slides"]}
    tree = synthetic.write(tmp_path, federations=slides, methods=["fedit"], seeds=[0], diverged=())
    path = tree.tests[0] / counts.KEPT
    pd.read_parquet(path, columns=counts.ABOUT).to_parquet(path)
    with pytest.raises(
        ValueError, match=r"predictions\.parquet: no column probability_0, .*; let `kept` of the task class"
    ):
        stated(load(tree.comparison), "toy_slides", "fedit")


def test_it_stands_beside_confusions_alone() -> None:
    assert "reliability" in gallery.names([Classification.figures])
    assert "reliability" not in gallery.names([Segmentation.figures])
