"""Job: the test scores of every rate, for the report's appendix and nothing else.

    python -m benchmark.evaluation.appendix --settings JSON --method FILE --pack DIR --backbone DIR
        --runs DIR --output FILE

reads every `RUNS/lr={rate}/seed={seed}/state.safetensors`, all rates together as lanes, and writes a CSV file with the
columns dataset, method, rate, seed, client, value. It runs after selection. What it writes shows what another selection
would have given; leaderboard and tables never read it.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import torch

from benchmark.data.packed import Split
from benchmark.evaluation.testing import command, every_client
from benchmark.federation.train import Job
from benchmark.files import write_text

COLUMNS = ["dataset", "method", "rate", "seed", "client", "value"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job; 0 where the scores were written."""
    return command(__doc__, ["runs", "output"], _work, argv)


def _work(arguments: argparse.Namespace, job: Job, test: Split) -> None:
    write_text(arguments.output, scores(job, test, arguments.runs).to_csv(index=False))


def scores(job: Job, test: Split, runs: Path) -> pd.DataFrame:
    """Every client's test score with every rate and seed.

    Args:
        job: Model, method and clients.
        test: The test split.
        runs: The folder of the method's runs.

    Returns:
        Columns `COLUMNS`; NaN where a lane diverged.
    """
    settings, task, found = job.settings, job.engine.model.task, []
    for seed in settings.seeds:
        states = [runs / f"lr={rate}" / f"seed={seed}" / "state.safetensors" for rate in settings.rates]
        for rows, logits in every_client(job, test, states):
            labels = torch.from_numpy(rows["label"].to_numpy().copy()).to(logits.device)
            values = task.score(task.counts(logits, labels)).tolist()
            client = rows["client"].iloc[0]
            lanes = zip(settings.rates, values, strict=True)
            found += [(settings.federation, settings.method, rate, seed, client, value) for rate, value in lanes]
    return pd.DataFrame(found, columns=COLUMNS)


if __name__ == "__main__":
    raise SystemExit(main())
