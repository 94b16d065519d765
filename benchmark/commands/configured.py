"""What commands on a configuration have in common: which one, and its plan."""

import shlex
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated

import tyro
import yaml

from benchmark import last_run
from benchmark.config import read
from benchmark.job import Values
from benchmark.plan import Plan

PROFILE = Path("profiles/default/profile.yaml")
"""Says which configuration Snakemake runs by default."""


@dataclass(frozen=True)
class Command:
    """A configuration, as Snakemake and the commands are called with it.

    Attributes:
        configfile: The configuration; the default profile's if none is given.
        config: Settings that override the file's; where none is given but a name, those of the last run.
    """

    configfile: Annotated[Path | None, tyro.conf.arg(metavar="PATH", help_behavior_hint="")] = None
    config: Values = ()

    @property
    def file(self) -> Path:
        """The configuration's file."""
        return self.configfile or Path(yaml.safe_load(PROFILE.read_text(encoding="utf-8"))["configfile"])

    @cached_property
    def settings(self) -> tuple[str, ...]:
        """The settings that override the file's. Those of the last run are said on stderr."""
        given = tuple(self.config)
        if any(not text.startswith("name=") for text in given):
            return given
        name = read(self.file, given).get("name")
        noted = [text for text in last_run.settings(f"results/{name}", self.file) if not text.startswith("name=")]
        if noted:
            print(f"as the last run of {name}: --config {shlex.join(noted)}", file=sys.stderr)
        return (*given, *noted)

    @cached_property
    def plan(self) -> Plan:
        """The configuration's plan."""
        return Plan.of(read(self.file, self.settings), str(self.file))

    def to(self, target: Path, *overrides: str) -> str:
        """The command line that makes one file."""
        changed = {text.partition("=")[0] for text in overrides}
        settings = [*(text for text in self.settings if text.partition("=")[0] not in changed), *overrides]
        words = ["snakemake", "--cores", "8", str(target), "--configfile", str(self.file)]
        return shlex.join([*words, *(["--config", *settings] if settings else [])])


Given = Annotated[Command, tyro.conf.arg(name="")]
"""A configuration that a command is given."""
