"""Job: predict the test images of every client, with the selected rate only.

    python -m benchmark.evaluation.evaluate --settings JSON --method FILE --pack DIR --backbone DIR
        --selected FILE --runs DIR --output DIR

reads `RUNS/lr={selected rate}/seed={seed}/state.safetensors` and writes `OUTPUT/seed={seed}/predictions.parquet`.
This job and the one for the appendix are the only ones that open the test split; both run after selection.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
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
from benchmark.files import atomic, read_json

_CHUNK = 64


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job; 0 where every seed's predictions were written."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--settings", required=True, type=TrainingJob.model_validate_json, help="TrainingJob as JSON")
    for name in ("method", "pack", "backbone", "selected", "runs", "output"):
        parser.add_argument(f"--{name}", required=True, type=Path)
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    arguments = parser.parse_args(argv)
    torch.set_num_threads(1)
    try:
        job = Job.of(
            arguments.settings, arguments.method, arguments.pack, arguments.backbone, arguments.device, resident=False
        )
        rate = read_json(arguments.selected)["rate"]
        test = open_test(arguments.pack)
        for seed in job.settings.seeds:
            state = arguments.runs / f"lr={rate}" / f"seed={seed}" / "state.safetensors"
            with atomic(arguments.output / f"seed={seed}" / "predictions.parquet") as path:
                predictions(job, test, state).to_parquet(path, index=False)
    except Exception as error:
        print(fault.report(error, arguments.method), file=sys.stderr)
        return 1
    return 0


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


if __name__ == "__main__":
    raise SystemExit(main())
