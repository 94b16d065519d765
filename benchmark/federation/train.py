"""Job: train one method on one federation, with every rate and seed.

    python -m benchmark.federation.train --settings JSON --method FILE --pack DIR --backbone DIR --store DIR
        --output DIR

writes, for every rate and seed, `OUTPUT/lr={rate}/seed={seed}/` with `metrics.parquet`, `state.safetensors` (the
leaves each client predicts with), `adapters/{client}/` (the same in PEFT's format) and `run.json`; with `--common`
also `common.safetensors`, the model that all of them made. Only the pack's training and validation images are opened.
With `--shard K/N` one of N equal shards of the lanes is trained into the store, and `OUTPUT/lanes.json` says what
became of them.
"""

import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import torch
from tyro.conf import OmitArgPrefixes

from benchmark.comparison import EVERY_RUN
from benchmark.config import RunningSettings
from benchmark.federation import fault
from benchmark.federation.client import Lane
from benchmark.federation.job import Inputs, Job
from benchmark.federation.progress import Progress
from benchmark.federation.recorded import CudaGraphs, Recorder
from benchmark.federation.shard import FOLDER, LANES, share, told
from benchmark.federation.store import Store
from benchmark.files import replaced, sweep, write_json
from benchmark.job import JobError, as_json, run


def train(
    inputs: OmitArgPrefixes[Inputs],
    store: Path,
    output: Path,
    running: Annotated[RunningSettings, as_json(RunningSettings)] = RunningSettings(),  # noqa: B008
    shard: str = "",
    common: bool = False,
) -> None:
    """Train one method on one federation, with every rate and seed.

    Args:
        inputs: What the row is computed from.
        store: The folder of finished lanes and checkpoints.
        output: The folder of the runs.
        running: How the job runs, which decides no result.
        shard: Train this shard of the lanes alone, as in 2/4.
        common: Whether to write the model that all clients made too, for hospitals outside the federation.
    """
    torch.set_num_threads(1)
    settings = inputs.settings
    lanes: Sequence[Lane] = [Lane(rate, seed) for seed in settings.seeds for rate in settings.rates]
    name = f"{settings.federation} {settings.method}"
    if shard:
        lanes, name = share(lanes, shard), f"{name}, shard {shard}"
    progress = Progress(output, name, settings.rounds)
    try:
        with progress.running():
            sweep(output)
            job = _told_how(Job.of(inputs, running.device), running)
            limit = None if running.lanes == "auto" else int(running.lanes)
            said, elsewhere = dict[str, dict[str, Any]](), told(output)
            with replaced(output, EVERY_RUN) as new:
                for result in job.results(lanes, Store(store), limit, running.checkpoint_every, progress):
                    key = job.key(result.lane)
                    if shard:
                        said[key] = {"origin": result.origin, "memory": result.memory}
                    else:
                        # What a shard has trained is now found in the store.
                        own = elsewhere.get(key, {}) if result.origin == "store" else {}
                        job.write(new, replace(result, **own), common=common)
                    progress.lane()
            if shard:
                write_json(output / LANES, said)
            else:
                shutil.rmtree(output / FOLDER, ignore_errors=True)
    except Exception as error:
        reason = fault.report(error, inputs.method)
        with suppress(OSError):
            progress.failed(reason.splitlines()[-1])
        raise JobError(reason) from error


def _told_how(job: Job, running: RunningSettings) -> Job:
    """The job with what decides no result."""
    if job.engine.device.type == "cpu":
        return replace(job, engine=replace(job.engine, threads=running.threads))
    return replace(job, engine=replace(job.engine, recorder=Recorder(CudaGraphs()))) if running.cuda_graphs else job


if __name__ == "__main__":
    raise SystemExit(run(train))
