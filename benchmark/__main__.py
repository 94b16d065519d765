"""What is no job of the DAG: `python -m benchmark COMMAND`."""

import sys
from collections.abc import Callable, Sequence

from benchmark.commands.check import check
from benchmark.commands.doctor import doctor
from benchmark.commands.publish import publish
from benchmark.commands.schema import write
from benchmark.commands.status import status
from benchmark.commands.verify import verify
from benchmark.job import run_one_of

COMMANDS: dict[str, Callable[..., int]] = {
    "doctor": doctor,
    "check": check,
    "status": status,
    "publish": publish,
    "verify": verify,
    "schema": write,
}
DESCRIPTION = """What is no job of the DAG. `python -m benchmark COMMAND --help` says what a command does; all are given
in the folder that Snakemake runs in."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; 0 where it could be run, 1 with one line for each fault otherwise."""
    return run_one_of(COMMANDS, "python -m benchmark", DESCRIPTION, argv)


if __name__ == "__main__":
    sys.exit(main())
