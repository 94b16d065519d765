"""Job: every client's test metrics, as one tidy table.

`clients.parquet` has the columns federation, method, seed, client, metric, value, n: the task's score, what else the
task measures, and `chance`, the score of a prediction that looks at no image. A metric that is not defined for a
client's targets has no row: the recall of a class that the client lacks, say. A row whose value is NaN is a model that
diverged.
"""

from pathlib import Path

import pandas as pd

from benchmark.comparison import Comparison
from benchmark.evaluation.counts import FILE, KEPT, by_unit, of_clients
from benchmark.files import atomic
from benchmark.job import GivenPath, run
from benchmark.tasks import task as tasks
from benchmark.tasks.task import Floats, Metric, Task

COLUMNS = ["federation", "method", "seed", "client", "metric", "value", "n"]


def metrics(task: Task, about: pd.DataFrame, counts: Floats, kept: pd.DataFrame) -> list[Metric]:
    """The metrics of one client's model on the client's test samples.

    Args:
        task: What was learned.
        about: The columns `counts.ABOUT` of n samples.
        counts: Their counts, (n, C, F).
        kept: What is kept of their predictions, row by row.

    Returns:
        Name, value and number of samples of each.
    """
    units = by_unit(about, counts, task)
    chance = task.chance(units)
    return [
        (task.score_name, float(task.score(units)), len(about)),
        *task.metrics(counts, kept),
        *([] if chance is None else [("chance", chance, len(about))]),
    ]


def of_model(folder: Path, task: Task) -> pd.DataFrame:
    """The metrics of every client of one model.

    Args:
        folder: Holds `counts.parquet` and `predictions.parquet`.
        task: What was learned.

    Returns:
        Columns client, metric, value, n.

    Raises:
        ValueError: The two files are not of the same samples.
    """
    predictions = pd.read_parquet(folder / KEPT).groupby("client", sort=False)
    rows = []
    for client, about, counts in of_clients(folder / FILE, task):
        kept = predictions.get_group(client) if client in predictions.groups else pd.DataFrame({"sample": []})
        if kept["sample"].tolist() != about["sample"].tolist():
            raise ValueError(f"{folder}: {FILE} and {KEPT} hold other samples of client {client}; evaluate again")
        rows += [(client, *metric) for metric in metrics(task, about, counts, kept)]
    return pd.DataFrame(rows, columns=COLUMNS[3:])


def table(comparison: Comparison) -> pd.DataFrame:
    """The metrics of every client of every model: columns `COLUMNS`."""
    parts = []
    for federation, method in comparison.rows:
        task = tasks.of(comparison.manifests[federation])
        for seed in comparison.seeds:
            folder = Path(comparison.places.test(federation, method, seed, FILE)).parent
            parts.append(of_model(folder, task).assign(federation=federation, method=method, seed=seed)[COLUMNS])
    return pd.concat(parts, ignore_index=True)


def main(comparison: GivenPath, output: Path | None = None) -> None:
    """Write every client's test metrics as one tidy table.

    Args:
        comparison: The comparison, `results/NAME/comparison.json`.
        output: The table, Parquet; `clients.parquet` beside the comparison where it is not given.
    """
    held = Comparison.read(comparison)
    with atomic(output or held.folder / "clients.parquet") as temporary:
        table(held).to_parquet(temporary, index=False)


if __name__ == "__main__":
    raise SystemExit(run(main))
