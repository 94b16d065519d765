"""Job: what every method trains and sends, from shapes alone: no data, no weights and no training are needed.

The CSV table has one row for each row of the comparison:

* `parameters`: numbers that a client trains, in any pass;
* `bytes_up`, `bytes_down`: what a client sends and receives, a mean over rounds;
* `total_bytes`: both, of all clients and all rounds;
* `times_less`: how many times less that is than the row that sends most in its federation;
* `as_printed`: numbers that a client sends x rounds x 32 / 2^30, to two digits: FLAP-SAM's "GB" (arXiv 2407.21739,
  figure 1), whose rows send what they train;
* `times_less_as_printed`: the largest of these by each, as the paper has it: ratios of rounded numbers;
* `published`: what the paper prints, where it has the row;
* `comes_out`: whether `as_printed` equals it, `yes` or `no`. With the paper's settings one row's does not: that of
  attention, 22.39 by the leaves that the authors' code trains, is printed as 23.60.
"""

from collections.abc import Mapping
from itertools import product
from pathlib import Path
from statistics import mean
from typing import Annotated, Any

import pandas as pd
import torch
from pydantic import BaseModel

from benchmark.config import TrainingJob
from benchmark.data import dataset as datasets
from benchmark.federation import costs
from benchmark.federation.methods import load
from benchmark.federation.model import Model
from benchmark.files import write_text
from benchmark.job import AnyJson, as_json, run
from benchmark.models import network as networks
from benchmark.reporting.published import COMMUNICATION, read_published
from benchmark.tasks import task as tasks


class Federation(BaseModel):
    """A federation of the comparison.

    Attributes:
        own: What of a `TrainingJob` is the federation's: its name, its clients, settings of its task.
        dataset: Its dataset.
        image_size: Side of its images, in pixels.
    """

    own: dict[str, Any]
    dataset: str
    image_size: int


class Method(BaseModel):
    """A method of the comparison, or a variant of one: a row of every federation.

    Attributes:
        own: What of a `TrainingJob` is the method's: the row's name, settings, what is trained, whose the head is.
        file: The method's Python file.
    """

    own: dict[str, Any]
    file: Path


def counted(protocol: Mapping[str, Any], federation: Federation, given: Method) -> dict[str, Any]:
    """What a method trains and sends on a federation."""
    job = TrainingJob.model_validate({**protocol, **federation.own, **given.own})
    data = datasets.find(federation.dataset)
    learned = tasks.of({"task": data.task, "classes": data.classes}, job.task)
    method = load(given.file, job.method_settings)
    clients = len(job.clients or data.clients)
    with torch.device("meta"):  # Tensors with shapes and without values.
        size, initialisation = federation.image_size, job.initialisation
        setup = networks.Setup(None, job.backbone, job.arguments, learned, size, job.lora, initialisation)
        network = networks.find(job.network).load(setup)
    model = Model.of(network, learned, method, job.trains)
    leaves = networks.LEAVES[job.training.precision]
    sent = costs.traffic(model, job.head, clients, job.rounds, leaves)
    return {
        "federation": job.federation,
        "method": job.method,
        "title": f"{method.title} ({job.variant})" if job.variant else method.title,
        "rounds": job.rounds,
        "clients": clients,
        "parameters": costs.trainable_parameters(model, job.rounds),
        "bytes_up": round(mean(sent.up)),
        "bytes_down": round(mean(sent.down)),
        "total_bytes": clients * (sum(sent.up) + sum(sent.down)),
        "as_printed": round(sum(sent.up) / leaves.itemsize * 32 / 2**30, 2),
    }


def write(
    protocol: AnyJson,
    federations: Annotated[tuple[Federation, ...], as_json(tuple[Federation, ...])],
    methods: Annotated[tuple[Method, ...], as_json(tuple[Method, ...])],
    published: Path,
    output: Path,
) -> None:
    """Write the table.

    Federations and methods are given once each and crossed here: of a leaderboard's size, the rows would be longer than
    Linux lets an argument be.

    Args:
        protocol: What of a `TrainingJob` all rows have.
        federations: The federations of the comparison.
        methods: The methods of the comparison, each of which is a row of every federation.
        published: Published values, CSV.
        output: The CSV file.
    """
    table = pd.DataFrame([counted(protocol, *row) for row in product(federations, methods)])
    for column, total in (("times_less", "total_bytes"), ("times_less_as_printed", "as_printed")):
        most = table.groupby("federation")[total].transform("max")
        table[column] = (most / table[total].where(table[total] > 0)).round(2)
    printed = read_published(published)
    printed = printed[printed["quantity"] == COMMUNICATION].set_index(["federation", "method"])
    table["published"] = [printed["value"].get(row) for row in zip(table["federation"], table["method"], strict=True)]
    comes_out = (table["published"].astype(float) == table["as_printed"]).map({True: "yes", False: "no"})
    table["comes_out"] = comes_out.where(table["published"].notna())
    ordered = table.sort_values(["federation", "total_bytes", "method"], ascending=[True, False, True])
    write_text(output, ordered.to_csv(index=False))


if __name__ == "__main__":
    raise SystemExit(run(write))
