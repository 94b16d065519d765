"""Commands about data: `python -m benchmark.data doctor`."""

import argparse
import sys
from collections.abc import Sequence

from benchmark.config import ConfigError
from benchmark.data import doctor


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmark.data", description="Commands about data.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    command = commands.add_parser("doctor", help="what of a configuration's data is here, and how to mend the rest")
    doctor.add_arguments(command)
    given = parser.parse_args(arguments)
    try:
        return doctor.run(given)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
