"""A sweep's lanes divided over processes: one for each GPU, or side by side on a CPU.

Every part is the training job itself with `--part i/N`. It trains its share of the lanes into the store and says in a
folder of its own how far it is. The job that started the parts then finds all lanes in the store and writes their
files. A part ends when the job that started it does, however that ended.
"""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch

from benchmark.federation.progress import PROGRESS, Progress
from benchmark.files import read_json, write_json

Lane = TypeVar("Lane")
_LANES = "lanes.json"
"""What a part says of its lanes, in its folder."""
_LOOK = 0.5
"""Seconds between two looks at the parts."""


class PartError(RuntimeError):
    """A part has failed; the message is its own."""


@dataclass(frozen=True)
class Part:
    """One of the parts of a job.

    Attributes:
        number: Which, from 1.
        count: Of how many.
    """

    number: int
    count: int

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    @classmethod
    def parse(cls, text: str) -> "Part":
        """A part as the command line writes it: `1/2`."""
        number, _, count = text.partition("/")
        part = cls(int(number), int(count))
        if not 1 <= part.number <= part.count:
            raise ValueError(f"--part {text}: give i/N with i from 1 to N")
        return part

    def share(self, lanes: Sequence[Lane]) -> Sequence[Lane]:
        """This part's lanes: neighbours, since lanes of one seed share their images; the first parts may have one more.

        Args:
            lanes: All lanes of the job, in their order.

        Returns:
            Some of them; together the parts have each once.
        """
        first, last = (len(lanes) * number // self.count for number in (self.number - 1, self.number))
        return lanes[first:last]

    def folder(self, output: Path) -> Path:
        """Where it says how far it is, below the job's output."""
        return output / ".parts" / f"{self.number}of{self.count}"


def tell(folder: Path, lanes: Mapping[str, Mapping[str, Any]]) -> None:
    """Say what became of a part's lanes.

    Args:
        folder: The part's.
        lanes: By key, what `run.json` shall say of a lane that only this process knows.
    """
    write_json(folder / _LANES, lanes)


def end_with_parent() -> None:
    """End this process at once when the one that started it ends: their pipe, the standard input, is closed then."""

    def wait() -> None:
        # Without Python's buffer, whose lock this thread would still hold when the interpreter ends.
        while os.read(0, 1):
            pass
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def train(command: Sequence[str], count: int, output: Path, progress: Progress) -> Mapping[str, Mapping[str, Any]]:
    """Train all parts of a job side by side, and wait for them.

    Where one fails the others finish: what they have trained is in the store.

    Args:
        command: Arguments of the training job.
        count: Parts.
        output: The job's output.
        progress: The job's, which is told how far the parts are.

    Returns:
        By key, what the parts told of their lanes.

    Raises:
        PartError: A part has failed.
    """
    parts = [Part(number, count) for number in range(1, count + 1)]
    for part in parts:
        for name in (_LANES, PROGRESS):
            (part.folder(output) / name).unlink(missing_ok=True)
    workers = [_start(command, part, device) for part, device in zip(parts, _devices(count), strict=True)]
    try:
        while any(worker.poll() is None for worker in workers):
            time.sleep(_LOOK)
            progress.follow([_read(part.folder(output) / PROGRESS) for part in parts])
    finally:
        for worker in workers:
            worker.communicate()  # Closes the pipe, which ends a part that is not done.
    for part, worker in zip(parts, workers, strict=True):
        if worker.returncode:
            raise PartError(_read(part.folder(output) / PROGRESS).get("failure") or _killed(part, worker.returncode))
    return {key: about for part in parts for key, about in _read(part.folder(output) / _LANES).items()}


def _start(command: Sequence[str], part: Part, device: str | None) -> "subprocess.Popen[bytes]":
    """A part as a process that sees one device; its messages are this process's."""
    environment = dict(os.environ) if device is None else {**os.environ, "CUDA_VISIBLE_DEVICES": device}
    own = [sys.executable, "-m", "benchmark.federation.train", *command, "--part", str(part)]
    return subprocess.Popen(own, stdin=subprocess.PIPE, env=environment)


def _devices(count: int) -> Sequence[str | None]:
    """A GPU for each part, some of them shared where there are too few; None for each where there are none."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    named = visible.split(",") if visible is not None else map(str, range(torch.cuda.device_count()))
    names = [name.strip() for name in named if name.strip()]
    return [names[number % len(names)] if names else None for number in range(count)]


def _killed(part: Part, status: int) -> str:
    """Why a part ended that could not say it itself."""
    how = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
    return f"part {part} {how}: run again, training goes on from its last checkpoint"


def _read(path: Path) -> dict[str, Any]:
    """A part's file; empty where it is not there yet."""
    try:
        return dict(read_json(path))
    except (FileNotFoundError, ValueError):
        return {}
