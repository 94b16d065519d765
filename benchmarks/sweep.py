"""One sweep, measured side by side: by plain PEFT, by Flower, by the engine one lane at a time, by the engine fused.

    python benchmarks/sweep.py --device cpu --quick
    python benchmarks/sweep.py --device cpu --quick --task segmentation
    python benchmarks/sweep.py --device cpu --quick --network sam --weights mobilesam_timm_hf.safetensors

Every side trains the same runs from the same files to the same result, which is compared; sides take turns, so that a
machine whose speed drifts is the same for all. Prints what it ran on, a table, and the ratios of the fused engine.
"""

import argparse
import importlib.util
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402

from benchmark import provenance  # noqa: E402
from benchmark.files import read_json  # noqa: E402
from benchmarks.workload import FEDERATIONS, Workload  # noqa: E402

AGREEMENT = {"float32": 1e-3, "bfloat16": 5e-2}
"""Largest difference allowed between two sides' final validation losses, of any client at any rate, in nats.

Both sides see the same images in the same order and differ in rounding alone, which momentum and larger rates amplify.
A side that skipped a single step would be off by more than ten times as much."""
FINER = {"vit": 1.0, "sam": 0.01}
"""By network, what that is multiplied with: a step of SAM's head changes less, and so does rounding."""
METHODS = {"vit": ("fedit",), "sam": ("flap_sam", "sam_head")}
"""The rows that are measured, one sweep each."""

TITLES = {
    "peft": "(a) PEFT, DataLoader, SGD: one process per run",
    "flower": "(b) Flower simulation: one process per run",
    "lane": "(c) engine, one lane at a time",
    "fused": "(d) engine, lanes fused",
    "graphs": "(d') engine, lanes fused, steps recorded as CUDA graphs",
    "limit": "(e) frozen backbone alone, forward and backward",
}


@dataclass(frozen=True)
class Measured:
    """One side's sweep.

    Attributes:
        seconds: Of all its processes, from start to end.
        computing: Seconds of processor time, all cores together: what a machine's other users hardly change.
        training: Of these, inside local training and averaging.
        evaluation: Of these, inside validation.
        memory: Peak of the largest process, in bytes.
        losses: Final validation losses, by run and client.
    """

    seconds: float
    computing: float
    training: float
    evaluation: float
    memory: int
    losses: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class Bench:
    """What is measured, and how it is run.

    Attributes:
        workload: The sweep.
        device: `cpu` or `cuda`.
        threads: Cores that a side may use.
        peft_threads: Threads of plain PEFT's matrix products.
        workers: Worker processes of its DataLoader.
        few: How many runs of the sweep plain PEFT and Flower train; their seconds are scaled to all of them.
    """

    workload: Workload
    device: str
    threads: int
    peft_threads: int
    workers: int
    few: Mapping[str, int]

    def side(self, name: str) -> Measured:
        """Train the whole sweep by one side."""
        if name in self.few:
            runs = [(rate, seed) for seed in self.workload.seeds for rate in self.workload.rates]
            few = runs[: self.few[name]]
            script, options = "flower", {"threads": self.threads}
            if name == "peft":
                script, options = "plain", {"threads": self.peft_threads, "workers": self.workers}
            found = [self._run(script, rate=rate, seed=seed, **options) for rate, seed in few]
            return _together(found, len(runs) / len(few))
        with tempfile.TemporaryDirectory(dir=self.workload.root) as folder:
            options = {"lanes": 1 if name == "lane" else "auto", "cuda-graphs": "on" if name == "graphs" else "off"}
            return self._run("engine", threads=self.threads, runs=folder, **options)

    def limit(self) -> dict[str, Any]:
        """The largest throughput of the frozen backbone."""
        found, _, _ = self._process("limit", threads=self.threads)
        return found

    def _run(self, script: str, **options: Any) -> Measured:
        found, *seconds = self._process(script, **options)
        return Measured(*seconds, found["training"], found["evaluation"], found["memory"], found["losses"])

    def _process(self, script: str, **options: Any) -> tuple[dict[str, Any], float, float]:
        """Run one script as a process; what it wrote, its seconds from start to end, and those of processor time."""
        output = self.workload.root / "found.json"
        output.unlink(missing_ok=True)
        options |= {"workload": self.workload.root / "workload.json", "device": self.device, "output": output}
        command = [sys.executable, "-m", f"benchmarks.{script}"]
        command += [text for key, value in options.items() for text in (f"--{key}", str(value))]
        tick, computed = time.perf_counter(), _computed()
        done = subprocess.run(command, cwd=ROOT, env=_environment(), capture_output=True, text=True, check=False)
        seconds = time.perf_counter() - tick
        if done.returncode or not output.is_file():
            raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
        return read_json(output), seconds, _computed() - computed


def main() -> None:
    """Measure and print."""
    arguments = _arguments()
    began = time.perf_counter()
    sides = ["peft", "lane", "fused", *(["graphs"] if arguments.device == "cuda" else [])]
    if not arguments.quick:
        if importlib.util.find_spec("flwr"):
            sides.insert(1, "flower")
        else:
            print('(b) is left out: no Flower here; to measure it, pip install "flwr[simulation]"', flush=True)
    with tempfile.TemporaryDirectory(prefix="sweep-") as folder:
        workload = Workload(
            folder=folder,
            rates=tuple(arguments.rates),
            seeds=tuple(range(arguments.seeds)),
            rounds=arguments.rounds,
            image_size=arguments.image_size,
            scale=arguments.scale,
            batch_size=arguments.batch_size,
            precision=arguments.precision,
            task=arguments.task,
            network=arguments.network,
            method=arguments.methods[0],
            weights=arguments.weights,
            still=arguments.still,
        )
        workload.prepare()
        _warm_up(sides, arguments.network)
        agree = [_measure(replace(workload, method=method), sides, arguments, began) for method in arguments.methods]
    if arguments.projection:
        _project(arguments.device, arguments.projection_images)
    raise SystemExit(0 if all(agree) else 1)


def _measure(workload: Workload, sides: Sequence[str], arguments: argparse.Namespace, began: float) -> bool:
    """Measure one row and print what is found; whether all sides agree."""
    workload.write()
    workers = 0 if arguments.device == "cpu" else 4
    runs = len(workload.rates) * len(workload.seeds)
    few = {"peft": min(arguments.peft_runs or runs, runs), "flower": min(arguments.flower_runs or runs, runs)}
    peft_threads = arguments.peft_threads or _best_threads(workload, arguments.threads)
    bench = Bench(workload, arguments.device, arguments.threads, peft_threads, workers, few)
    _introduce(bench)
    found: dict[str, list[Measured]] = {name: [] for name in sides}
    for repeat in range(arguments.repeats):
        turn = time.perf_counter()
        for name in sides:
            found[name].append(bench.side(name))
            print(f"repeat {repeat + 1}: {TITLES[name]}: {found[name][-1].seconds:.1f} s", flush=True)
        # A repeat that would not end in time is not begun.
        if 2 * time.perf_counter() - turn - began > 60 * arguments.minutes:
            break
    limit = None if arguments.quick or workload.network != "vit" else bench.limit()
    _table(bench, found, limit)
    agree = _compare(found, FINER[workload.network] * AGREEMENT[workload.precision])
    _ratios(bench, found, limit)
    return agree


def _project(device: str, images: int) -> None:
    """What config/paper.yaml would cost on this device, as a process of its own."""
    command = [sys.executable, "-m", "benchmarks.projection", "--device", device, "--images", str(images)]
    print(flush=True)
    if subprocess.run(command, cwd=ROOT, env=_environment(), check=False).returncode:
        print("projected: failed; the table above holds", flush=True)


def _computed() -> float:
    """Seconds of processor time that the processes started here have used, as far as they have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _environment() -> dict[str, str]:
    """This process's environment, in which Python may keep what it compiled, as it does by default."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def _warm_up(sides: Sequence[str], network: str) -> None:
    """Import what the sides import, so that no side pays for the first reading and compiling of the packages."""
    scripts = {"peft": "plain", "flower": "flower", "fused": "engine"}
    own = [scripts[name] for name in sides if name in scripts] + (["user_sam"] if network == "sam" else [])
    imports = [f"import benchmarks.{name}" for name in own]
    subprocess.run([sys.executable, "-c", "; ".join(imports)], cwd=ROOT, env=_environment(), check=True)


def _arguments() -> argparse.Namespace:
    """The command line, completed by what suits the device."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--task", choices=list(FEDERATIONS), default="classification")
    parser.add_argument("--network", choices=list(METHODS), default="vit", help="sam: of masks alone")
    parser.add_argument("--methods", nargs="+", choices=METHODS["sam"], help="of sam: the rows; otherwise it is fedit")
    parser.add_argument("--weights", default="", help="a file of MobileSAM's; otherwise a small SAM is drawn")
    parser.add_argument("--still", action="store_true", help="images are not changed: SAM's grid is made once")
    parser.add_argument("--quick", action="store_true", help="(a), (c) and (d) alone, once, with a third of the rounds")
    parser.add_argument("--repeats", type=int, help="turns of all sides")
    parser.add_argument("--minutes", type=float, default=9.0, help="no turn begins that would not end by then")
    parser.add_argument("--rates", nargs="+")
    parser.add_argument("--seeds", type=int, help="number of seeds")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--image-size", type=int, help="pixels")
    parser.add_argument("--scale", type=float, help="share of Fed-ISIC2019's images, or of the drawn volumes' patients")
    parser.add_argument("--batch-size", type=int)
    parser.add_argument("--precision", choices=list(AGREEMENT), default="float32")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="cores that a side may use")
    parser.add_argument("--peft-threads", type=int, help="threads of plain PEFT; otherwise the fastest are found")
    parser.add_argument("--projection", action=argparse.BooleanOptionalAction, help="what config/paper.yaml would cost")
    parser.add_argument("--projection-images", type=int, default=256, help="images that its speeds are measured with")
    parser.add_argument("--peft-runs", type=int, help="runs that PEFT trains, its seconds scaled to the sweep")
    parser.add_argument("--flower-runs", type=int, help="likewise Flower")
    arguments = parser.parse_args()
    cpu, is_sam = arguments.device == "cpu", arguments.network == "sam"
    if is_sam:
        arguments.task = "segmentation"
    elif arguments.methods:
        parser.error("--methods: of --network sam alone")
    usual = {
        "methods": METHODS[arguments.network],
        "rates": ["1e-2", "2e-2", "5e-2", "1e-1", "2e-1"] if is_sam else ["5e-4", "1e-3", "2e-3", "5e-3", "1e-2"],
        "repeats": 1 if arguments.quick or not cpu else 3,
        "seeds": 1 if cpu else 3,
        "scale": 0.05 if arguments.task == "classification" else 0.1 if is_sam and cpu else 1.0,
        "rounds": 2 if arguments.quick else 6 if cpu else 3,
        "image_size": 224 if not cpu else 128 if is_sam else 64,
        "batch_size": 32 if not cpu else 8 if is_sam else 16,
        "peft_runs": None if cpu else 6,
        "flower_runs": None if cpu else 2,
        "peft_threads": None if cpu else 4,
        "projection": not cpu and not is_sam,
    }
    for name, value in usual.items():
        if getattr(arguments, name) is None:
            setattr(arguments, name, value)
    return arguments


def _best_threads(workload: Workload, most: int) -> int:
    """Threads at which a step of the plain model is fastest on this machine now: shared cores make many slower."""
    from benchmarks.user import step_seconds  # Here, since it imports timm, which a help text does not need.

    return min(range(1, most + 1), key=lambda threads: step_seconds(workload, threads))


def _introduce(bench: Bench) -> None:
    """What is measured, on what."""
    load, (training, validation) = bench.workload, bench.workload.sizes()
    torch.set_num_threads(bench.threads)
    packages = " ".join(f"{name} {version}" for name, version in provenance.versions().items())
    few = ", ".join(f"{name} {count}" for name, count in bench.few.items())
    adapted = f"LoRA of rank {load.lora.rank} on {', '.join(load.lora.targets)}"
    if load.method == "sam_head":
        adapted = "no adapter"
    print(
        f"{provenance.hardware(torch.device(bench.device))}; {platform.platform()}\n"
        f"{packages}; commit {provenance.commit()[:12]}\n"
        f"{load.task}: {load.method}, {load.images['client'].nunique()} clients, {training} training and {validation} "
        f"validation images at {load.image_size} px, {load.backbone}, {adapted}, batches of "
        f"{load.batch_size}, {load.precision}{', images unchanged' if load.still else ''}\n"
        f"{len(load.rates)} rates x {len(load.seeds)} seeds x {load.rounds} rounds = {_images(load)} lane-images; "
        f"{bench.threads} cores; PEFT's threads: {bench.peft_threads}, its workers: {bench.workers}\n"
        f"of {len(load.rates) * len(load.seeds)} runs are trained, and their seconds scaled to all: {few}\n",
        flush=True,
    )


def _images(workload: Workload) -> int:
    """Training images of the whole sweep, each counted in every lane and round."""
    return workload.sizes()[0] * workload.rounds * len(workload.rates) * len(workload.seeds)


def _together(runs: Sequence[Measured], times: float = 1.0) -> Measured:
    """A sweep of several processes one after another."""
    return Measured(
        times * sum(run.seconds for run in runs),
        times * sum(run.computing for run in runs),
        times * sum(run.training for run in runs),
        times * sum(run.evaluation for run in runs),
        max(run.memory for run in runs),
        {key: value for run in runs for key, value in run.losses.items()},
    )


def _table(bench: Bench, found: Mapping[str, Sequence[Measured]], limit: Mapping[str, Any] | None) -> None:
    """Medians over the repeats; of end to end also the spread."""
    images = _images(bench.workload)
    columns = [
        "end to end, s",
        "(min to max)",
        "processor, s",
        "start-up, s",
        "evaluation, s",
        "lane-images/s in rounds",
    ]
    print(f"\n| | {' | '.join([*columns, 'peak memory'])} |\n|:--|{'--:|' * (len(columns) + 1)}")
    for name, runs in found.items():
        seconds = [run.seconds for run in runs]
        training, evaluation = (median(getattr(run, part) for run in runs) for part in ("training", "evaluation"))
        rest = median(run.seconds - run.training - run.evaluation for run in runs)
        computing = median(run.computing for run in runs)
        whole = name == "flower"  # Its rounds contain its evaluation, and its processes are not this one's children.
        print(
            f"| {TITLES[name]} | {median(seconds):.1f} | ({min(seconds):.1f} to {max(seconds):.1f}) | "
            f"{'unknown' if whole else f'{computing:.1f}'} | {rest:.1f} | "
            f"{'in rounds' if whole else f'{evaluation:.1f}'} | {images / training:.0f} | "
            f"{max(run.memory for run in runs) / 2**30:.2f} GiB |"
        )
    if limit:
        print(
            f"| {TITLES['limit']} (batches of {limit['batch']}) | | | | | | {limit['throughput']:.0f} | "
            f"{limit['memory'] / 2**30:.2f} GiB |"
        )
    print()


def _compare(found: Mapping[str, Sequence[Measured]], allowed: float) -> bool:
    """Whether all sides end with the same models, as far as their validation losses tell, in nats."""
    reference, agree = found["peft"][0].losses, True
    for name, runs in found.items():
        if name == "peft":
            continue
        both = {run: own for run, own in runs[0].losses.items() if run in reference}
        pairs = [(loss, reference[run][client]) for run, own in both.items() for client, loss in own.items()]
        ours, theirs = torch.tensor(pairs, dtype=torch.float64).unbind(1)
        apart = float((ours - theirs).abs().max())  # Torch's maximum is NaN where any is.
        agree &= apart < allowed
        verdict = "agrees with" if apart < allowed else "DISAGREES with"
        print(
            f"{TITLES[name]} {verdict} (a): final validation losses of {len(pairs)} clients and runs differ by "
            f"{apart:.1e} nats at most; allowed: {allowed:.0e}"
        )
    return agree


def _ratios(bench: Bench, found: Mapping[str, Sequence[Measured]], limit: Mapping[str, Any] | None) -> None:
    """How the fused sweep compares, turn by turn; the median of the turns."""

    def ratio(other: str, what: str = "seconds") -> float:
        turns = zip(found[other], found["fused"], strict=True)
        return median(getattr(theirs, what) / getattr(ours, what) for theirs, ours in turns)

    if limit:
        throughput = _images(bench.workload) / median(run.training for run in found["fused"])
        print(f"fused/limit in rounds: {throughput / limit['throughput']:.2f}")
    if "graphs" in found:
        print(f"recorded/fused end to end: {1 / ratio('graphs'):.2f}x")
    print(f"fused/lane processor time: {ratio('lane', 'computing'):.2f}x")
    print(f"fused/peft processor time: {ratio('peft', 'computing'):.2f}x")
    print(f"fused/lane end to end: {ratio('lane'):.2f}x")
    if "flower" in found:
        print(f"fused/flower end to end: {ratio('flower'):.2f}x")
    print(f"fused/peft end to end: {ratio('peft'):.2f}x")


if __name__ == "__main__":
    main()
