"""One run of the sweep in Flower's simulation engine: FedAvg of the same client, one process of Ray per core.

The model is built once in every process and not at every call, and no process waits for another's threads.
"""

import argparse
import functools
import os
import time
from pathlib import Path

import pandas as pd
import torch
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg
from flwr.simulation import run_simulation

from benchmark.files import write_json
from benchmark.provenance import peak_memory
from benchmarks.user import Learner, Site
from benchmarks.workload import Workload

OPTIONS = ("workload", "rate", "seed", "device", "output")


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


def main() -> None:
    """Train, and write seconds, memory and the final validation losses."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in OPTIONS:
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--threads", required=True, type=int)
    options = vars(parser.parse_args())
    workload = Workload.read(Path(options["workload"]))
    names = sorted(pd.read_parquet(workload.root / "images.parquet")["client"].unique())
    config = {"clients": ",".join(names), **{name: options[name] for name in OPTIONS if name != "output"}}
    seen: list[dict[str, float]] = []
    server_app = ServerApp()

    def keep(replies: list[RecordDict], _: str) -> MetricRecord:
        seen[:] = [dict(reply["metrics"]) for reply in replies]
        return MetricRecord({"loss": sum(metrics["loss"] for metrics in seen) / len(seen)})

    @server_app.main()
    def serve(grid: Grid, context: Context) -> None:
        start = Learner(workload, int(options["seed"]), "cpu").weights()
        strategy = FedAvg(min_train_nodes=len(names), min_evaluate_nodes=len(names), evaluate_metrics_aggr_fn=keep)
        strategy.start(
            grid,
            ArrayRecord(start),
            num_rounds=workload.rounds,
            train_config=ConfigRecord(config),
            evaluate_config=ConfigRecord(config),
        )

    tick = time.perf_counter()
    gpus = 1 / options["threads"] if options["device"] == "cuda" else 0.0
    resources = {"num_cpus": 1, "num_gpus": gpus}
    init = {"num_cpus": options["threads"], "include_dashboard": False}
    backend = {"client_resources": resources, "init_args": init}
    run_simulation(server_app, client_app, num_supernodes=len(names), backend_config=backend)
    memory = sum({metrics["process"]: metrics["memory"] for metrics in seen}.values())
    losses = {names[int(metrics["partition"])]: metrics["loss"] for metrics in seen}
    about = {
        "training": time.perf_counter() - tick,
        "evaluation": 0.0,
        "memory": memory + peak_memory(torch.device("cpu")) * (options["device"] == "cpu"),
        "losses": {f"{options['rate']}/{options['seed']}": losses},
    }
    write_json(Path(options["output"]), about)


if __name__ == "__main__":
    main()
