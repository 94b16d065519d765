"""Job: every row's results, brought together: test metrics as one tidy table, and what was gathered of its runs.

`clients.parquet` has the columns federation, method, seed, client, metric, value, n: the task's score, what else the
task measures, and `chance`, the score of a prediction that looks at no image. A metric that is not defined for a
client's targets has no row: the recall of a class that the client lacks, say. A row whose value is NaN is a model that
diverged. The name that several draws of a federation share stands there as a federation: of the test samples of all its
draws together. `rows.json` and `validation.parquet` are what `benchmark.evaluation.gathered` says.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from benchmark.comparison import Comparison
from benchmark.evaluation import gathered
from benchmark.evaluation.counts import FILE, KEPT, by_unit, of_clients
from benchmark.files import atomic, read_json, sha256, write_json
from benchmark.job import GivenPath, run
from benchmark.tasks import task as tasks
from benchmark.tasks.task import Floats, Metric, Task

COLUMNS = ["federation", "method", "seed", "client", "metric", "value", "n"]


def metrics(task: Task, about: pd.DataFrame, counts: Floats, kept: pd.DataFrame) -> list[Metric]:
    """Name, value and number of samples of every metric of one client's model on the client's n test samples.

    Args:
        task: What was learned.
        about: The columns `counts.ABOUT` of the samples.
        counts: Their counts, (n, C, F).
        kept: What is kept of their predictions, row by row.
    """
    units = by_unit(about, counts, task)
    chance = task.chance(units)
    return [
        (task.score_name, float(task.score(units)), len(about)),
        *task.metrics(counts, kept),
        *([] if chance is None else [("chance", chance, len(about))]),
    ]


def of_model(folders: Sequence[Path], task: Task) -> pd.DataFrame:
    """The metrics of every client of one model; of several draws, of all their models' test samples together.

    Each folder holds `counts.parquet` and `predictions.parquet` of one draw. Columns client, metric, value, n. A
    ValueError says that the two files are not of the same samples.
    """
    kept_of = [pd.read_parquet(folder / KEPT) for folder in folders]
    predictions = pd.concat(kept_of, ignore_index=True).groupby("client", sort=False)
    rows = []
    for client, about, counts in of_clients([folder / FILE for folder in folders], task):
        kept = predictions.get_group(client) if client in predictions.groups else pd.DataFrame({"sample": []})
        if kept["sample"].tolist() != about["sample"].tolist():
            raise ValueError(f"{folders[0]}: {FILE} and {KEPT} hold other samples of client {client}; evaluate again")
        rows += [(client, *metric) for metric in metrics(task, about, counts, kept)]
    return pd.DataFrame(rows, columns=COLUMNS[3:])


def table(comparison: Comparison) -> pd.DataFrame:
    """The metrics of every client of every model: columns `COLUMNS`."""
    parts = []
    together = [(shared, method) for name, method in comparison.rows if (shared := comparison.draw_of.get(name))]
    for federation, method in [*comparison.rows, *dict.fromkeys(together)]:
        task = tasks.of(comparison.manifest(federation))
        for seed in comparison.seeds:
            folders = [path.parent for path in comparison.tests(federation, method, seed, FILE)]
            parts.append(of_model(folders, task).assign(federation=federation, method=method, seed=seed)[COLUMNS])
    return pd.concat(parts, ignore_index=True)


def join(comparison: Comparison) -> tuple[list[dict[str, Any]], pd.DataFrame]:
    """What was gathered of every row.

    Returns:
        The content of `rows.json` but for the tests, whose runs stand in the order of rates and seeds; the rows of
        `validation.parquet`.

    Raises:
        ValueError: A run was not gathered.
    """
    rows, tables, places = [], [], comparison.places
    for federation, method in comparison.rows:
        path = Path(places.gathered(federation, method, "json"))
        held = {(run["rate"], run["seed"]): run for run in read_json(path)}
        wanted = [(rate, seed) for rate in comparison.rates for seed in comparison.seeds]
        if absent := [lane for lane in wanted if lane not in held]:
            raise ValueError(f"{path}: no run of rate {absent[0][0]} and seed {absent[0][1]}; select the row again")
        rows.append(
            {
                "federation": federation,
                "method": method,
                "selected": read_json(Path(places.selected(federation, method))),
                "runs": [held[lane] for lane in wanted],
            }
        )
        scores = pd.read_parquet(places.gathered(federation, method, "parquet"))
        tables.append(scores.assign(federation=federation, method=method)[[*gathered.KEY, "round", "client", "value"]])
    return rows, pd.concat(tables, ignore_index=True)


def _tested(comparison: Comparison, federation: str, method: str) -> dict[str, Any]:
    """Of a row's tests: how many versions of the method were tested, and hashes by name from the results' folder."""
    names = [(seed, file) for seed in comparison.seeds for file in (FILE, KEPT)]
    paths = [Path(comparison.places.test(federation, method, seed, file)) for seed, file in names]
    return {
        "looks": read_json(Path(comparison.places.looks(federation, method))),
        "tests": {path.relative_to(comparison.folder).as_posix(): sha256(path) for path in paths},
    }


def main(comparison: GivenPath) -> None:
    """Bring every row's results together: `clients.parquet`, `rows.json` and `validation.parquet`.

    Args:
        comparison: The comparison, `results/NAME/comparison.json`, beside which they are written.
    """
    held = Comparison.read(comparison)
    rows, validation = join(held)
    rows = [{**row, **_tested(held, row["federation"], row["method"])} for row in rows]
    for name, content in (("clients.parquet", table(held)), (gathered.VALIDATION, validation)):
        with atomic(held.folder / name) as temporary:
            content.to_parquet(temporary, index=False)
    write_json(held.folder / gathered.ROWS, rows)


if __name__ == "__main__":
    raise SystemExit(run(main))
