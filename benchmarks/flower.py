"""One run of the sweep in Flower's simulation engine: FedAvg of the same client, a process of Ray on every core."""

import argparse
import time
from pathlib import Path

import pandas as pd
import torch
from flwr.app import ArrayRecord, ConfigRecord, Context, MetricRecord, RecordDict
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg
from flwr.simulation import run_simulation

from benchmark.files import write_json
from benchmark.provenance import peak_memory
from benchmarks.flower_client import client_app
from benchmarks.user import Learner
from benchmarks.workload import Workload

OPTIONS = ("workload", "rate", "seed", "device", "output")


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
    gpus = 1 / min(options["threads"], len(names)) if options["device"] == "cuda" else 0.0
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
