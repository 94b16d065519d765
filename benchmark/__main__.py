"""What is no job of the DAG: `python -m benchmark COMMAND`.

Each command is a module of `benchmark/commands/`; `python -m benchmark COMMAND --help` says what it does. All are given
in the folder that Snakemake runs in.
"""

import argparse
import sys
from collections.abc import Sequence

from benchmark.commands import check, doctor, publish, status, verify

COMMANDS = (doctor, check, status, publish, verify)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; 0 where it could be run, 1 with one line for each fault otherwise."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmark", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add(commands)
    arguments = parser.parse_args(argv)
    try:
        return int(arguments.run(arguments))
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
