"""One run of the sweep as users write it: one process, one rate, one seed, the clients one after another."""

import argparse
import time
from pathlib import Path

import torch

from benchmark.files import write_json
from benchmark.provenance import peak_memory
from benchmarks.user import Learner, Site
from benchmarks.workload import Workload


def main() -> None:
    """Train, and write seconds, memory and the final validation losses."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workload", required=True, type=Path)
    parser.add_argument("--rate", required=True)
    parser.add_argument("--seed", required=True, type=int)
    parser.add_argument("--device", required=True)
    parser.add_argument("--threads", required=True, type=int)
    parser.add_argument("--workers", required=True, type=int)
    parser.add_argument("--output", required=True, type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    workload = Workload.read(arguments.workload)
    names = sorted(workload.images["client"].unique())
    sites = [Site(workload, name, arguments.seed, arguments.workers) for name in names]
    learner = Learner(workload, arguments.seed, arguments.device)
    shares = torch.tensor([len(site.order) for site in sites], dtype=torch.float64)
    shares /= shares.sum()
    weights, losses = learner.weights(), {}
    training = evaluation = 0.0
    for round in range(workload.rounds):
        tick = time.perf_counter()
        received = []
        for site in sites:
            site.order.round = round
            learner.load(weights)
            learner.fit(site.train, float(arguments.rate))
            received.append(learner.weights())
        weights = {
            name: sum(share * own[name] for share, own in zip(shares.tolist(), received, strict=True))
            for name in weights
        }
        _finish(arguments.device)
        training += time.perf_counter() - tick
        tick = time.perf_counter()
        learner.load(weights)
        losses = {name: learner.loss(site.validation) for name, site in zip(names, sites, strict=True)}
        evaluation += time.perf_counter() - tick
    about = {
        "training": training,
        "evaluation": evaluation,
        "memory": peak_memory(torch.device(arguments.device)),
        "losses": {f"{arguments.rate}/{arguments.seed}": losses},
    }
    write_json(arguments.output, about)


def _finish(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
