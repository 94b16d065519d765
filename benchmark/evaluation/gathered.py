"""What the runs of a row say, gathered: what jobs of the whole comparison read in place of every run's own files.

`select` gathers a row's runs into `gathered/FEDERATION/METHOD.json`, the content of every `run.json`, and `.parquet`,
their validation scores; `collect` joins all rows into `rows.json` and `validation.parquet`. Snakemake passes over a
small file whose content is what it was, so the hashes of a row's tests stand in `rows.json` too: it differs wherever a
result does.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from benchmark.files import atomic, write_json

ROWS = "rows.json"
"""In the folder of a comparison: of every row, federation, method, `selected`, `runs`, `looks` (see
`benchmark.evaluation.evaluate`), and `tests`, hashes by file."""
VALIDATION = "validation.parquet"
"""Beside it: columns federation, method, rate, seed, round, client, value."""
KEY = ["federation", "method", "rate", "seed"]
"""What names a run in `VALIDATION`."""


def write(runs: Sequence[Mapping[str, Any]], scores: Sequence[pd.DataFrame], json: Path, parquet: Path) -> None:
    """Gather the runs of one row.

    Args:
        runs: The content of every `run.json`.
        scores: Every run's validation scores: round, client, value.
        json: Receives the runs.
        parquet: Receives the scores, with the columns rate (text) and seed before them.
    """
    write_json(json, list(runs))
    named = [table.assign(rate=run["rate"], seed=run["seed"]) for run, table in zip(runs, scores, strict=True)]
    with atomic(parquet) as temporary:
        pd.concat(named)[["rate", "seed", "round", "client", "value"]].to_parquet(temporary, index=False)
