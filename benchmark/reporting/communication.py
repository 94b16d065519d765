"""Job: what every method trains and sends, from shapes alone: no data, no weights and no training are needed.

The CSV table has one row for each row of the comparison:

* `parameters`: numbers that a client trains, in any pass;
* `bytes_up`, `bytes_down`: what a client sends and receives, a mean over rounds;
* `total_bytes`: both, of all clients and all rounds;
* `times_less`: how many times less that is than the row that sends most in its federation;
* `as_printed`: parameters x rounds x 32 / 2^30, to two digits: FLAP-SAM's "GB" (arXiv 2407.21739, figure 1);
* `times_less_as_printed`: the largest of these by each, as the paper has it: ratios of rounded numbers.
"""

from collections.abc import Mapping
from pathlib import Path
from statistics import mean
from typing import Annotated, Any

import pandas as pd
import torch
from pydantic import BaseModel

from benchmark.config import TrainingJob
from benchmark.data import dataset as datasets
from benchmark.federation import costs, methods
from benchmark.federation.model import Model
from benchmark.files import write_text
from benchmark.job import AnyJson, as_json, run
from benchmark.models import network as networks
from benchmark.tasks import task as tasks


class Row(BaseModel):
    """A row of the comparison.

    Attributes:
        own: What of a `TrainingJob` is the row's own: federation and method, their settings, what
            is trained, the policy for the head.
        method: The method's Python file.
        dataset: The federation's dataset.
        image_size: Side of its images, in pixels.
    """

    own: dict[str, Any]
    method: Path
    dataset: str
    image_size: int


def counted(protocol: Mapping[str, Any], row: Row) -> dict[str, Any]:
    """What a row's method trains and sends."""
    job, data = TrainingJob.model_validate({**protocol, **row.own}), datasets.find(row.dataset)
    learned = tasks.of({"task": data.task, "classes": data.classes}, job.task)
    method = methods.load(row.method, job.method_settings)
    clients = len(job.clients or data.clients)
    with torch.device("meta"):  # Tensors with shapes and without values.
        size, initialisation = row.image_size, job.initialisation
        setup = networks.Setup(None, job.backbone, job.arguments, learned, size, job.lora, initialisation)
        network = networks.find(job.network).load(setup)
    model = Model.of(network, learned, method, job.trains)
    sent = costs.traffic(model, job.head, clients, job.rounds, networks.LEAVES[job.training.precision])
    return {
        "federation": job.federation,
        "method": job.method,
        "title": f"{method.title} ({job.variant})" if job.variant else method.title,
        "rounds": job.rounds,
        "clients": clients,
        "parameters": (trained := costs.trainable_parameters(model, job.rounds)),
        "bytes_up": round(mean(sent.up)),
        "bytes_down": round(mean(sent.down)),
        "total_bytes": clients * (sum(sent.up) + sum(sent.down)),
        "as_printed": round(trained * job.rounds * 32 / 2**30, 2) if sum(sent.up) else 0.0,
    }


def write(protocol: AnyJson, rows: Annotated[tuple[Row, ...], as_json(tuple[Row, ...])], output: Path) -> None:
    """Write the table.

    Args:
        protocol: What of a `TrainingJob` all rows have.
        rows: The rows of the comparison.
        output: The CSV file.
    """
    table = pd.DataFrame([counted(protocol, row) for row in rows])
    for column, total in (("times_less", "total_bytes"), ("times_less_as_printed", "as_printed")):
        most = table.groupby("federation")[total].transform("max")
        table[column] = (most / table[total].where(table[total] > 0)).round(2)
    ordered = table.sort_values(["federation", "total_bytes", "method"], ascending=[True, False, True])
    write_text(output, ordered.to_csv(index=False))


if __name__ == "__main__":
    raise SystemExit(run(write))
