"""What commands on a configuration have in common: which one, and its plan."""

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
import yaml

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
        config: Settings that override the file's.
    """

    configfile: Annotated[Path | None, tyro.conf.arg(metavar="PATH", help_behavior_hint="")] = None
    config: Values = ()

    @property
    def file(self) -> Path:
        """The configuration's file."""
        return self.configfile or Path(yaml.safe_load(PROFILE.read_text(encoding="utf-8"))["configfile"])

    @property
    def plan(self) -> Plan:
        """The configuration's plan."""
        return Plan.of(read(self.file, self.config), str(self.file))

    def to(self, target: Path, *overrides: str) -> str:
        """The command line that makes one file."""
        changed = {text.partition("=")[0] for text in overrides}
        settings = [*(text for text in self.config if text.partition("=")[0] not in changed), *overrides]
        words = ["snakemake", "--cores", "8", str(target), "--configfile", str(self.file)]
        return shlex.join([*words, *(["--config", *settings] if settings else [])])


Given = Annotated[Command, tyro.conf.arg(name="")]
"""A configuration that a command is given."""
