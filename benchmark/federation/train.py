"""Job: train one method on one federation, with every rate and seed.

    python -m benchmark.federation.train --settings JSON --method FILE --pack DIR --backbone DIR --store DIR
        --output DIR

writes, for every rate and seed, `OUTPUT/lr={rate}/seed={seed}/` with `metrics.parquet`, `state.safetensors` (the
leaves each client predicts with), `adapters/{client}/` (the same in PEFT's format) and `run.json`. Only the pack's
training and validation images are opened. With `--shards N` the lanes are divided over N processes, one for each GPU.
"""

import argparse
import shutil
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmark.config import TrainingJob
from benchmark.federation import fault, parts
from benchmark.federation.client import Lane
from benchmark.federation.job import Job
from benchmark.federation.parts import Part, PartError
from benchmark.federation.progress import Progress
from benchmark.federation.recorded import CudaGraphs, Recorder
from benchmark.federation.store import Store
from benchmark.files import sweep


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job; 0 where every lane's files were written."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--settings", required=True, type=TrainingJob.model_validate_json, help="TrainingJob as JSON")
    parser.add_argument("--method", required=True, type=Path, help="the method's Python file")
    parser.add_argument("--pack", required=True, type=Path, help="folder of the packed dataset")
    parser.add_argument("--backbone", required=True, type=Path, help="folder of the pretrained weights")
    parser.add_argument("--store", required=True, type=Path, help="folder of finished lanes and checkpoints")
    parser.add_argument("--output", required=True, type=Path)
    parser.add_argument("--lanes", default="auto", help="most lanes trained together")
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    parser.add_argument("--threads", type=int, default=1, help="clients computed side by side on a CPU")
    parser.add_argument("--checkpoint-every", type=int, default=5, help="rounds between checkpoints")
    parser.add_argument("--shards", type=int, default=1, help="processes that share the lanes, one for each GPU")
    parser.add_argument("--cuda-graphs", default="off", choices=["on", "off"], help="record steps on a GPU, and replay")
    arguments = parser.parse_args(argv)
    torch.set_num_threads(1)
    return _run(arguments, None)


def _run(arguments: argparse.Namespace, part: Part | None) -> int:
    """Train all lanes and write their files, or train one part's lanes into the store."""
    settings, output = arguments.settings, arguments.output
    lanes: Sequence[Lane] = [Lane(rate, seed) for seed in settings.seeds for rate in settings.rates]
    shards = 1 if part else min(arguments.shards, len(lanes))
    name = f"{settings.federation} {settings.method}"
    if part:
        lanes, output, name = part.share(lanes), part.folder(output), f"{name}, part {part}"
    progress = Progress(output, name, settings.rounds, len(lanes))
    try:
        with progress.running():
            sweep(output)
            elsewhere = parts.train(partial(_run, arguments), shards, output, progress) if shards > 1 else {}
            job = Job.of(settings, arguments.method, arguments.pack, arguments.backbone, arguments.device)
            if job.engine.device.type == "cpu":
                job = replace(job, engine=replace(job.engine, threads=arguments.threads))
            elif arguments.cuda_graphs == "on":
                job = replace(job, engine=replace(job.engine, recorder=Recorder(CudaGraphs())))
            limit = None if arguments.lanes == "auto" else int(arguments.lanes)
            told: dict[str, dict[str, Any]] = {}
            for result in job.results(lanes, Store(arguments.store), limit, arguments.checkpoint_every, progress):
                if part:
                    told[job.key(result.lane)] = {"origin": result.origin, "memory": result.memory}
                    parts.tell(output, told)
                else:
                    # What a part has trained is now found in the store.
                    own = elsewhere.get(job.key(result.lane), {}) if result.origin == "store" else {}
                    job.write(output, replace(result, **own))
                progress.lane()
            if shards > 1:
                shutil.rmtree(output / ".parts", ignore_errors=True)
    except Exception as error:
        reason = str(error) if isinstance(error, PartError) else fault.report(error, arguments.method)
        print(reason, file=sys.stderr)
        with suppress(OSError):
            progress.failed(reason.splitlines()[-1])
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
