"""Every client's test metrics and confusions, from the predictions of all methods: two tidy tables.

    python -m benchmark.evaluation.collect
        --predictions FILE [FILE ...] --manifests [NAME=]FILE ... --output FILE --confusion FILE

A predictions file says in its path what it is of: `.../{dataset}/{method}/seed={seed}/predictions.parquet`.
Any other path is refused. The manifests name the classes; NAME is the federation's name, where that is not
its dataset's. The output (Parquet) has the columns dataset, method, seed, client, metric, value, n.

A metric that is not defined for a client's labels has no row: the recall of a class that the client lacks,
say. A row whose value is NaN is a model that diverged. `chance` is the balanced accuracy of a constant
prediction, where there are two classes or more.

The confusions (Parquet) have the columns dataset, method, seed, client, label, predicted, n: how many test images of
the class `label` were taken for `predicted`, where there are any. A model that diverged predicts -1.
"""

import argparse
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import rankdata

from benchmark.files import atomic, read_json

COLUMNS = ["dataset", "method", "seed", "client", "metric", "value", "n"]
CONFUSION = ["dataset", "method", "seed", "client", "label", "predicted", "n"]

_NAMED = re.compile(r"[a-z][a-z0-9_]*=")
_KEY = re.compile(r"(?P<dataset>[^/]+)/(?P<method>[^/]+)/seed=(?P<seed>\d+)/predictions\.parquet$")


def key(path: Path) -> tuple[str, str, int]:
    """Dataset, method and seed of a predictions file, from its path.

    Args:
        path: The file.

    Returns:
        Dataset, method and seed.

    Raises:
        ValueError: The path does not follow the pattern.
    """
    match = _KEY.search(path.as_posix())
    if match is None:
        raise ValueError(f"{path}: expected a path that ends in DATASET/METHOD/seed=SEED/predictions.parquet")
    return match["dataset"], match["method"], int(match["seed"])


def read_manifests(arguments: Iterable[str]) -> dict[str, dict[str, Any]]:
    """The datasets' manifests, by the name of the federation.

    Args:
        arguments: `FILE`, or `NAME=FILE` where a federation has another name than its dataset.

    Returns:
        The manifests, in the order given.
    """
    manifests = {}
    for argument in arguments:
        name, _, path = argument.partition("=") if _NAMED.match(argument) else ("", "", argument)
        manifest = read_json(Path(path))
        manifests[name or str(manifest["dataset"])] = manifest
    return manifests


def client_metrics(
    labels: npt.NDArray[np.int64], probabilities: npt.NDArray[np.float64], classes: Sequence[str]
) -> list[tuple[str, float, int]]:
    """The metrics of one client's model on the client's test samples.

    Args:
        labels: True classes, `(n,)`.
        probabilities: Predicted probabilities, `(n, classes)`; one NaN makes every metric NaN.
        classes: Names of the classes.

    Returns:
        Triples of a metric's name, its value, and the number of samples that it was measured on.
    """
    n, present = len(labels), np.unique(labels)
    hit = probabilities.argmax(axis=1) == labels
    recalls = {c: float(hit[labels == c].mean()) for c in present}
    # Probabilities are stored in float32, where a small one becomes zero.
    chosen = np.maximum(probabilities[np.arange(n), labels], np.finfo(np.float32).tiny)
    metrics = [
        ("balanced_accuracy", float(np.mean(list(recalls.values()))), n),
        ("accuracy", float(hit.mean()), n),
        ("cross_entropy", float(-np.log(chosen).mean()), n),
        *((f"recall[{classes[c]}]", recall, int((labels == c).sum())) for c, recall in recalls.items()),
    ]
    if len(present) > 1:
        auc = float(np.mean([_auc(labels == c, probabilities[:, c]) for c in present]))
        metrics.append(("auc", auc, n))
    if np.isnan(probabilities).any():
        metrics = [(name, float("nan"), count) for name, _, count in metrics]
    return [*metrics, ("chance", 1 / len(present), n)] if len(present) > 1 else metrics


def collect(predictions: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    """The metrics of every client in one predictions file.

    Args:
        predictions: client, label, and probability_0 to probability_{C-1} for every test sample.
        classes: Names of the C classes.

    Returns:
        One row per client and metric: client, metric, value, n.

    Raises:
        ValueError: The predictions are not over these classes.
    """
    columns = _columns(predictions, classes)
    rows = [
        (str(client), *metric)
        for client, samples in predictions.groupby("client", sort=False)
        for metric in client_metrics(
            samples["label"].to_numpy(np.int64), samples[columns].to_numpy(np.float64), classes
        )
    ]
    return pd.DataFrame(rows, columns=["client", "metric", "value", "n"])


def confusion(predictions: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    """What every client's images were taken for, in one predictions file.

    Args:
        predictions: client, label, and probability_0 to probability_{C-1} for every test sample.
        classes: Names of the C classes.

    Returns:
        One row per client, label and predicted class that occur together: client, label, predicted, n.
    """
    probabilities = predictions[_columns(predictions, classes)].to_numpy()
    guesses = np.where(np.isnan(probabilities).any(axis=1), -1, probabilities.argmax(axis=1))
    found = predictions[["client", "label"]].assign(client=predictions["client"].astype(str), predicted=guesses)
    return found.groupby(["client", "label", "predicted"], sort=False).size().rename("n").reset_index()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job; see the module's text for its arguments."""
    parser = argparse.ArgumentParser(prog="collect", description="Every client's test metrics as one table.")
    parser.add_argument("--predictions", type=Path, nargs="+", required=True, help="predictions, Parquet")
    parser.add_argument("--manifests", nargs="+", required=True, help="the datasets' manifests: [NAME=]FILE")
    parser.add_argument("--output", type=Path, required=True, help="the table of metrics, Parquet")
    parser.add_argument("--confusion", type=Path, required=True, help="the table of confusions, Parquet")
    arguments = parser.parse_args(argv)
    try:
        classes = {name: manifest["classes"] for name, manifest in read_manifests(arguments.manifests).items()}
        tables = zip(*(_read(path, classes) for path in arguments.predictions), strict=True)
        for output, parts in zip((arguments.output, arguments.confusion), tables, strict=True):
            with atomic(output) as temporary:
                pd.concat(parts, ignore_index=True).to_parquet(temporary, index=False)
    except (OSError, ValueError) as error:
        print(f"collect: {error}", file=sys.stderr)
        return 1
    return 0


def _auc(positive: npt.NDArray[np.bool_], scores: npt.NDArray[np.float64]) -> float:
    """Area under the ROC curve, one class against the rest: Mann-Whitney's statistic, ties count half."""
    n, m = int(positive.sum()), int((~positive).sum())
    return float((rankdata(scores)[positive].sum() - n * (n + 1) / 2) / (n * m))


def _columns(predictions: pd.DataFrame, classes: Sequence[str]) -> list[str]:
    """The columns of probabilities, one for each class and no other."""
    columns = [f"probability_{c}" for c in range(len(classes))]
    found = [column for column in predictions.columns if column.startswith("probability_")]
    if found != columns or not predictions["label"].between(0, len(classes) - 1).all():
        raise ValueError(
            f"{len(found)} probabilities and labels up to {predictions['label'].max()},"
            f" but the manifest names {len(classes)} classes; evaluate again"
        )
    return columns


def _read(path: Path, classes: dict[str, list[str]]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """One predictions file's metrics and confusions, with dataset, method and seed."""
    dataset, method, seed = key(path)
    if dataset not in classes:
        raise ValueError(f"{path}: no manifest of {dataset!r} was given, only of {sorted(classes)}")
    try:
        predictions = pd.read_parquet(path)
        tables = collect(predictions, classes[dataset]), confusion(predictions, classes[dataset])
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    metrics, confusions = (table.assign(dataset=dataset, method=method, seed=seed) for table in tables)
    return metrics[COLUMNS], confusions[CONFUSION]


if __name__ == "__main__":
    sys.exit(main())
