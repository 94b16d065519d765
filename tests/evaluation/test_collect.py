"""Every client's test metrics. scikit-learn is the oracle."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    confusion_matrix,
    log_loss,
    recall_score,
    roc_auc_score,
)

from benchmark.evaluation import collect
from tests.reporting import synthetic

CLASSES = ["naevus", "melanoma", "keratosis"]


@pytest.fixture
def drawn() -> tuple[np.ndarray, np.ndarray]:
    """Labels of which the last class is absent, and probabilities with many ties."""
    generator = np.random.default_rng(0)
    labels = generator.choice(2, p=[0.8, 0.2], size=60)
    probabilities = np.round(generator.dirichlet([1, 1, 1], size=60), 1)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    return labels, np.clip(probabilities, 1e-6, 1)


def values(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, float]:
    return {name: value for name, value, _ in collect.client_metrics(labels, probabilities, CLASSES)}


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
    counts = {name: n for name, _, n in collect.client_metrics(labels, probabilities, CLASSES)}
    assert counts["balanced_accuracy"] == len(labels)
    assert counts["recall[melanoma]"] == (labels == 1).sum()


def test_dataset_method_and_seed_are_read_from_the_path() -> None:
    path = Path("results/quick/test/toy_lesions/fedopal_r/seed=12/predictions.parquet")
    assert collect.key(path) == ("toy_lesions", "fedopal_r", 12)
    with pytest.raises(ValueError, match=r"DATASET/METHOD/seed=SEED"):
        collect.key(Path("toy_lesions/fedopal_r/12/predictions.parquet"))


def test_the_job_collects_every_file(tmp_path: Path) -> None:
    tree = synthetic.write(tmp_path)
    table = pd.read_parquet(tree.clients)
    assert list(table.columns) == collect.COLUMNS
    balanced = table[table["metric"] == "balanced_accuracy"].set_index(["dataset", "method", "seed", "client"])["value"]
    assert balanced.index.is_unique
    for path in tree.predictions:
        for client, samples in pd.read_parquet(path).groupby("client"):
            probabilities = samples.filter(like="probability_").to_numpy()
            expected = np.mean(
                [(probabilities[samples["label"] == c].argmax(axis=1) == c).mean() for c in set(samples["label"])]
            )
            assert balanced[(*collect.key(path), client)] == pytest.approx(expected)
    confusion = pd.read_parquet(tree.confusion)
    assert list(confusion.columns) == collect.CONFUSION
    assert confusion["n"].sum() == sum(len(pd.read_parquet(path)) for path in tree.predictions)
    assert len(balanced) == sum(len(pd.read_parquet(p)["client"].unique()) for p in tree.predictions)


def test_confusions_are_scikit_learns(drawn: tuple[np.ndarray, np.ndarray]) -> None:
    """Counts of every client; pairs that never occur have no row. A diverged prediction is of no class."""
    labels, probabilities = drawn
    table = pd.DataFrame({"client": np.arange(len(labels)) % 2, "label": labels})
    table = table.join(pd.DataFrame(probabilities).add_prefix("probability_"))
    found = collect.confusion(table, CLASSES)
    assert (found["n"] > 0).all()
    for client, rows in found.groupby("client"):
        own = table["client"] == int(client)
        matrix = np.zeros((3, 3), dtype=int)
        matrix[rows["label"], rows["predicted"]] = rows["n"]
        expected = confusion_matrix(labels[own], probabilities[own].argmax(axis=1), labels=[0, 1, 2])
        np.testing.assert_array_equal(matrix, expected)
    table.loc[0, "probability_1"] = np.nan
    lost = collect.confusion(table, CLASSES)
    assert lost.loc[lost["predicted"] == -1, "n"].sum() == 1
    assert lost["n"].sum() == len(labels)


def test_predictions_over_other_classes_are_an_error_of_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = synthetic.write(tmp_path)
    pd.read_parquet(tree.predictions[0]).drop(columns="probability_2").to_parquet(tree.predictions[0])
    manifests = ["--manifests", *map(str, tree.manifests)]
    arguments = [
        "--predictions",
        str(tree.predictions[0]),
        *manifests,
        "--output",
        str(tmp_path / "new.parquet"),
        "--confusion",
        str(tmp_path / "confusion.parquet"),
    ]
    assert collect.main(arguments) == 1
    error = capsys.readouterr().err
    assert str(tree.predictions[0]) in error
    assert "3 classes" in error
    assert error.count("\n") == 1
