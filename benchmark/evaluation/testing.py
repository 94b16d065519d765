"""What opens the test split: all that touches it, the engine's model included, is in this file."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd
import torch
from safetensors import safe_open

from benchmark.data.packed import Split
from benchmark.federation.engine import SUPPORT
from benchmark.federation.model import predict
from benchmark.federation.rows import Rows
from benchmark.federation.train import Job

_CHUNK = 64


def every_client(
    job: Job, test: Split, states: Sequence[Path]
) -> Iterator[tuple[pd.DataFrame, torch.Tensor, torch.Tensor]]:
    """The test images of every client, and what its model makes of them in every lane.

    Args:
        job: Model, method and clients.
        test: The test split.
        states: The leaves each client predicts with, (K, ...), of each of L lanes.

    Yields:
        The client's n rows of the table, their predictions (L, n, ...), and their targets (n, ...).
    """
    engine = job.engine
    lanes = [_state(path, engine.device) for path in states]
    for client in engine.clients:
        own = {name: torch.stack([lane[client.name][name] for lane in lanes]) for name in lanes[0][client.name]}
        rows = test.table[test.table["client"] == client.name]
        places = rows.index.to_numpy()
        images = Rows.of(torch.from_numpy(test.images[places]))
        targets = torch.from_numpy(test.targets[places].copy()).to(engine.device)
        yield rows, predict(engine.model, images, client.support(SUPPORT, engine.dtype), own, _CHUNK), targets


def _state(path: Path, device: torch.device) -> dict[str, dict[str, torch.Tensor]]:
    """Every client's leaves, by the client's name."""
    with safe_open(path, framework="pt", device=str(device)) as stream:
        names = json.loads(stream.metadata()["clients"])
        leaves = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118
    return {client: {name: leaf[k] for name, leaf in leaves.items()} for k, client in enumerate(names)}
