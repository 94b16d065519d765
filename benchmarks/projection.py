"""What a whole configuration costs on this device: seconds measured for every method at every image size, times images.

    python benchmarks/projection.py --device cuda [--configfile config/paper.yaml]

One client of synthetic images trains one later round, the closing passes and a validation with every method, all rates
together; an image's share of the seconds, times all images, rounds, rates and seeds of both federations at full size,
is the projection. Start-up, packing and testing are not in it: they take minutes.
"""

import argparse
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402

from benchmark import provenance  # noqa: E402
from benchmark.config import Config, read  # noqa: E402
from benchmark.federation.client import Lane  # noqa: E402
from benchmark.federation.engine import Engine  # noqa: E402
from benchmark.plan import Plan  # noqa: E402
from benchmarks.noise import engine, first  # noqa: E402

FULL = {"fed_isic2019": (18_597, 0.15), "camelyon17": (0.8 * 455_954, 0.15 / 0.8)}
"""Of each dataset: images that are not for testing, and the share of these that are for validation.

FLamby's split has 18,597 of 23,247; our assignment of Camelyon17's patients aims at 65, 15 and 20 % of 455,954."""


@dataclass(frozen=True)
class Cost:
    """Seconds that one image costs in one lane.

    Attributes:
        training: In a round.
        closing: In the passes after the last round.
        validation: In a validation.
    """

    training: float
    closing: float
    validation: float

    def seconds(self, training: float, validation: float, rounds: int, validations: int, lanes: int) -> float:
        """Of a sweep.

        Args:
            training: Training images of all clients.
            validation: Validation images likewise.
            rounds: Rounds.
            validations: Rounds that are followed by a validation.
            lanes: Rates times seeds.

        Returns:
            Seconds.
        """
        trained = training * (rounds * self.training + self.closing)
        return lanes * (trained + validation * validations * self.validation)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--configfile", type=Path, default=ROOT / "config" / "paper.yaml")
    parser.add_argument("--images", type=int, default=256, help="of the one client; a multiple of the batch size")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    plan = Plan.of(read(arguments.configfile), str(arguments.configfile))
    if unknown := set(plan.datasets) - set(FULL):
        parser.error(f"{arguments.configfile}: the full size of {', '.join(sorted(unknown))} is not known here")
    print(f"{provenance.hardware(torch.device(arguments.device))}; commit {provenance.commit()[:12]}\n")
    print("| method | " + " | ".join(f"{name}, lane-images/s | validated/s" for name in plan.federations) + " |")
    print(f"|:--|{'--:|--:|' * len(plan.federations)}")
    costs: dict[tuple[str, str], Cost] = {}
    for method in plan.methods:
        for name, federation in plan.config.federations.items():
            ours = engine(plan.config, method, arguments.images, federation.image_size, arguments.device)
            costs[name, method] = measured(ours, plan.config)
        speeds = [(1 / cost.training, 1 / cost.validation) for cost in (costs[n, method] for n in plan.federations)]
        print(f"| {method} | " + " | ".join(f"{a:.0f} | {b:.0f}" for a, b in speeds) + " |", flush=True)
    print(f"\nprojected: {said(plan, costs)}")


def said(plan: Plan, costs: Mapping[tuple[str, str], Cost]) -> str:
    """The projection of a configuration.

    Args:
        plan: Its plan.
        costs: By federation and method.

    Returns:
        One line.
    """
    config, lanes = plan.config, len(plan.config.rates) * len(plan.config.seeds)
    validations = -(-config.rounds // config.evaluate_every)
    hours = {}
    for name in plan.federations:
        images, share = FULL[plan.dataset(name)]
        sizes = (1 - share) * images, share * images
        own = (costs[name, method].seconds(*sizes, config.rounds, validations, lanes) for method in plan.methods)
        hours[name] = sum(own) / 3600
    parts = ", ".join(f"{name} {value:.1f}" for name, value in hours.items())
    what = f"{len(plan.methods)} methods, {len(config.rates)} rates, {len(config.seeds)} seeds, {config.rounds} rounds"
    total = f"{sum(hours.values()):.1f} hours of this device ({parts})"
    return f"config/{config.name}.yaml, {what}, validation included: {total}"


def measured(ours: Engine, config: Config) -> Cost:
    """Seconds of one image in one lane."""
    lanes = [Lane(rate, seed) for seed in config.seeds for rate in config.rates]
    few = replace(ours, clients=[first(ours.clients[0], config.training.batch_size)])
    # Later rounds than the first may have more passes.
    begun = replace(ours.start(lanes), round=1)
    few.round(begun, lanes)
    few.validate(begun)
    share = 1 / (len(ours.clients[0].training) * len(lanes))
    closing = _seconds(ours, lambda: ours.close(begun, lanes)) if ours.model.method.closing() else 0.0
    training = _seconds(ours, lambda: ours.round(begun, lanes))
    validation = _seconds(ours, lambda: ours.validate(begun))
    return Cost(share * training, share * closing, share * validation)


def _seconds(ours: Engine, work: Callable[[], object]) -> float:
    tick = time.perf_counter()
    work()
    if ours.device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - tick


if __name__ == "__main__":
    main()
