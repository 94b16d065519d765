"""What is no job of the DAG: `python -m benchmark COMMAND`.

    python -m benchmark status [--configfile FILE] [--config KEY=VALUE ...]

tells how far a configuration is: what is done, running, waiting and failed, how fast it goes, how long it will take and
what it takes on the disk. It reads files only, so it can be asked at any time, in the folder that Snakemake runs in.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml

from benchmark.config import ConfigError, read
from benchmark.plan import Plan
from benchmark.status.report import report

PROFILE = Path("profiles/default/profile.yaml")
"""Says which configuration Snakemake runs by default."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; 0 where it could be run."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmark", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    status = commands.add_parser("status", help="how far a configuration is")
    status.add_argument("--configfile", type=Path, help="the configuration; the default profile's if none is given")
    status.add_argument(
        "--config", nargs="*", default=[], metavar="KEY=VALUE", help="settings that override the file's"
    )
    arguments = parser.parse_args(argv)
    try:
        path = arguments.configfile or Path(yaml.safe_load(PROFILE.read_text(encoding="utf-8"))["configfile"])
        print(report(Plan.of(read(path, arguments.config), str(path))))
    except (ConfigError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
