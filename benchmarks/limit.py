"""The bare limit: forward and backward through the frozen backbone alone, on synthetic images on the device."""

import argparse
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

from benchmark.files import write_json
from benchmark.models.vit import build
from benchmark.provenance import peak_memory
from benchmarks.workload import VIT, Workload

BATCHES = {"cpu": (16, 64, 256), "cuda": (64, 256, 1024)}
SECONDS = 2.0
"""Spent on each way of using the device."""


def main() -> None:
    """Try batch sizes and ways to use the threads; write the largest throughput."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workload", required=True, type=Path)
    parser.add_argument("--device", required=True)
    parser.add_argument("--threads", required=True, type=int)
    parser.add_argument("--output", required=True, type=Path)
    arguments = parser.parse_args()
    workload = Workload.read(arguments.workload)
    dtype = torch.bfloat16 if workload.precision == "bfloat16" else torch.float32
    vit = build(VIT, {}, workload.image_size).to(arguments.device, dtype).eval().requires_grad_(False)

    def images_per_second(batch: int, side_by_side: int) -> float:
        def one(_: int) -> int:
            images = torch.rand(
                batch, 3, workload.image_size, workload.image_size, device=arguments.device, dtype=dtype
            )
            images.requires_grad_()
            done, begin = 0, time.perf_counter()
            while time.perf_counter() - begin < SECONDS:
                torch.autograd.grad(vit(images).sum(), images)
                if arguments.device == "cuda":
                    torch.cuda.synchronize()
                done += batch
            return done

        torch.set_num_threads(max(1, arguments.threads // side_by_side))
        with ThreadPoolExecutor(side_by_side) as pool:
            begin = time.perf_counter()
            return sum(pool.map(one, range(side_by_side))) / (time.perf_counter() - begin)

    ways = sorted({1, arguments.threads}) if arguments.device == "cpu" else [1]
    found = {(batch, way): images_per_second(batch, way) for batch in BATCHES[arguments.device] for way in ways}
    best = max(found, key=lambda key: found[key])
    about = {"throughput": found[best], "batch": best[0], "memory": peak_memory(torch.device(arguments.device))}
    write_json(arguments.output, about)


if __name__ == "__main__":
    main()
