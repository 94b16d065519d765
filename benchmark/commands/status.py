"""How far a configuration is: what is done, running, waiting and failed, how fast it goes, how long it will take.

It reads files only, so it can be asked at any time, in the folder that Snakemake runs in.
"""

import argparse
from typing import Any

from benchmark.commands import configured
from benchmark.status.report import report


def add(commands: "argparse._SubParsersAction[Any]") -> None:
    """Add the command."""
    parser = commands.add_parser("status", help="how far a configuration is", description=__doc__)
    configured.add_arguments(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the state; 0."""
    print(report(configured.plan(arguments)))
    return 0
