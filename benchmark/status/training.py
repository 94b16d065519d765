"""One training job as its files show it: done, running, waiting, failed, interrupted or outdated."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from benchmark.federation.progress import LOCK, PROGRESS
from benchmark.federation.shard import FOLDER
from benchmark.files import read_json
from benchmark.lock import is_held
from benchmark.plan import Plan
from benchmark.sources import engine, fingerprint_of

STATES = ("running", "failed", "interrupted", "outdated", "waiting", "done")
"""In the order in which they matter to who asks."""


@dataclass(frozen=True)
class Training:
    """A `train` job: so many lanes, of so many rounds each.

    Attributes:
        runs: The `run.json` of every lane that is there.
        current: Whether these runs are of the present settings and sources.
        progress: What the job last said of itself; empty where it never ran.
        held: Whether it is running now.
        log: The last line of its log.
    """

    federation: str
    method: str
    lanes: int
    rounds: int
    runs: tuple[Mapping[str, Any], ...]
    current: bool
    progress: Mapping[str, Any]
    held: bool
    log: str

    @property
    def state(self) -> str:
        """One of `STATES`."""
        if self.held:
            return "running"
        if self.progress.get("failure"):  # Earlier results may be there all the same.
            return "failed"
        if len(self.runs) == self.lanes:
            return "done" if self.current else "outdated"
        return "interrupted" if self.progress else "waiting"

    @property
    def detail(self) -> str:
        """What there is to say of it, in a few words."""
        group = self.progress.get("group")
        if self.state == "failed":
            return str(self.progress["failure"])
        if self.state == "outdated":
            return "settings or sources have changed since"
        if self.state == "waiting":
            return self.log if self.log.startswith("waiting for") else ""
        if self.state == "done" or not group:
            return ""
        within = f"round {group['round']:.0f} of {self.rounds} in {group['together']} lanes"
        return f"{within}, {self.lanes_done} of {self.lanes} lanes done"

    @property
    def lanes_done(self) -> int:
        """Lanes whose results are written."""
        if self.state in ("running", "interrupted", "failed"):
            return int(self.progress.get("finished", 0))
        return len(self.runs) if self.state == "done" else 0

    @property
    def rounds_done(self) -> int:
        """Finished rounds, each lane's counted."""
        group = self.progress.get("group") if self.state in ("running", "interrupted", "failed") else None
        return self.lanes_done * self.rounds + (group["round"] * group["together"] if group else 0)

    @property
    def rounds_left(self) -> int:
        """Rounds to train yet, each lane's counted."""
        return self.lanes * self.rounds - self.rounds_done

    @cached_property
    def seconds(self) -> float | None:
        """Seconds per round of one lane, as measured; None where nothing was."""
        if group := self.progress.get("group"):
            return float(group["seconds_per_round"]) / int(group["together"])
        measured = [run["costs"]["seconds"] / run["rounds"] for run in self.runs]
        return sum(measured) / len(measured) if measured else None


def trainings(plan: Plan) -> list[Training]:
    """Every training of a plan, as its files show it now; rows from the reference are none."""
    return [_training(plan, *row) for row in plan.baselines.trained]


def _training(plan: Plan, federation: str, method: str) -> Training:
    folder = Path(plan.places.runs(federation, method))
    shards = [path.parent for path in folder.glob(f"{FOLDER}/*/{PROGRESS}")]
    said = [_read(path / PROGRESS, "finished", "failure", "group") for path in (shards or [folder])]
    files = [Path(p.format(federation=federation, method=method)) for p in plan.of_runs("run.json")]
    runs = tuple(run for path in files if (run := _read(path, "settings", "hashes", "costs", "rounds")))
    settings = json.loads(plan.training(federation, method))
    expected = {name: value for name, value in settings.items() if name not in ("rates", "seeds")}
    sources = {
        "method": fingerprint_of(plan.method_file(method)),
        "engine": engine(settings["network"], plan.task(federation)),
    }
    return Training(
        federation=federation,
        method=method,
        lanes=len(files),
        rounds=plan.config.rounds,
        runs=runs,
        current=all(
            run["settings"] == expected
            and sources.items() <= run["hashes"].items()
            and run.get("origin") != "reference"  # It is to be trained now.
            for run in runs
        ),
        progress=together([own for own in said if own], plan.config.rounds),
        held=any(is_held(path / LOCK) for path in (folder, *shards)),
        log=_last_line(Path(f"logs/{plan.config.name}/train/{federation}/{method}.log")),
    )


def together(shards: Sequence[Mapping[str, Any]], rounds: int) -> Mapping[str, Any]:
    """What the shards of a training say of themselves, as one job would; empty where none says anything."""
    if len(shards) < 2:
        return shards[0] if shards else {}
    groups = [shard["group"] for shard in shards if shard["group"]]
    lanes = sum(group["together"] for group in groups)
    speed = sum(group["together"] / group["seconds_per_round"] for group in groups)
    done = sum(group["round"] * group["together"] for group in groups)
    return {
        "finished": sum(shard["finished"] for shard in shards),
        "failure": next((shard["failure"] for shard in shards if shard["failure"]), None),
        "group": {"round": done / lanes, "together": lanes, "seconds_per_round": lanes / speed} if speed else {},
    }


def _read(path: Path, *keys: str) -> Mapping[str, Any]:
    """A JSON file with these keys; empty where it is absent or damaged."""
    try:
        value = read_json(path)
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) and set(keys) <= set(value) else {}


def _last_line(path: Path) -> str:
    try:
        return (path.read_text(encoding="utf-8", errors="replace").splitlines() or [""])[-1]
    except OSError:
        return ""
