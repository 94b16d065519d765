"""Test samples as counts: how many samples of every group and class each model gets right.

Counts add up over samples, so that a score of any resampled test set follows from them without looking at the
samples again. A group is what was collected together and is never split: the images of a lesion or of a patient.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from benchmark.evaluation.collect import key

SCORE = "balanced_accuracy"
"""The score that these counts give."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Counts:
    """One client's test samples.

    Attributes:
        dataset: The client's dataset.
        client: The client.
        groups: Names of its G groups, sorted.
        totals: Samples of every group and class, `(G, C)`.
        methods: Names of the M methods.
        seeds: The S seeds.
        hits: Samples that are predicted correctly, `(M, S, G, C)`. All NaN where a model diverged or a cell is
            missing.
        missing: Where there are no predictions, `(M, S)`.
    """

    dataset: str
    client: str
    groups: Sequence[str]
    totals: Floats
    methods: Sequence[str]
    seeds: Sequence[int]
    hits: Floats
    missing: npt.NDArray[np.bool_]


def score(hits: Floats, totals: Floats) -> Floats:
    """Balanced accuracy: the mean recall of the classes that are present.

    Args:
        hits: Correctly predicted samples of every class, `(..., C)`.
        totals: Samples of every class, `(..., C)`; its leading dimensions broadcast with those of `hits`.

    Returns:
        The score, `(...)`; NaN where hits are.
    """
    present = totals > 0
    recalls = np.where(present, hits, 0.0) / np.where(present, totals, 1.0)
    scores: Floats = recalls.sum(-1) / np.maximum(present.sum(-1), 1)
    # A diverged model's hits are NaN in every class, also in those that nothing was drawn of.
    return np.where(np.isnan(hits).any(-1), np.nan, scores)


def read(paths: Iterable[Path], expected: pd.DataFrame) -> list[Counts]:
    """Count every client's test samples.

    Args:
        paths: Predictions, `.../{dataset}/{method}/seed={seed}/predictions.parquet`.
        expected: The cells that there should be: dataset, method, seed, client. Others are left out.

    Returns:
        One entry per dataset and client, in the order of `expected`. All have the same methods, sorted: those that
        are expected on any dataset.

    Raises:
        ValueError: Two models were tested on different samples of a client.
    """
    found: dict[tuple[str, str, str, int], Floats] = {}
    tested: dict[tuple[str, str], pd.DataFrame] = {}
    for path in paths:
        dataset, method, seed = key(path)
        for client, samples in pd.read_parquet(path).groupby("client", sort=False):
            samples = samples.sort_values("sample", ignore_index=True)
            about = samples[["sample", "label", "group"]]
            first = tested.setdefault((dataset, str(client)), about)
            if first is not about and not first.equals(about):
                raise ValueError(
                    f"{path}: client {client} was tested on other samples than with another model; evaluate again"
                )
            found[dataset, str(client), method, seed] = _hits(samples)
    places = expected[["dataset", "client"]].drop_duplicates().itertuples(index=False)
    nothing = pd.DataFrame({"sample": [], "label": [], "group": []})
    return [
        _counts(dataset, client, tested.get((dataset, client), nothing), found, expected) for dataset, client in places
    ]


def _hits(samples: pd.DataFrame) -> Floats:
    """Whether each sample is predicted correctly, `(n,)`; all NaN where the model diverged."""
    probabilities = samples.filter(like="probability_").to_numpy()
    if np.isnan(probabilities).any():
        return np.full(len(samples), np.nan)
    hits: Floats = (probabilities.argmax(axis=1) == samples["label"].to_numpy()).astype(np.float64)
    return hits


def _counts(
    dataset: str,
    client: str,
    samples: pd.DataFrame,
    found: dict[tuple[str, str, str, int], Floats],
    expected: pd.DataFrame,
) -> Counts:
    """Add a client's samples up over groups and classes."""
    methods = sorted(expected["method"].unique())
    seeds = sorted(int(seed) for seed in expected.loc[expected["dataset"] == dataset, "seed"].unique())
    groups, group = np.unique(samples["group"].astype(str).to_numpy(dtype=str), return_inverse=True)
    classes, label = np.unique(samples["label"].to_numpy(), return_inverse=True)
    shape = (len(groups), len(classes))
    place = np.ravel_multi_index((group, label), shape)
    hits, missing = np.full((len(methods), len(seeds), *shape), np.nan), np.ones((len(methods), len(seeds)), bool)
    for m, method in enumerate(methods):
        for s, seed in enumerate(seeds):
            right = found.get((dataset, client, method, seed))
            if right is not None:
                missing[m, s] = False
                # Where the model diverged every group must be NaN, also for classes that the group lacks.
                added = np.bincount(place, right, minlength=shape[0] * shape[1]).reshape(shape)
                hits[m, s] = np.nan if np.isnan(right).any() else added
    return Counts(
        dataset=dataset,
        client=client,
        groups=[str(name) for name in groups],
        totals=np.bincount(place, minlength=shape[0] * shape[1]).reshape(shape).astype(np.float64),
        methods=methods,
        seeds=seeds,
        hits=hits,
        missing=missing,
    )
