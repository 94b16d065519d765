"""What commands on a configuration have in common: which one, and its plan."""

import argparse
import shlex
from dataclasses import dataclass
from pathlib import Path

import yaml

from benchmark.config import read
from benchmark.plan import Plan

PROFILE = Path("profiles/default/profile.yaml")
"""Says which configuration Snakemake runs by default."""


@dataclass(frozen=True)
class Command:
    """How Snakemake is called with a configuration.

    Attributes:
        configfile: The configuration.
        overrides: Settings that replace the file's, each `key=value`.
    """

    configfile: Path
    overrides: tuple[str, ...] = ()

    def to(self, target: Path, *overrides: str) -> str:
        """The command line that makes one file."""
        changed = {text.partition("=")[0] for text in overrides}
        kept = [text for text in self.overrides if text.partition("=")[0] not in changed]
        settings = [*kept, *overrides]
        words = ["snakemake", "--cores", "8", str(target), "--configfile", str(self.configfile)]
        return shlex.join([*words, *(["--config", *settings] if settings else [])])


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


def command(arguments: argparse.Namespace) -> Command:
    """How Snakemake is called with the configuration."""
    return Command(configfile(arguments), tuple(arguments.config))
