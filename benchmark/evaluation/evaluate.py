"""Job: test a row: what its models make of every client's test images.

Nothing but this job, and `benchmark.evaluation.show` after it, opens the test split (`benchmark.evaluation.outside`
that of hospitals outside); it runs after selection. With `--rates selected` it writes, of the selected rate and every
seed, `OUTPUT/seed={seed}/counts.parquet`, what every prediction is worth (see `benchmark.evaluation.counts`), and
`predictions.parquet`, what the task keeps of them beside. With `--rates all` it writes the test scores of every rate
as one CSV file, for the report's appendix and nothing else: they show what another selection would have given.
"""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import torch
from tyro.conf import OmitArgPrefixes

from benchmark.comparison import run_path
from benchmark.counted import ABOUT, frame
from benchmark.data.packed import Split, open_test
from benchmark.evaluation import counts
from benchmark.evaluation.testing import every_client
from benchmark.federation import fault
from benchmark.federation.job import STATE, Inputs, Job
from benchmark.files import atomic, digest, read_json, write_json, write_text
from benchmark.job import GivenPath, JobError, run
from benchmark.tasks.task import Floats

ALL_RATES = ["federation", "method", "rate", "seed", "client", "value"]
"""The columns of the appendix's file."""


def of_model(job: Job, test: Split, state: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What one model makes of every client's test images: the rows of `counts.parquet` and of `predictions.parquet`.

    `state` holds the leaves that each client predicts with, (K, ...).
    """
    counted, kept = [], []
    for tested in every_client(job, test, [state]):
        about = tested.rows[ABOUT].reset_index(drop=True)
        counted.append(frame(about, tested.worth[0].counts, job.engine.model.task.counted))
        kept.append(about.assign(**tested.worth[0].kept))
    return pd.concat(counted, ignore_index=True), pd.concat(kept, ignore_index=True)


def of_every_rate(job: Job, test: Split, runs: Path) -> pd.DataFrame:
    """Every client's test score with every rate and seed, from the row's runs; all rates of a seed are tested as lanes.

    Columns `ALL_RATES`; NaN where a lane diverged.
    """
    settings, task, found = job.settings, job.engine.model.task, []
    for seed in settings.seeds:
        for tested in every_client(job, test, [_state(runs, rate, seed) for rate in settings.rates]):
            about = tested.rows[ABOUT].reset_index(drop=True)
            units: Floats = np.stack([counts.by_unit(about, lane.counts, task) for lane in tested.worth])
            client = about["client"].iloc[0]
            scores = zip(settings.rates, task.score(units).tolist(), strict=True)
            found += [(settings.federation, settings.method, rate, seed, client, value) for rate, value in scores]
    return pd.DataFrame(found, columns=ALL_RATES)


def looks(job: Job, images: str, history: Path) -> int:
    """Remember that a method was tested; returns how many versions of it, code or settings, saw these images.

    To test one again shows nothing new. `images` is the test images' hash; `history` the folder of what was tested: by
    images and method a file, with a line for every test.
    """
    path = history / images[:16] / f"{job.settings.method}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    version = digest([job.hashes["method"], job.settings.model_dump(mode="json")])
    with path.open("a", encoding="utf-8") as lines:
        lines.write(f"{json.dumps({'time': datetime.now(UTC).isoformat(timespec='seconds'), 'version': version})}\n")
    return len({json.loads(line)["version"] for line in path.read_text(encoding="utf-8").splitlines()})


def main(
    runs: GivenPath,
    inputs: OmitArgPrefixes[Inputs],
    selected: Path,
    output: Path,
    history: Path,
    rates: Literal["selected", "all"] = "selected",
    device: Literal["auto", "cpu", "cuda"] = "auto",
) -> None:
    """Test a row on every client's test images; runs after selection.

    Args:
        runs: The folder of the row's runs, `results/NAME/runs/FEDERATION/METHOD`.
        inputs: What the row is computed from.
        selected: The row's selection.
        output: The folder that receives `seed={seed}/counts.parquet` and `predictions.parquet`; or, with all rates, the
            CSV file of their scores.
        history: The folder that remembers which versions of a method were tested on which images.
        rates: `selected` for the results; `all` for the appendix.
        device: Where to compute.
    """
    torch.set_num_threads(1)
    try:
        job = Job.of(inputs, device, resident=False)
        _test(job, open_test(inputs.pack), runs, read_json(selected)["rate"] if rates == "selected" else "", output)
        if rates == "selected":
            write_json(output / "looks.json", looks(job, inputs.manifest["hashes"]["test.npy"], history))
    except Exception as error:
        raise JobError(fault.report(error, inputs.method)) from error


def _test(job: Job, test: Split, runs: Path, rate: str, output: Path) -> None:
    """Write what the job says: of one rate, or where none is given of all."""
    if not rate:
        write_text(output, of_every_rate(job, test, runs).to_csv(index=False))
        return
    # All seeds are tested before one is written: a test that fails leaves all files as they were.
    tested = {seed: of_model(job, test, _state(runs, rate, seed)) for seed in job.settings.seeds}
    for seed, tables in tested.items():
        for name, table in zip((counts.FILE, counts.KEPT), tables, strict=True):
            with atomic(output / f"seed={seed}" / name) as temporary:
                table.to_parquet(temporary, index=False)


def _state(runs: Path, rate: str, seed: int) -> Path:
    return runs / run_path(rate, seed, STATE)


if __name__ == "__main__":
    raise SystemExit(run(main))
