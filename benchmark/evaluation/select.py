"""The learning rate that a method gets on a federation: the one with the best validation score.

The rule is stated once, in `RULE`, and applied once, in `choose`. It sees validation scores only: nothing
here can open test data.

The selection of a row, JSON, holds the chosen rate, every rate's score, and under `sure` how sure the choice is
(`benchmark.evaluation.choice`), which decides nothing.
"""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from benchmark.comparison import EVERY_RUN, run_path
from benchmark.evaluation import choice, overlap
from benchmark.evaluation.gathered import write
from benchmark.evaluation.merit import DIGITS, merit
from benchmark.files import read_json, write_json, write_text
from benchmark.job import GivenPath, run

RULE = (
    "the rate with the best validation score, averaged over clients and seeds at the last evaluated round"
    " (over the last K rounds where `last_rounds` says so); ties go to the smaller rate; a diverged rate is"
    " chosen only where all diverged"
)


def read_run(path: Path) -> dict[str, Any]:
    """The `run.json` of a run, given by its folder or any file in it, with the folder under the key `folder`."""
    folder = path if path.is_dir() else path.parent
    return {**read_json(folder / "run.json"), "folder": folder}


def read_validation(run: Mapping[str, Any]) -> pd.DataFrame:
    """A run's validation scores: round, client, value."""
    metrics = pd.read_parquet(run["folder"] / "metrics.parquet")
    chosen = (metrics["split"] == "validation") & (metrics["metric"] == run["task"]["score"])
    return metrics.loc[chosen, ["round", "client", "value"]]


def scores_by_round(run: Mapping[str, Any], scores: pd.DataFrame) -> pd.DataFrame:
    """The validation score of every client at every evaluated round of one run.

    Args:
        run: The run's `run.json`.
        scores: The run's validation scores: round, client, value.

    Returns:
        One row per evaluated round, one column per client; all NaN where the run diverged.

    Raises:
        ValueError: The scores do not reach the run's last round, or lack a client.
    """
    place = f"{run['federation']}/{run['method']['name']}/{run_path(run['rate'], run['seed'])}"
    clients = [str(client) for client in run["clients"]]
    table = scores.pivot(index="round", columns="client", values="value").sort_index()
    if run["diverged_round"] is not None:
        return pd.DataFrame(math.nan, index=table.index, columns=clients)
    if set(table.columns) != set(clients):
        raise ValueError(
            f"{place}: validation {run['task']['score']} of clients {sorted(table.columns)}, but the run has {clients};"
            " delete the run and train it again"
        )
    if table.index[-1] != run["rounds"]:
        raise ValueError(
            f"{place}: the last evaluated round is {table.index[-1]} of {run['rounds']};"
            " delete the run and train it again"
        )
    return table[clients]


def final_scores(run: Mapping[str, Any], by_round: pd.DataFrame, last_rounds: int) -> pd.DataFrame:
    """The validation score of every client at the end of one run, averaged over the last evaluated rounds.

    `by_round` is what `scores_by_round` returns. One row per client: rate, seed, client, value; NaN where the run
    diverged.
    """
    values = by_round.tail(last_rounds).mean(skipna=False)
    about = {"rate": run["rate"], "seed": run["seed"], "client": list(by_round.columns)}
    return pd.DataFrame({**about, "value": values.to_numpy()})


def choose(scores: pd.DataFrame, *, higher_is_better: bool) -> dict[str, Any]:
    """Apply the rule to scores of one row per rate (text), seed and client; the value is NaN where a run diverged.

    Returns:
        `rate`, `at_grid_edge`, `ties` (all rates that share the best score, where there are several) and
        `scores`.

    Raises:
        ValueError: The rates were not all trained with the same seeds.
    """
    rates = sorted(scores["rate"].unique(), key=float)
    seeds = {rate: sorted(scores.loc[scores["rate"] == rate, "seed"].unique()) for rate in rates}
    if len({tuple(found) for found in seeds.values()}) > 1:
        raise ValueError(f"rates were trained with different seeds ({seeds}): give every rate the same seeds")
    details = {rate: _details(scores[scores["rate"] == rate]) for rate in rates}
    means = np.array([math.nan if found["diverged"] else found["mean"] for found in details.values()])
    place = int(best_rate(means, higher_is_better=higher_is_better))
    ties = [rate for rate, mean in zip(rates, means.round(DIGITS), strict=True) if mean == means[place].round(DIGITS)]
    return {
        "rate": rates[place],
        "at_grid_edge": len(rates) > 1 and place in (0, len(rates) - 1),
        "ties": ties if len(ties) > 1 else [],
        "scores": details,
    }


def best_rate(means: npt.NDArray[np.float64], *, higher_is_better: bool) -> npt.NDArray[np.intp]:
    """The place of the best of R rates, by their mean validation scores, the smallest rate first: (..., R) -> (...).

    NaN is a rate that diverged. Of equal means the first is the best, and where all diverged the first of all.
    """
    return merit(means, higher_is_better=higher_is_better).argmax(axis=-1)


def best_of(means: Mapping[str, float], *, higher_is_better: bool) -> str:
    """The best of several rates: ties go to the smaller one, and a diverged one (NaN) is the last choice."""
    rates = sorted(means, key=float)
    return rates[int(best_rate(np.array([means[rate] for rate in rates]), higher_is_better=higher_is_better))]


def select(runs: Sequence[Mapping[str, Any]], validation: Sequence[pd.DataFrame], last_rounds: int) -> dict[str, Any]:
    """Choose the rate.

    `validation` holds the validation scores of each run: round, client, value; the last evaluated rounds are averaged.

    Returns:
        The content of the selection's file.

    Raises:
        ValueError: The runs are not all of one federation and one method.
    """
    keys = {(run["federation"], run["method"]["name"]) for run in runs}
    if len(keys) > 1:
        raise ValueError(f"runs of {sorted(keys)}: select for one federation and one method at a time")
    scores = pd.concat(
        final_scores(run, scores_by_round(run, own), last_rounds) for run, own in zip(runs, validation, strict=True)
    )
    federation, method = keys.pop()
    task = runs[0]["task"]
    return {
        "federation": federation,
        "method": method,
        "score": task["score"],
        "rule": RULE,
        "last_rounds": last_rounds,
        **choose(scores, higher_is_better=task["higher_is_better"]),
    }


def of_folder(folder: Path, rates: Sequence[str] = (), seeds: Sequence[int] = ()) -> list[dict[str, Any]]:
    """The runs of a row, as `read_run` returns them, from its folder of `lr={rate}/seed={seed}`.

    Rates, as the configuration writes them, and seeds are those that count; all where none is named. A ValueError says
    that there is no run of these.
    """
    found = [read_run(path) for path in sorted(folder.glob(f"{EVERY_RUN}/run.json"))]
    chosen = [r for r in found if (not rates or r["rate"] in rates) and (not seeds or r["seed"] in seeds)]
    if not chosen:
        place = run_path("RATE", "SEED", "run.json")
        raise ValueError(f"{folder}: holds no run {place} of these rates and seeds; train them first")
    return chosen


def main(
    runs: GivenPath,
    output: Path,
    gathered: tuple[Path, Path],
    overlaps: Path,
    rates: tuple[str, ...] = (),
    seeds: tuple[int, ...] = (),
    last_rounds: int = 1,
) -> None:
    """Choose a row's learning rate by its validation scores, and read of its runs what the comparison needs.

    Args:
        runs: The folder of the row's runs, `results/NAME/runs/FEDERATION/METHOD`.
        output: The selection, JSON.
        gathered: What else the comparison reads of the runs, see `benchmark.evaluation.gathered`: JSON and Parquet.
        overlaps: How much global and personal adapters overlap at that rate, see `benchmark.evaluation.overlap`: CSV.
        rates: The rates to choose among; all that the folder holds where none is named.
        seeds: The seeds that count; all that the folder holds where none is named.
        last_rounds: How many of the last evaluated rounds are averaged.
    """
    found = of_folder(runs, rates, seeds)
    validation = [read_validation(run) for run in found]
    chosen = select(found, validation, last_rounds)
    rate = chosen["rate"]
    table = overlap.of_runs({run["seed"]: run["folder"] for run in found if run["rate"] == rate})
    sure = choice.sureness(choice.read(found), rate)
    write([{name: run[name] for name in run if name != "folder"} for run in found], validation, *gathered)
    write_text(overlaps, table.to_csv(index=False))
    write_json(output, {**chosen, "sure": sure})


def _details(scores: pd.DataFrame) -> dict[str, Any]:
    """One rate's means over seeds and clients, and over each alone; None for NaN, for JSON has none."""
    table = scores.pivot(index="seed", columns="client", values="value")
    per_seed, per_client = table.mean(axis=1, skipna=False), table.mean(axis=0, skipna=False)
    mean = float(per_seed.mean(skipna=False))
    return {
        "mean": _or_none(mean),
        "per_seed": {str(seed): _or_none(value) for seed, value in per_seed.items()},
        "per_client": {str(client): _or_none(value) for client, value in per_client.items()},
        "diverged": math.isnan(mean),
    }


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


if __name__ == "__main__":
    raise SystemExit(run(main))
