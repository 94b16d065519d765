"""Job: adapt a row's models to a hospital outside the federation, by its images alone.

This process opens nothing that says what is to be predicted: neither targets nor labels. For every adaptation and seed
it writes `OUTPUT/{adaptation}/seed={seed}/adapted.safetensors`, see `benchmark.evaluation.serving.Learned`; what is
there already and depends on nothing that has changed, it leaves as it is. `benchmark.evaluation.outside` tests it.
"""

import time
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Literal

import torch
from tyro.conf import OmitArgPrefixes

from benchmark.config import ServingJob
from benchmark.evaluation.serving import Learned, Outside, Pictures, file_of
from benchmark.federation import fault
from benchmark.federation.adapting import Bank, DivergedError, mixed
from benchmark.federation.job import Inputs
from benchmark.job import GivenPath, JobError, as_json, run
from benchmark.leaf import Leaves

ADAPTED = "adapted.safetensors"


def learn(outside: Outside, file: str, seed: int, key: str, bank: Bank, pictures: Pictures) -> Learned:
    """What an adaptation learns with one seed from a hospital's images.

    A mixture that diverges is noted and learns nothing: it is a row of the tables, not the end of all others.
    """
    adaptation, began = outside.adaptation(file), time.monotonic()
    leaves, diverged = dict[str, Leaves](), list[str]()
    for name, mixture in mixed(adaptation, outside.model, bank).items():
        try:
            there = mixture.adapted(adaptation, pictures.images, seed, pictures.cases)
        except DivergedError:
            diverged.append(name)
        else:
            leaves[name] = {leaf: own for leaf, own in there.params.items() if leaf not in mixture.params}
    about = {
        "key": key,
        "images": len(pictures.images),
        "seconds": round(time.monotonic() - began, 3),
        "diverged": diverged,
    }
    return Learned(leaves, about)


def main(
    runs: GivenPath,
    inputs: OmitArgPrefixes[Inputs],
    serving: Annotated[ServingJob, as_json(ServingJob)],
    selected: Path,
    output: Path,
    device: Literal["auto", "cpu", "cuda"] = "auto",
) -> None:
    """Adapt a row's models to a hospital outside; runs after selection.

    Args:
        runs: The folder of the row's runs, `results/NAME/runs/FEDERATION/METHOD`.
        inputs: What the row is computed from.
        serving: The hospital and the adaptations, a ServingJob.
        selected: The row's selection.
        output: The folder that receives `{adaptation}/seed={seed}/adapted.safetensors`.
        device: Where to compute.
    """
    torch.set_num_threads(1)
    blamed = inputs.method
    try:
        outside = Outside.of(runs, inputs, serving, selected, device)
        pictures = outside.adapted_to
        for seed in inputs.settings.seeds:
            bank, experts = outside.bank(seed), outside.hashed(seed)
            for file in serving.adaptations:
                blamed, path = Path(file), file_of(output, file, seed, ADAPTED)
                key = outside.key(file, seed, experts)
                with suppress(ValueError, OSError):
                    if Learned.read(path).about["key"] == key:
                        continue
                learn(outside, file, seed, key, bank, pictures).write(path)
    except Exception as error:
        raise JobError(fault.report(error, blamed)) from error


if __name__ == "__main__":
    raise SystemExit(run(main))
