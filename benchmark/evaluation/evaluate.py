"""Job: test a row: what its models make of every client's test images.

Nothing but this job opens the test split, and it runs after selection. With `--rates selected` it writes, of the
selected rate and every seed, `OUTPUT/seed={seed}/counts.parquet`, what every prediction is worth (see
`benchmark.evaluation.counts`), and `predictions.parquet`, what the task keeps of them beside. With `--rates all` it
writes the test scores of every rate as one CSV file, for the report's appendix and nothing else: they show what another
selection would have given.
"""

import traceback
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pandas as pd
import torch

from benchmark.config import TrainingJob
from benchmark.data.packed import Split, open_test
from benchmark.evaluation import counts
from benchmark.evaluation.testing import every_client
from benchmark.federation import fault
from benchmark.federation.train import Job
from benchmark.files import atomic, read_json, write_text
from benchmark.job import GivenPath, as_json, run
from benchmark.tasks import task as tasks
from benchmark.tasks.task import Floats, Task

ALL_RATES = ["federation", "method", "rate", "seed", "client", "value"]
"""The columns of the appendix's file."""


def of_model(job: Job, task: Task, test: Split, state: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What one model makes of every client's test images.

    Args:
        job: Model, method and clients.
        task: What was learned.
        test: The test split.
        state: The leaves each client predicts with, (K, ...).

    Returns:
        The rows of `counts.parquet` and those of `predictions.parquet`.
    """
    counted, kept = [], []
    for rows, predictions, targets in every_client(job, test, [state]):
        about = rows[counts.ABOUT].reset_index(drop=True)
        values = task.counts(predictions[0], targets).cpu().numpy()
        counted.append(counts.frame(about, values, task.counted))
        kept.append(about.assign(**task.kept(predictions[0])))
    return pd.concat(counted, ignore_index=True), pd.concat(kept, ignore_index=True)


def of_every_rate(job: Job, task: Task, test: Split, runs: Path) -> pd.DataFrame:
    """Every client's test score with every rate and seed; all rates of a seed are tested together, as lanes.

    Args:
        job: Model, method and clients.
        task: What was learned.
        test: The test split.
        runs: The folder of the row's runs.

    Returns:
        Columns `ALL_RATES`; NaN where a lane diverged.
    """
    settings, found = job.settings, []
    for seed in settings.seeds:
        states = [_state(runs, rate, seed) for rate in settings.rates]
        for rows, predictions, targets in every_client(job, test, states):
            about, lanes = rows[counts.ABOUT].reset_index(drop=True), task.counts(predictions, targets).cpu().numpy()
            units: Floats = np.stack([counts.by_unit(about, lane, task) for lane in lanes])
            client = about["client"].iloc[0]
            scores = zip(settings.rates, task.score(units).tolist(), strict=True)
            found += [(settings.federation, settings.method, rate, seed, client, value) for rate, value in scores]
    return pd.DataFrame(found, columns=ALL_RATES)


def main(
    runs: GivenPath,
    pack: Path,
    backbone: Path,
    method: Path,
    settings: Annotated[TrainingJob, as_json(TrainingJob)],
    selected: Path,
    output: Path,
    rates: Literal["selected", "all"] = "selected",
    device: Literal["auto", "cpu", "cuda"] = "auto",
) -> None:
    """Test a row on every client's test images; runs after selection.

    Args:
        runs: The folder of the row's runs, `results/NAME/runs/FEDERATION/METHOD`.
        pack: The folder of the federation's packed images.
        backbone: The folder of the pretrained weights.
        method: The method's file.
        settings: What was trained, a TrainingJob.
        selected: The row's selection.
        output: The folder that receives `seed={seed}/counts.parquet` and `predictions.parquet`; or, with all rates, the
            CSV file of their scores.
        rates: `selected` for the results; `all` for the appendix.
        device: Where to compute.
    """
    torch.set_num_threads(1)
    choice = read_json(selected)
    job = Job.of(settings, method, pack, backbone, device, resident=False)
    task, test = tasks.of(read_json(pack / "manifest.json")), open_test(pack)
    if rates == "all":
        write_text(output, of_every_rate(job, task, test, runs).to_csv(index=False))
        return
    for seed in settings.seeds:
        tables = of_model(job, task, test, _state(runs, choice["rate"], seed))
        for name, table in zip((counts.FILE, counts.KEPT), tables, strict=True):
            with atomic(output / f"seed={seed}" / name) as temporary:
                table.to_parquet(temporary, index=False)


def _state(runs: Path, rate: str, seed: int) -> Path:
    return runs / f"lr={rate}" / f"seed={seed}" / "state.safetensors"


def _explained(error: Exception) -> str:
    """What the log says of an error: where it happened in the method's file, if it did."""
    frames = (frame for frame, _ in traceback.walk_tb(error.__traceback__) if frame.f_code is main.__code__)
    return fault.report(error, next(frame.f_locals["method"] for frame in frames))


if __name__ == "__main__":
    raise SystemExit(run(main, explain=_explained))
