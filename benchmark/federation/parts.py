"""A sweep's lanes divided over processes: one for each GPU, or side by side on a CPU.

Every part is a fork of the job. It trains its share of the lanes into the store and says in a folder of its own how far
it is. The job then finds all lanes in the store and writes their files. A part ends when its job does, however that
ended.
"""

import os
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
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


def train(work: Callable[[Part], int], count: int, output: Path, progress: Progress) -> Mapping[str, Mapping[str, Any]]:
    """Train all parts of a job side by side, and wait for them.

    Where one fails the others finish: what they have trained is in the store. To be called before anything is computed
    or a GPU is looked at, since what a fork inherits of either does not work.

    Args:
        work: Trains a part; its exit status.
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
    # Nobody writes to this pipe: it is closed when the job is no more.
    pipe = os.pipe()
    running = {_start(work, part, device, pipe): part for part, device in zip(parts, _devices(count), strict=True)}
    failures = []
    try:
        while running:
            time.sleep(_LOOK)
            progress.follow([_read(part.folder(output) / PROGRESS) for part in parts])
            for child, part in list(running.items()):
                ended, status = os.waitpid(child, os.WNOHANG)
                if ended:
                    del running[child]
                    failures += [_failure(part, output, os.waitstatus_to_exitcode(status))] if status else []
    finally:
        for end in pipe:
            os.close(end)
    if failures:
        raise PartError(failures[0])
    return {key: about for part in parts for key, about in _read(part.folder(output) / _LANES).items()}


def _start(work: Callable[[Part], int], part: Part, device: str | None, pipe: tuple[int, int]) -> int:
    """Fork a process that trains a part and sees one device; returns its id."""
    if child := os.fork():
        return child
    status = 1
    try:
        os.close(pipe[1])
        threading.Thread(target=_end_with_parent, args=pipe[:1], daemon=True).start()
        if device is not None:
            os.environ["CUDA_VISIBLE_DEVICES"] = device
        status = work(part)
    finally:
        sys.stderr.flush()
        os._exit(status)


def _end_with_parent(pipe: int) -> None:
    """End this process at once when the pipe is closed at the other end."""
    os.read(pipe, 1)
    os._exit(1)


def _failure(part: Part, output: Path, status: int) -> str:
    """Why a part has failed: its own words, or what can be said of one that had none."""
    how = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
    said = _read(part.folder(output) / PROGRESS).get("failure")
    return str(said or f"part {part} {how}: run again, training goes on from its last checkpoint")


def _devices(count: int) -> Sequence[str | None]:
    """A GPU for each part, some of them shared where there are too few; None for each where there are none."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    named = visible.split(",") if visible is not None else map(str, range(torch.cuda.device_count()))
    names = [name.strip() for name in named if name.strip()]
    return [names[number % len(names)] if names else None for number in range(count)]


def _read(path: Path) -> dict[str, Any]:
    """A part's file; empty where it is not there yet."""
    try:
        return dict(read_json(path))
    except (FileNotFoundError, ValueError):
        return {}
