"""Job: test cases one by one: their scores, and which of them are shown, as `benchmark.evaluation.pictured` chooses.

Of every client, the worst and the median case of the reference row are shown: the best ranked method of the federation.
Of a case of several samples, one is pictured, as the task says.
"""

from pathlib import Path
from typing import Annotated

import pandas as pd
import tyro

from benchmark.comparison import Comparison
from benchmark.evaluation import counts, pictured
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
    rows = [
        (federation, method, seed, client, *case)
        for client, about, values in counts.of_clients(comparison.tests(federation, method, seed, counts.FILE), task)
        for case in pictured.scored(about, values, task)
    ]
    return pd.DataFrame(rows, columns=SCORES)


def reference(comparison: Comparison, federation: str) -> str:
    """The row whose cases are shown: the best ranked method of the federation."""
    runs = read_runs(comparison)
    ranks = client_ranks(cells_of(comparison, runs), controls_of(runs))
    return best_ranked(ranks, federation) or comparison.methods[0]


def shown(comparison: Comparison, federation: str) -> pd.DataFrame:
    """The cases of a federation that are shown.

    Columns `SHOWN`: two rows per client, or one where it has a single case. `place` is median or worst, and `method`
    the reference row, whose score is the value.
    """
    method, task = reference(comparison, federation), tasks.of(comparison.manifests[federation])
    rows = []
    for client, own in scores(comparison, federation, method, comparison.seeds[0]).groupby("client"):
        cases = [pictured.Case(*case) for case in own[list(pictured.Case._fields)].itertuples(index=False)]
        for place, case in pictured.chosen(cases, task).items():
            rows.append((federation, client, place, method, case.case, case.sample, case.value))
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
