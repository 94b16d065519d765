"""Every client's test metrics. scikit-learn is the oracle."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, log_loss, recall_score, roc_auc_score

from benchmark.evaluation import collect
from benchmark.evaluation.counts import FILE
from benchmark.tasks.classification import Classification
from tests.evaluation.distance import Distance
from tests.reporting import synthetic

TASK = Classification(["naevus", "melanoma", "keratosis"])


@pytest.fixture
def drawn() -> tuple[np.ndarray, np.ndarray]:
    """Labels of which the last class is absent, and probabilities with many ties."""
    generator = np.random.default_rng(0)
    labels = generator.choice(2, p=[0.8, 0.2], size=60)
    probabilities = np.round(generator.dirichlet([1, 1, 1], size=60), 1)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    return labels, np.clip(probabilities, 1e-6, 1)


def metrics(labels: np.ndarray, probabilities: np.ndarray) -> pd.DataFrame:
    """The metrics of one client, as they follow from files: value and n by metric."""
    about = pd.DataFrame({"sample": [str(i) for i in range(len(labels))], "client": "x", "group": "g"})
    about["case"] = about["sample"]
    predicted = np.eye(3)[probabilities.argmax(axis=1)]
    predicted[np.isnan(probabilities).any(axis=1)] = np.nan
    true = np.eye(3)[labels]
    kept = pd.DataFrame(probabilities).add_prefix("probability_")
    found = collect.metrics(TASK, about, np.stack([predicted * true, predicted, true], -1), kept)
    return pd.DataFrame(found, columns=["metric", "value", "n"]).set_index("metric")


def values(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    return dict(metrics(labels, probabilities)["value"])


def test_metrics_are_scikit_learns(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    labels, probabilities = drawn
    found, predicted = values(labels, probabilities), probabilities.argmax(axis=1)
    assert 2 in predicted, "an absent class must be predicted, or the test does not see how it is treated"
    with pytest.warns(UserWarning, match="not in y_true"):
        assert found["balanced_accuracy"] == pytest.approx(balanced_accuracy_score(labels, predicted))
    assert found["accuracy"] == pytest.approx(accuracy_score(labels, predicted))
    recalls = recall_score(labels, predicted, labels=[0, 1], average=None)
    assert [found["recall[naevus]"], found["recall[melanoma]"]] == pytest.approx(list(recalls))
    one_against_rest = [roc_auc_score(labels == c, probabilities[:, c]) for c in (0, 1)]
    assert found["auc"] == pytest.approx(np.mean(one_against_rest))
    normal = probabilities / probabilities.sum(axis=1, keepdims=True)
    assert values(labels, normal)["cross_entropy"] == pytest.approx(log_loss(labels, normal, labels=[0, 1, 2]))


def test_the_auc_of_three_present_classes_is_scikit_learns() -> None:
    generator = np.random.default_rng(1)
    labels, probabilities = generator.integers(3, size=50), generator.dirichlet([1, 1, 1], size=50)
    assert values(labels, probabilities)["auc"] == pytest.approx(
        roc_auc_score(labels, probabilities, multi_class="ovr", average="macro")
    )


def test_the_calibration_error_is_the_gap_of_every_bin_weighted_by_its_images() -> None:
    """By hand: three images at 0.8, two of them right; one at 0.6, wrong: (3 |2/3 - 0.8| + |0 - 0.6|) / 4."""
    probabilities = np.array([[0.8, 0.1, 0.1], [0.8, 0.2, 0.0], [0.1, 0.8, 0.1], [0.6, 0.4, 0.0]])
    found = values(np.array([0, 1, 1, 1]), probabilities)
    assert found["confidence"] == pytest.approx(0.75)
    assert found["calibration_error"] == pytest.approx((3 * (0.8 - 2 / 3) + 0.6) / 4)
    assert values(np.array([0, 1, 1]), np.eye(3)[[0, 1, 1]])["calibration_error"] == 0, "sure, and right"


def test_an_undefined_metric_has_no_row(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    labels, probabilities = drawn
    assert "recall[keratosis]" not in values(labels, probabilities)
    assert "auc" in values(labels, probabilities)
    one_class = values(np.zeros_like(labels), probabilities)
    assert "auc" not in one_class
    assert "chance" not in one_class


def test_one_nan_makes_every_metric_nan_but_chance(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    labels, probabilities = drawn
    assert not np.isnan(list(values(labels, probabilities).values())).any()
    probabilities[3] = np.nan
    found = values(labels, probabilities)
    assert found.pop("chance") == 1 / 2
    assert np.isnan(list(found.values())).all()


def test_a_probability_of_zero_costs_much_but_is_finite() -> None:
    found = values(np.array([0]), np.array([[0.0, 1.0, 0.0]]))
    assert found["cross_entropy"] == pytest.approx(-np.log(np.finfo(np.float32).tiny))


def test_n_counts_what_was_measured(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    labels, probabilities = drawn
    counts = metrics(labels, probabilities)["n"]
    assert counts["balanced_accuracy"] == len(labels)
    assert counts["recall[melanoma]"] == (labels == 1).sum()


@pytest.mark.filterwarnings("ignore:y_pred contains classes")
def test_the_job_collects_every_row_and_seed(tmp_path: Path) -> None:
    tree = synthetic.write(tmp_path)
    table = pd.read_parquet(tree.clients)
    assert list(table.columns) == collect.COLUMNS
    balanced = table[table["metric"] == "balanced_accuracy"].set_index(["federation", "method", "seed", "client"])
    assert balanced.index.is_unique
    cells = 0
    for folder in tree.tests:
        federation, method, seed = folder.parts[-3:]
        truth = pd.read_parquet(folder / FILE).query("true == 1").set_index("sample")["class"]
        for client, samples in pd.read_parquet(folder / "predictions.parquet").groupby("client"):
            guesses = samples.filter(like="probability_").to_numpy().argmax(axis=1)
            expected = balanced_accuracy_score(truth[samples["sample"]], guesses)
            found = balanced.loc[(federation, method, int(seed.removeprefix("seed=")), client), "value"]
            assert found == pytest.approx(expected)
            cells += 1
    assert len(balanced) == cells


def test_predictions_of_other_samples_are_an_error_of_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = synthetic.write(tmp_path, methods=["fedit"], diverged=())
    path = tree.tests[0] / "predictions.parquet"
    pd.read_parquet(path).iloc[1:].to_parquet(path)
    before = tree.clients.read_bytes()
    assert tree.job("evaluation.collect") == 1
    error = capsys.readouterr().err
    assert str(tree.tests[0]) in error
    assert "other samples of client bcn" in error
    assert error.count("\n") == 1
    assert tree.clients.read_bytes() == before


def test_a_task_without_metrics_of_its_own_has_its_score_alone() -> None:
    """Cases (1, 1) and (4) have the means 1 and 4; no chance is known."""
    about = pd.DataFrame({"sample": list("abc"), "client": "x", "group": "g", "case": list("ppq")})
    found = collect.metrics(Distance([]), about, np.array([0.5, 0.5, 4.0]).reshape(3, 1, 1), about)
    assert found == [("mean_distance", 2.5, 3)]
