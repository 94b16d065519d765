"""Job: adapt a row's models to a hospital outside the federation, by its images alone.

This process opens nothing that says what is to be predicted: neither targets nor labels. For every adaptation and seed
it writes `OUTPUT/{adaptation}/seed={seed}/adapted.safetensors`, see `benchmark.evaluation.serving.Learned`; what is
there already and depends on nothing that has changed, it leaves as it is. `benchmark.evaluation.outside` tests it.
"""

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

import torch
from tyro.conf import OmitArgPrefixes

from benchmark.adaptation import Adaptation
from benchmark.config import ServingJob
from benchmark.evaluation.serving import Learned, Outside, Pictures, file_of
from benchmark.federation import fault
from benchmark.federation.adapting import Bank, DivergedError, Mixture, mixed, side_by_side
from benchmark.federation.job import Inputs
from benchmark.federation.lane_batches import out_of_memory
from benchmark.job import GivenPath, JobError, as_json, run
from benchmark.leaf import Leaves

ADAPTED = "adapted.safetensors"


def groups(seeds: Sequence[int], device: torch.device) -> list[Sequence[int]]:
    """The seeds that adapt side by side: all on a GPU, which a few images do not fill; on a CPU each by itself.

    What a CPU gains or loses, benchmarks/README.md tells ("Routing").
    """
    return [seeds] if device.type == "cuda" else [[seed] for seed in seeds]


def learn(
    outside: Outside, file: str, banks: Mapping[int, Bank], keys: Mapping[int, str], pictures: Pictures
) -> dict[int, Learned]:
    """What an adaptation learns from a hospital's images with each of some seeds, side by side.

    A mixture that diverges is noted and learns nothing: it is a row of the tables, not the end of all others.

    Args:
        outside: The hospital, and the row's network.
        file: The adaptation's.
        banks: The experts of each seed.
        keys: By seed, the hash of all that the result depends on.
        pictures: What is learned from.

    Returns:
        By seed, what was learned; of the seconds, each has an equal share.
    """
    adaptation, began = outside.adaptation(file), time.monotonic()
    leaves: dict[int, dict[str, Leaves]] = {seed: {} for seed in banks}
    diverged: dict[int, list[str]] = {seed: [] for seed in banks}
    begins = {seed: mixed(adaptation, outside.model, bank) for seed, bank in banks.items()}
    for name in next(iter(begins.values())):
        own = {seed: mixtures[name] for seed, mixtures in begins.items()}
        for seed, there in _fitting(adaptation, own, pictures).items():
            if isinstance(there, DivergedError):
                diverged[seed].append(name)
            else:
                leaves[seed][name] = {leaf: of for leaf, of in there.params.items() if leaf not in own[seed].params}
    about = {"images": len(pictures.images), "seconds": round((time.monotonic() - began) / len(banks), 3)}
    return {seed: Learned(leaves[seed], {**about, "key": keys[seed], "diverged": diverged[seed]}) for seed in banks}


def _fitting(
    adaptation: Adaptation, mixtures: Mapping[int, Mixture], pictures: Pictures
) -> dict[int, Mixture | DivergedError]:
    """`side_by_side` of as many seeds as fit into memory; where all do not, halves begin anew."""
    try:
        return side_by_side(adaptation, mixtures, pictures.images, pictures.cases)
    except (RuntimeError, MemoryError) as error:
        if len(mixtures) == 1 or not out_of_memory(error):
            raise
    # Out of the handler, whose traceback holds the tensors that did not fit.
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    seeds, found = list(mixtures), dict[int, Mixture | DivergedError]()
    half = len(seeds) // 2
    print(f"{adaptation.title}: {len(seeds)} seeds do not fit into memory; going on with {half}", file=sys.stderr)
    for some in (seeds[:half], seeds[half:]):
        found |= _fitting(adaptation, {seed: mixtures[seed] for seed in some}, pictures)
    return found


def _is_kept(path: Path, key: str) -> bool:
    """Whether what was learned there depends on just this."""
    try:
        return Learned.read(path).about["key"] == key
    except (ValueError, OSError):
        return False


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
        for seeds in groups(inputs.settings.seeds, outside.device):
            banks = {seed: outside.bank(seed) for seed in seeds}
            experts = {seed: outside.hashed(seed) for seed in seeds}
            for file in serving.adaptations:
                blamed = Path(file)
                keys = {seed: outside.key(file, seed, experts[seed]) for seed in seeds}
                paths = {seed: file_of(output, file, seed, ADAPTED) for seed in seeds}
                # One that is lost is made again together with those beside it, as it was: with the same bits.
                if not all(_is_kept(paths[seed], keys[seed]) for seed in seeds):
                    for seed, learned in learn(outside, file, banks, keys, pictures).items():
                        learned.write(paths[seed])
    except Exception as error:
        raise JobError(fault.report(error, blamed)) from error


if __name__ == "__main__":
    raise SystemExit(run(main))
