"""Job: the test scores of every rate, for the report's appendix and nothing else.

    python -m benchmark.evaluation.appendix --settings JSON --method FILE --pack DIR --backbone DIR
        --runs DIR --output FILE

reads every `RUNS/lr={rate}/seed={seed}/state.safetensors`, all rates together as lanes, and writes a CSV file with the
columns dataset, method, rate, seed, client, value. It runs after selection. What it writes shows what another selection
would have given; leaderboard and tables never read it.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import torch

from benchmark.config import TrainingJob
from benchmark.data.packed import Split, open_test
from benchmark.evaluation.evaluate import every_client
from benchmark.federation import fault
from benchmark.federation.train import Job
from benchmark.files import write_text

COLUMNS = ["dataset", "method", "rate", "seed", "client", "value"]


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


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job; 0 where the scores were written."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--settings", required=True, type=TrainingJob.model_validate_json, help="TrainingJob as JSON")
    for name in ("method", "pack", "backbone", "runs", "output"):
        parser.add_argument(f"--{name}", required=True, type=Path)
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    arguments = parser.parse_args(argv)
    torch.set_num_threads(1)
    try:
        job = Job.of(
            arguments.settings, arguments.method, arguments.pack, arguments.backbone, arguments.device, resident=False
        )
        write_text(arguments.output, scores(job, open_test(arguments.pack), arguments.runs).to_csv(index=False))
    except Exception as error:
        print(fault.report(error, arguments.method), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
