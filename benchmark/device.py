"""Lease one GPU for one job, then become that job.

    python -m benchmark.device -- COMMAND [ARGUMENT ...]

Snakemake counts GPUs but hands none out. This waits for a GPU that no other leased job holds, sets
`CUDA_VISIBLE_DEVICES` to it and runs the command in its own place. The lease is a lock on a file that the kernel
releases when the process ends, however it ends. Without GPUs, the command runs on the CPU at once.
"""

import fcntl
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

_WAIT = 1.0
"""Seconds between two looks for a free GPU."""


def devices() -> list[str]:
    """The GPUs this process may use: those of `CUDA_VISIBLE_DEVICES` if it is set, otherwise all there are."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [name.strip() for name in visible.split(",") if name.strip() and name.strip() != "-1"]
    try:
        listed = subprocess.run(
            ["nvidia-smi", "--query-gpu=uuid", "--format=csv,noheader"], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return []
    return listed.stdout.split()


def lease(names: Sequence[str], folder: Path) -> str:
    """Wait for a free device and hold it for as long as this process, or what it becomes, lives.

    Args:
        names: Devices to choose from.
        folder: Where the lock files are, shared by all users of the machine.

    Returns:
        The name of the device that is now held.
    """
    folder.mkdir(mode=0o1777, parents=True, exist_ok=True)
    told = False
    while True:
        for name in names:
            path = folder / f"{name.replace('/', '_')}.lock"
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(handle)
                continue
            os.set_inheritable(handle, True)
            return name
        if not told:
            print(f"waiting for one of {len(names)} GPUs", file=sys.stderr, flush=True)
            told = True
        time.sleep(_WAIT)


def main(argv: Sequence[str] | None = None) -> None:
    """Lease a device if there is one, and become the command."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == ["--"]:
        arguments = arguments[1:]
    if not arguments:
        raise SystemExit("usage: python -m benchmark.device -- COMMAND [ARGUMENT ...]")
    if names := devices():
        os.environ["CUDA_VISIBLE_DEVICES"] = lease(names, Path(tempfile.gettempdir()) / "benchmark-gpu-leases")
    os.execvp(arguments[0], arguments)


if __name__ == "__main__":
    main()
