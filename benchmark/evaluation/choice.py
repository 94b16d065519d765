"""How sure the choice of a rate is: which rate other validation images, and other seeds, would have chosen.

Validation scores are estimated as test scores are (`benchmark.evaluation.estimate`), with rates in the place of
methods: all rates see the same images, so that what is hard for all of them decides nothing. Scores are drawn around
the observed ones with the covariance that was estimated; how often a rate is the best of a draw is how probable it is
that it is the best (with no opinion beforehand), and what the best of a draw is ahead of the chosen rate is what the
choice costs.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmark.evaluation import counts
from benchmark.evaluation.counts import Counts
from benchmark.evaluation.estimate import mean_of, of_client, root
from benchmark.evaluation.merit import merit
from benchmark.tasks import task as tasks

FILE = "validation_counts.parquet"
"""In the folder of a run: what its model's predictions of validation images are worth after the last round."""
DRAWS = 20_000


def read(runs: Sequence[Mapping[str, Any]]) -> list[Counts]:
    """The validation counts of a row, client by client, with rates in the place of methods.

    From the runs of one federation and method, as `select.read_run` returns them; none where a run has no counts, as
    one that was trained before they were kept. A ValueError says that two runs were validated on different samples of a
    client.
    """
    rates, seeds = sorted({run["rate"] for run in runs}, key=float), sorted({run["seed"] for run in runs})
    paths = {(rates.index(run["rate"]), seeds.index(run["seed"])): [run["folder"] / FILE] for run in runs}
    if not all(path.is_file() for (path,) in paths.values()):
        return []
    first = runs[0]
    task = tasks.of({"task": first["task"]["name"], "classes": _classes(next(iter(paths.values()))[0])})
    return list(counts.assembled(first["federation"], task, first["clients"], rates, seeds, paths))


def sureness(held: Sequence[Counts], chosen: str) -> dict[str, Any]:
    """How sure the choice of a rate is, by the validation counts of every client, as `read` returns them.

    Returns:
        `best`: by rate, the probability that it is the best, 0 where it diverged; `loss`: how much better the best rate
        is than the chosen one, in the mean, in units of the score; `reason`: why neither is known, else empty.
    """
    if not held:
        return _unknown("the runs were trained before counts of validation images were kept")
    mean, rates = mean_of({own.client: of_client(own) for own in held}), list(held[0].methods)
    known = np.flatnonzero(~np.isnan(mean.value))
    if mean.reason or rates.index(chosen) not in known:
        return _unknown(mean.reason or "all rates diverged")
    covariance = mean.summands[0].sum(axis=0)[np.ix_(known, known)]
    normal = np.random.default_rng(0).standard_normal((DRAWS, len(known)))
    drawn = mean.value[known] + normal @ root(covariance).T
    values = merit(drawn, higher_is_better=held[0].task.higher_is_better)
    # Rates whose predictions have equal counts tie in every draw: the smallest is the best then, as in the rule.
    shares = np.bincount(values.argmax(axis=1), minlength=len(known)) / DRAWS
    best = dict.fromkeys(rates, 0.0) | {rates[k]: float(share) for k, share in zip(known, shares, strict=True)}
    behind = values.max(axis=1) - values[:, known.tolist().index(rates.index(chosen))]
    return {"best": best, "loss": float(behind.mean()), "reason": ""}


def _unknown(reason: str) -> dict[str, Any]:
    return {"best": {}, "loss": None, "reason": reason}


def _classes(path: Path) -> tuple[str, ...]:
    """Names for the classes of a table of counts: how good a prediction is follows from their number."""
    return tuple(str(c) for c in range(int(pd.read_parquet(path, columns=["class"])["class"].max()) + 1))
