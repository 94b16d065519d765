"""Job: test cases one by one: their scores, and which of them are shown, by rule and not by eye.

Of every client, the worst and the median case of the reference row are shown: the best ranked method of the federation.
Of a case of several samples, one is pictured, as the task says.
"""

from pathlib import Path
from typing import Annotated

import pandas as pd
import tyro

from benchmark.comparison import Comparison
from benchmark.evaluation import counts
from benchmark.evaluation.merit import merit
from benchmark.evaluation.ranks import best_ranked, client_ranks
from benchmark.evaluation.reading import cells_of, controls_of, read_runs
from benchmark.files import write_text
from benchmark.job import GivenPath, run
from benchmark.tasks import task as tasks

SCORES = ["federation", "method", "seed", "client", "case", "value", "sample"]
SHOWN = ["federation", "client", "place", "method", "case", "sample", "value"]


def scores(comparison: Comparison, federation: str, method: str, seed: int) -> pd.DataFrame:
    """The score of every test case with one model.

    Columns `SCORES`, a row per case; the value is NaN where the model diverged, `sample` is the one to be pictured.
    """
    task = tasks.of(comparison.manifests[federation])
    rows = []
    for client, about, values in counts.of_clients(comparison.tests(federation, method, seed, counts.FILE), task):
        for case, own in about.groupby("case").indices.items():
            sample = about["sample"].iloc[own[task.pictured(values[own])]]
            value = float(task.score(values[own].sum(0, keepdims=True)))
            rows.append((federation, method, seed, client, str(case), value, sample))
    return pd.DataFrame(rows, columns=SCORES)


def shown(comparison: Comparison, federation: str) -> pd.DataFrame:
    """The cases of a federation that are shown.

    Columns `SHOWN`: two rows per client, or one where it has a single case. `place` is median or worst, and `method`
    the reference row, whose score is the value.
    """
    runs = read_runs(comparison)
    ranks = client_ranks(cells_of(comparison, runs), controls_of(runs))
    method = best_ranked(ranks, federation) or comparison.methods[0]
    table = scores(comparison, federation, method, comparison.seeds[0])
    direction = tasks.of(comparison.manifests[federation]).higher_is_better
    table["merit"] = merit(table["value"], higher_is_better=direction)
    rows = []
    for client, own in table.sort_values(["merit", "case"]).groupby("client", sort=False):
        for number, place in {len(own) // 2: "median", 0: "worst"}.items():
            case, sample, value = own[["case", "sample", "value"]].iloc[number]
            rows.append((federation, client, place, method, case, sample, value))
    return pd.DataFrame(rows, columns=SHOWN).sort_values(["client", "place"], ignore_index=True)


def main(comparison: GivenPath, federation: Annotated[str, tyro.conf.Positional], output: Path) -> None:
    """Write which test cases of a federation are shown; runs after all of its rows are tested.

    Args:
        comparison: The comparison, `results/NAME/comparison.json`.
        federation: The federation.
        output: The CSV file to write.
    """
    write_text(output, shown(Comparison.read(comparison), federation).to_csv(index=False))


def read(comparison: Comparison, federation: str) -> pd.DataFrame:
    """The table that this job wrote."""
    text = {"client": str, "case": str, "sample": str}
    return pd.read_csv(comparison.places.cases(federation), dtype=text)


if __name__ == "__main__":
    raise SystemExit(run(main))
