"""The sweep by the engine's own training job, with a clock around its rounds and its validation."""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from benchmark.comparison import run_path
from benchmark.config import RunningSettings
from benchmark.federation import train
from benchmark.federation.engine import Engine
from benchmark.files import write_json
from benchmark.job import run
from benchmark.methods import method_file
from benchmark.provenance import peak_memory
from benchmark.sources import ROOT
from benchmarks.workload import Workload


class Clock:
    """Adds up the seconds that calls of one function take."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, timed."""

        def timed(*arguments: Any) -> Any:
            tick = time.perf_counter()
            found = function(*arguments)
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            self.seconds += time.perf_counter() - tick
            return found

        return timed


def main() -> None:
    """Train, and write seconds, memory and the final validation losses."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workload", required=True, type=Path)
    parser.add_argument("--lanes", required=True)
    parser.add_argument("--device", required=True)
    parser.add_argument("--threads", required=True, type=int)
    parser.add_argument("--cuda-graphs", default="off", choices=["on", "off"])
    parser.add_argument("--runs", required=True, type=Path, help="receives what the job writes")
    parser.add_argument("--output", required=True, type=Path)
    arguments = parser.parse_args()
    workload = Workload.read(arguments.workload)
    training, evaluation = Clock(), Clock()
    Engine.round = training.around(Engine.round)  # type: ignore[method-assign]
    Engine.validated = evaluation.around(Engine.validated)  # type: ignore[method-assign]
    options = {
        "settings": workload.job().model_dump_json(),
        "method": ROOT / method_file(workload.method),
        "pack": workload.root / "pack",
        "backbone": workload.root / "backbone",
        "store": arguments.runs / "store",
        "output": arguments.runs / "runs",
        "running": RunningSettings(
            lanes=arguments.lanes if arguments.lanes == "auto" else int(arguments.lanes),
            device=arguments.device,
            threads=arguments.threads,
            cuda_graphs=arguments.cuda_graphs == "on",
        ).model_dump_json(),
    }
    if run(train.train, [text for key, value in options.items() for text in (f"--{key}", str(value))]):
        raise SystemExit(1)
    about = {
        "training": training.seconds,
        "evaluation": evaluation.seconds,
        "memory": peak_memory(torch.device(arguments.device)),
        "losses": {
            f"{rate}/{seed}": _losses(arguments.runs / "runs" / run_path(rate, seed, "metrics.parquet"))
            for rate in workload.rates
            for seed in workload.seeds
        },
    }
    write_json(arguments.output, about)


def _losses(path: Path) -> dict[str, float]:
    """Every client's validation loss after the last round."""
    rows = pd.read_parquet(path)
    last = rows[(rows["round"] == rows["round"].max()) & (rows["split"] == "validation") & (rows["metric"] == "loss")]
    return dict(zip(last["client"], last["value"], strict=True))


if __name__ == "__main__":
    main()
