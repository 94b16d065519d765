"""What planning costs at a leaderboard's size: seconds and memory of `snakemake -n all`, and of a cluster's job.

    python benchmarks/plan_size.py [--methods 40] [--federations 12] [--rates 5] [--seeds 3] [--profile]

Works in a copy of the project, in a temporary folder, in which the shipped method files stand under further names. Each
size has half the methods of the one before, and so half the rows. What is measured:

    parse     the Snakefile is read and the plan made, no job looked for: `snakemake --list-rules`
    plan      the plan's names and paths alone, in Python
    dry run   `snakemake -n all` where nothing is there yet
    one job   `snakemake` for one `train` job alone, as a cluster's node is given it, up to the job's own command

Seconds are the processor's, so that others may use the machine too. Memory is the most of any one process. `--profile`
prints where the largest dry run spends its time instead.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import yaml  # noqa: E402

from benchmark import provenance  # noqa: E402
from benchmark.methods import discovered  # noqa: E402

GENERATED = {"data", "results", "figures", "logs"}
"""What a copy of the project goes without, beside hidden files."""
COLUMNS = (
    *("methods", "rows", "jobs", "parse, s", "plan, s", "dry run, s", "peak, MiB"),
    *("one job, s", "its peak, MiB"),
)
MODULE = [sys.executable, "-m", "snakemake"]


@dataclass(frozen=True)
class Size:
    """How much is compared.

    Attributes:
        methods: Number of methods.
        federations: Number of federations.
        rates: Number of learning rates.
        seeds: Number of seeds.
    """

    methods: int
    federations: int
    rates: int
    seeds: int


@dataclass(frozen=True)
class Measured:
    """A process that has ended.

    Attributes:
        seconds: The processor's seconds, its own and the system's.
        peak: The most memory of one process, bytes.
        printed: What it printed.
    """

    seconds: float
    peak: int
    printed: str


def main() -> None:
    """Measure three sizes, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, number in (("methods", 40), ("federations", 12), ("rates", 5), ("seeds", 3)):
        parser.add_argument(f"--{name}", type=int, default=number)
    parser.add_argument("--profile", action="store_true", help="where the largest dry run spends its time")
    given = parser.parse_args()
    sizes = [Size(given.methods // part, given.federations, given.rates, given.seeds) for part in (4, 2, 1)]
    with tempfile.TemporaryDirectory() as folder:
        if given.profile:
            print(profile(copy(Path(folder) / "project", sizes[-1])))
            return
        print(f"{provenance.processor()}, {os.cpu_count()} cores, commit `{provenance.commit()}`")
        print(f"Snakemake with an empty Snakefile: {alone(Path(folder)):.1f} s\n", flush=True)
        print(f"| {' | '.join(COLUMNS)} |\n|{'--:|' * len(COLUMNS)}")
        for size in sizes:
            print(row(copy(Path(folder) / str(size.methods), size), size), flush=True)


def alone(folder: Path) -> float:
    """Seconds that Snakemake itself takes to start."""
    (folder / "Snakefile").touch()
    return measured([*MODULE, "--list-rules"], folder).seconds


def copy(folder: Path, size: Size) -> Path:
    """The project with as many methods, in a new folder, and a configuration of this size."""
    folder.mkdir()
    for source in ROOT.iterdir():
        if source.name in GENERATED or source.name.startswith("."):
            continue
        if source.is_dir():
            shutil.copytree(source, folder / source.name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder)
    published = Path("results/reference/published.csv")
    (folder / published).parent.mkdir(parents=True)
    shutil.copy(ROOT / published, folder / published)
    (folder / "methods/more").mkdir()
    names = []
    # SAM's rows train parts of a network that the one here has not.
    shipped = sorted((name, file) for name, file in discovered().files.items() if Path(file).parent.name != "sam")
    for number in range(size.methods):
        name, file = shipped[number % len(shipped)]
        if again := number // len(shipped):
            name = f"{name}_{again}"
            shutil.copy(ROOT / file, folder / f"methods/more/{name}.py")
        names.append(name)
    (folder / "config/size.yaml").write_text(yaml.safe_dump(configuration(size, names)), encoding="utf-8")
    return folder


def configuration(size: Size, methods: Sequence[str]) -> dict[str, Any]:
    """Federations of data of their own, so that each is downloaded and packed by jobs of its own."""
    federations = {
        f"hospitals_{number}": {"dataset": "toy_lesions", "options": {"scale": 0.5 + number / 100}}
        for number in range(size.federations)
    }
    return {
        "name": "size",
        "federations": federations,
        "methods": list(methods),
        "own": [],
        "rates": [f"{number + 1}e-3" for number in range(size.rates)],
        "seeds": list(range(size.seeds)),
        "rounds": 50,
        "backbone": {"name": "vit_tiny_patch16_224", "weights": "drawn"},
    }


def row(folder: Path, size: Size) -> str:
    """One size's line of the table."""
    parse = measured([*MODULE, "--configfile", "config/size.yaml", "--list-rules"], folder)
    plan = measured([sys.executable, "-c", PLAN], folder)
    dry = measured(dry_run(), folder)
    (jobs,) = re.findall(r"^total +(\d+)$", dry.printed, re.MULTILINE)[:1]
    job = measured(one_job(), folder)
    figures = [
        *(size.methods, size.methods * size.federations, jobs),
        *(f"{parse.seconds:.1f}", plan.printed.strip(), f"{dry.seconds:.1f}"),
        *(dry.peak >> 20, f"{job.seconds:.1f}", job.peak >> 20),
    ]
    return f"| {' | '.join(map(str, figures))} |"


def dry_run() -> list[str]:
    """The command that plans everything."""
    return [*MODULE, "all", "-n", "--configfile", "config/size.yaml"]


def one_job() -> list[str]:
    """The command that plans one training, as the executor of a cluster names it on a node."""
    name = min(discovered().files)  # It is part of every size.
    return [
        *MODULE,
        *("-n", "--configfile", "config/size.yaml"),
        *("--target-jobs", f"train:federation=hospitals_0,method={name}"),
    ]


PLAN = """
import time
tick = time.process_time()
from pathlib import Path
from benchmark.config import read
from benchmark.plan import Plan
plan = Plan.of(read(Path("config/size.yaml")))
assert plan.targets
print(f"{time.process_time() - tick:.1f}")
"""


def measured(command: Sequence[str], folder: Path) -> Measured:
    """Run a command in a folder, with its seconds and its memory."""
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, cwd=folder, stdout=output, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        printed = output.read().decode()
    if process.returncode:
        raise SystemExit(f"{' '.join(command)}\n{printed[-2000:]}")
    return Measured(usage.ru_utime + usage.ru_stime, usage.ru_maxrss << 10, printed)


def profile(folder: Path) -> str:
    """The functions in which the dry run spends its time."""
    command = dry_run()
    done = subprocess.run(
        [command[0], "-m", "cProfile", "-s", "cumulative", *command[1:]],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout[done.stdout.index("function calls") :][:12000]


if __name__ == "__main__":
    main()
