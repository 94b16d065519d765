"""How far a training job is: a small file that `python -m benchmark status` reads while the job runs."""

import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmark.files import write_json
from benchmark.lock import held

LOCK = ".lock"
"""Held by the job that trains into a folder of runs."""
PROGRESS = ".progress.json"
"""What it says of itself, beside the lock."""
_INTERVAL = 1.0
"""Seconds between two writings."""


@dataclass
class Progress:
    """What a job says of itself.

    Attributes:
        folder: Of the method's runs.
        name: What messages call the job.
        rounds: Rounds that every lane is trained for.
        finished: Those whose files are written.
        failure: Why the job ended without having finished.
    """

    folder: Path
    name: str
    rounds: int
    finished: int = 0
    failure: str | None = None
    _written: float = field(default=-_INTERVAL, init=False)

    @contextmanager
    def running(self) -> Iterator[None]:
        """The job's duration: no other job writes to the folder meanwhile."""
        with held(self.folder / LOCK, f"the folder {self.folder}"):
            self._write()
            yield
            self._write()

    def lane(self) -> None:
        """One more lane's files are written."""
        self.finished += 1
        self._write()

    def failed(self, reason: str) -> None:
        """The job ends with an error."""
        self.failure = reason
        self._write()

    def round(self, round: int, together: Sequence[object], seconds: float) -> None:
        """A group of lanes has finished a round; `seconds` is what one took so far, on the mean."""
        left = seconds * (self.rounds - round)
        print(
            f"{self.name}: round {round}/{self.rounds}, {len(together)} lanes, {seconds:.1f} s per round, "
            f"{left:.0f} s left",
            file=sys.stderr,
            flush=True,
        )
        if time.monotonic() - self._written >= _INTERVAL:
            self._write(round=round, together=len(together), seconds_per_round=seconds)

    def _write(self, **group: float) -> None:
        self._written = time.monotonic()
        about = {"process": os.getpid(), "finished": self.finished, "failure": self.failure, "group": group}
        write_json(self.folder / PROGRESS, about)
