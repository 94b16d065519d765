"""The client app of Flower's simulation: in a module of its own, which Ray's processes import.

The model is built once in every process and not at every call.
"""

import functools
import os
from pathlib import Path

import torch
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from benchmark.provenance import peak_memory
from benchmarks.user import Learner, Site
from benchmarks.workload import Workload


@functools.cache
def learner(workload: str, seed: int, device: str) -> Learner:
    """The model of this process."""
    torch.set_num_threads(1)
    return Learner(Workload.read(Path(workload)), seed, device)


@functools.cache
def site(workload: str, name: str, seed: int) -> Site:
    """A client's data, as far as this process trains it."""
    return Site(Workload.read(Path(workload)), name, seed, workers=0)


def arguments_of(config: ConfigRecord, context: Context) -> tuple[Learner, Site]:
    """The model and the data of a message."""
    path, seed, device = str(config["workload"]), int(config["seed"]), str(config["device"])
    names = str(config["clients"]).split(",")
    return learner(path, seed, device), site(path, names[int(context.node_config["partition-id"])], seed)


client_app = ClientApp()


@client_app.train()
def train(message: Message, context: Context) -> Message:
    """One local epoch."""
    config = message.content["config"]
    model, own = arguments_of(config, context)
    own.order.round = int(config["server-round"]) - 1
    model.load(_on(model.device, message))
    model.fit(own.train, float(config["rate"]))
    metrics = MetricRecord({"num-examples": len(own.order)})
    return Message(RecordDict({"arrays": ArrayRecord(model.weights()), "metrics": metrics}), reply_to=message)


@client_app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """The validation loss."""
    model, own = arguments_of(message.content["config"], context)
    model.load(_on(model.device, message))
    found = {
        "loss": model.loss(own.validation),
        "num-examples": 1,
        "partition": int(context.node_config["partition-id"]),
        "process": os.getpid(),
        "memory": peak_memory(torch.device(model.device)),
    }
    return Message(RecordDict({"metrics": MetricRecord(found)}), reply_to=message)


def _on(device: str, message: Message) -> dict[str, torch.Tensor]:
    return {name: tensor.to(device) for name, tensor in message.content["arrays"].to_torch_state_dict().items()}
