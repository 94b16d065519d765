"""Job: predict the test images of every client, with the selected rate only.

    python -m benchmark.evaluation.evaluate --settings JSON --method FILE --pack DIR --backbone DIR
        --selected FILE --runs DIR --output DIR

reads `RUNS/lr={selected rate}/seed={seed}/state.safetensors` and writes `OUTPUT/seed={seed}/predictions.parquet`.
This job and the one for the appendix are the only ones that open the test split; both run after selection.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from benchmark.data.packed import Split
from benchmark.evaluation.testing import command, every_client
from benchmark.federation.train import Job
from benchmark.files import atomic, read_json


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job; 0 where every seed's predictions were written."""
    return command(__doc__, ["selected", "runs", "output"], _work, argv)


def _work(arguments: argparse.Namespace, job: Job, test: Split) -> None:
    rate = read_json(arguments.selected)["rate"]
    for seed in job.settings.seeds:
        state = arguments.runs / f"lr={rate}" / f"seed={seed}" / "state.safetensors"
        with atomic(arguments.output / f"seed={seed}" / "predictions.parquet") as path:
            predictions(job, test, state).to_parquet(path, index=False)


def predictions(job: Job, test: Split, state: Path) -> pd.DataFrame:
    """Every client's predictions of its own test images.

    Args:
        job: Model, method and clients.
        test: The test split.
        state: The leaves each client predicts with, (K, ...).

    Returns:
        Columns sample, client, label, group and probability_0, probability_1, ...: NaN in a lane that diverged.
    """
    tables = []
    for rows, logits in every_client(job, test, [state]):
        probabilities = pd.DataFrame(logits[0].softmax(-1).float().cpu().numpy()).add_prefix("probability_")
        about = rows[["sample", "client", "label", "group"]].reset_index(drop=True)
        tables.append(pd.concat([about, probabilities], axis=1))
    return pd.concat(tables, ignore_index=True)


if __name__ == "__main__":
    raise SystemExit(main())
