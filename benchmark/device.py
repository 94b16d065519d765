"""Lease a GPU for one job, then become that job.

    python -m benchmark.device -- COMMAND [ARGUMENT ...]

Snakemake counts GPUs but hands none out. This waits for a GPU that no other leased job holds, sets
`CUDA_VISIBLE_DEVICES` to it and runs the command in its own place. The lease is a lock on a file that the kernel
releases when the process ends, however it ends. Without GPUs, the command runs on the CPU at once.

All users of a machine share the folder of the lock files, `/tmp/benchmark-gpu-leases`, unless `BENCHMARK_LEASES` names
another one. A GPU has one job, or as many as `BENCHMARK_JOBS_PER_GPU` says.
"""

import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from itertools import product
from pathlib import Path
from typing import Annotated

import tyro

from benchmark.job import run
from benchmark.lock import taken

_WAIT = 1.0
"""Seconds between two looks for a free GPU."""
_PATIENCE = 60.0
"""Seconds that `nvidia-smi` may take."""
_LISTED = re.compile(r"^(?P<indent>\s*).*\(UUID: (?P<name>[^)]+)\)", re.MULTILINE)
"""A line of `nvidia-smi -L`: a GPU, or a MIG instance below it."""


def devices() -> list[str]:
    """The GPUs this process may use: those of `CUDA_VISIBLE_DEVICES` if it is set, otherwise all there are.

    Indices and abbreviations become full names where `nvidia-smi` knows them, so that one GPU has one name whoever
    asks for it.
    """
    visible, present = os.environ.get("CUDA_VISIBLE_DEVICES"), _present()
    if visible is None:
        # A GPU that is divided cannot be used as a whole.
        return [name for gpu, instances in present.items() for name in instances or [gpu]]
    named = [name.strip() for name in visible.split(",")]
    # As CUDA reads it: what follows a name that is none is ignored.
    usable = next((i for i, name in enumerate(named) if not name or name.startswith("-")), len(named))
    return list(dict.fromkeys(_full(name, present) for name in named[:usable]))


def lease(names: Sequence[str], folder: Path, jobs: int = 1) -> str:
    """Wait for one of these devices and hold it for as long as this process, or what it becomes, lives.

    The lock files' folder is shared by all users of the machine. Devices fill evenly, with so many jobs each at most.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with suppress(PermissionError):  # Another user's: open to all already.
        folder.chmod(0o1777)
    told = False
    while True:
        for place, name in product(range(jobs), names):
            if _hold(folder, name, place):
                return name
        if not told:
            print(f"waiting for one of {len(names)} GPUs: {', '.join(names)}", file=sys.stderr, flush=True)
            told = True
        time.sleep(_WAIT)


def _hold(folder: Path, name: str, place: int) -> bool:
    """Take one of a device's places if it is free; the command that this process becomes keeps it."""
    handle = _open(folder / f"{name.replace('/', '_')}.{place}.lock")
    if not taken(handle):
        os.close(handle)
        return False
    os.set_inheritable(handle, True)
    return True


def _open(path: Path) -> int:
    """A lock file, made where it is absent, that every user can lock: for that, reading is enough."""
    while True:
        try:
            return os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        except FileNotFoundError:
            # Linux refuses O_CREAT on another user's file in a folder open to all, so it is asked for new ones alone.
            with suppress(FileExistsError):
                os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644))
                path.chmod(0o644)


def _present() -> dict[str, list[str]]:
    """The machine's GPUs in their order, and the MIG instances of each."""
    try:
        # Where one GPU is lost, it fails but lists the others, or hangs.
        asked = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False, timeout=_PATIENCE)
    except (OSError, subprocess.TimeoutExpired):
        return {}
    found: dict[str, list[str]] = {}
    for line in _LISTED.finditer(asked.stdout):
        if line["indent"] and found:
            found[list(found)[-1]].append(line["name"])
        else:
            found[line["name"]] = []
    return found


def _full(name: str, present: dict[str, list[str]]) -> str:
    """A device's full name, from its index or the beginning of its name."""
    if name.isdigit():
        return list(present)[int(name)] if int(name) < len(present) else name
    known = [device for gpu, instances in present.items() for device in (gpu, *instances) if device.startswith(name)]
    return known[0] if len(known) == 1 else name


def become(command: Annotated[tuple[str, ...], tyro.conf.Positional]) -> None:
    """Lease a GPU if there is one, and become the command.

    Args:
        command: After `--`.
    """
    if not command:
        raise ValueError("give a command after `--`")
    if names := devices():
        folder = Path(os.environ.get("BENCHMARK_LEASES", "/tmp/benchmark-gpu-leases"))
        jobs = int(os.environ.get("BENCHMARK_JOBS_PER_GPU", "1"))
        os.environ["CUDA_VISIBLE_DEVICES"] = lease(names, folder, jobs)
    os.execvp(command[0], command)


if __name__ == "__main__":
    raise SystemExit(run(become))
