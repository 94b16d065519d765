"""What the jobs that open the test split have in common; all of them run after selection."""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pandas as pd
import torch
from safetensors import safe_open

from benchmark.config import TrainingJob
from benchmark.data.packed import Split, open_test
from benchmark.federation import fault
from benchmark.federation.engine import SUPPORT
from benchmark.federation.model import predict
from benchmark.federation.rows import Rows
from benchmark.federation.train import Job

_CHUNK = 64


def command(
    text: str | None,
    paths: Sequence[str],
    work: Callable[[argparse.Namespace, Job, Split], None],
    argv: Sequence[str] | None,
) -> int:
    """Run a job on the test split.

    Args:
        text: What the job's help says.
        paths: Its options that name files and folders, besides those that describe the trained method.
        work: Does it, with the options, the trained method and the test split.
        argv: The command line; the process's own where None.

    Returns:
        The exit status: 0, or 1 after an error, which is printed.
    """
    parser = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--settings", required=True, type=TrainingJob.model_validate_json, help="TrainingJob as JSON")
    for name in ("method", "pack", "backbone", *paths):
        parser.add_argument(f"--{name}", required=True, type=Path)
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    arguments = parser.parse_args(argv)
    torch.set_num_threads(1)
    try:
        of_job = arguments.settings, arguments.method, arguments.pack, arguments.backbone, arguments.device
        work(arguments, Job.of(*of_job, resident=False), open_test(arguments.pack))
    except Exception as error:
        print(fault.report(error, arguments.method), file=sys.stderr)
        return 1
    return 0


def every_client(job: Job, test: Split, states: Sequence[Path]) -> Iterator[tuple[pd.DataFrame, torch.Tensor]]:
    """The test images of every client, and what its model makes of them in every lane.

    Args:
        job: Model, method and clients.
        test: The test split.
        states: The leaves each client predicts with, (K, ...), of each of L lanes.

    Yields:
        The client's n rows of the table, and logits (L, n, classes).
    """
    engine = job.engine
    lanes = [_state(path, engine.device) for path in states]
    for client in engine.clients:
        own = {name: torch.stack([lane[client.name][name] for lane in lanes]) for name in lanes[0][client.name]}
        rows = test.table[test.table["client"] == client.name]
        images = Rows.of(torch.from_numpy(test.images[rows.index.to_numpy()]))
        yield rows, predict(engine.model, images, client.support(SUPPORT, engine.dtype), own, _CHUNK)


def _state(path: Path, device: torch.device) -> dict[str, dict[str, torch.Tensor]]:
    """Every client's leaves, by the client's name."""
    with safe_open(path, framework="pt", device=str(device)) as stream:
        names = json.loads(stream.metadata()["clients"])
        leaves = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118
    return {client: {name: leaf[k] for name, leaf in leaves.items()} for k, client in enumerate(names)}
