"""What commands on a configuration have in common: which one, and its plan."""

import argparse
from pathlib import Path

import yaml

from benchmark.config import read
from benchmark.plan import Plan

PROFILE = Path("profiles/default/profile.yaml")
"""Says which configuration Snakemake runs by default."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Give a command the arguments that name a configuration."""
    parser.add_argument("--configfile", type=Path, help="the configuration; the default profile's if none is given")
    parser.add_argument(
        "--config", nargs="*", default=[], metavar="KEY=VALUE", help="settings that override the file's"
    )


def configfile(arguments: argparse.Namespace) -> Path:
    """The configuration's file."""
    return Path(arguments.configfile or yaml.safe_load(PROFILE.read_text(encoding="utf-8"))["configfile"])


def plan(arguments: argparse.Namespace) -> Plan:
    """The configuration's plan."""
    path = configfile(arguments)
    return Plan.of(read(path, arguments.config), str(path))
