"""What a sweep costs by its images, its rounds and its lanes: seconds, a table and a figure.

    python benchmarks/studies/linearity.py --output FOLDER

Twice the images or rounds should cost twice the seconds; twice the lanes less, since they share images and, on a device
that one lane does not fill, its idle units. Sizes take turns, so that a machine whose speed drifts is the same for all.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import matplotlib.pyplot as plt  # noqa: E402
import pandas as pd  # noqa: E402
import torch  # noqa: E402

from benchmark import provenance  # noqa: E402
from benchmark.federation.client import Lane  # noqa: E402
from benchmark.federation.engine import Engine  # noqa: E402
from benchmarks import noise  # noqa: E402

CONFIG = noise.config(
    lora={"rank": 4, "alpha": 4}, training={"batch_size": 16, "optimiser": {"momentum": 0.9}}, rounds=8
)


@dataclass(frozen=True)
class Size:
    """One training.

    Attributes:
        images: Training images of the one client.
        rounds: Rounds.
        lanes: Rates.
    """

    images: int
    rounds: int = 1
    lanes: int = 1

    def seconds(self, engine: Engine) -> float:
        """Train it."""
        lanes = [Lane(f"{number + 1}e-3", 0) for number in range(self.lanes)]
        ours = replace(engine, clients=[noise.first(engine.clients[0], self.images)])
        # On a CPU, processor time: the machine's other users hardly change it.
        clock = time.perf_counter if engine.device.type == "cuda" else time.process_time
        state, tick = ours.start(lanes), clock()
        for _ in range(self.rounds):
            state, _ = ours.round(state, lanes)
        if engine.device.type == "cuda":
            torch.cuda.synchronize()
        return clock() - tick


def main() -> None:
    """Measure, print and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--unit", type=int, help="images of the smallest training, a multiple of the batch size of 16")
    parser.add_argument("--image-size", type=int, help="pixels")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    cpu = arguments.device == "cpu"
    unit, side = arguments.unit or (64 if cpu else 512), arguments.image_size or (64 if cpu else 224)
    lines = {
        "images": [Size(unit * k) for k in (1, 2, 4, 8)],
        "rounds": [Size(unit, rounds=k) for k in (1, 2, 4, 8)],
        "lanes": [Size(unit, lanes=k) for k in (1, 2, 4, 8)],
    }
    engine = noise.engine(CONFIG, "fedit", 8 * unit, side, arguments.device)
    Size(unit, lanes=2).seconds(engine)  # Warm-up.
    found: dict[tuple[str, Size], list[float]] = {}
    for _ in range(arguments.repeats):
        for line, sizes in lines.items():
            for size in sizes:
                found.setdefault((line, size), []).append(size.seconds(engine))
    rows = [
        {"varied": line, "value": getattr(size, line), "seconds": median(seconds)}
        for (line, size), seconds in found.items()
    ]
    table = pd.DataFrame(rows)
    table["relative"] = table["seconds"] / table.groupby("varied")["seconds"].transform("first")
    print(f"{provenance.hardware(engine.device)}; {side} px; commit {provenance.commit()[:12]}")
    print(table.to_string(index=False, float_format="{:.2f}".format))
    arguments.output.mkdir(parents=True, exist_ok=True)
    table.to_csv(arguments.output / "linearity.csv", index=False)
    _draw(table, list(lines), arguments.output / "linearity.svg")


def _draw(table: pd.DataFrame, lines: Sequence[str], path: Path) -> None:
    """One line for each of images, rounds and lanes, beside proportional cost."""
    figure, axes = plt.subplots(figsize=(5, 3.6), layout="constrained")
    axes.plot([1, 8], [1, 8], color="0.8", label="proportional")
    for line in lines:
        own = table[table["varied"] == line]
        axes.plot(own["value"] / own["value"].iloc[0], own["relative"], marker="o", label=line)
    axes.set(xlabel="times as many", ylabel="times as long", xscale="log", yscale="log")
    ticks = [1, 2, 4, 8]
    axes.set_xticks(ticks, [str(tick) for tick in ticks], minor=False)
    axes.set_yticks(ticks, [str(tick) for tick in ticks], minor=False)
    axes.minorticks_off()
    axes.legend(frameon=False)
    figure.savefig(path)


if __name__ == "__main__":
    main()
