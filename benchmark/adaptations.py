"""Which adaptations there are: the files of `adaptations/`, found by their names without being run."""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

from benchmark.config import ConfigError
from benchmark.errors import nearest
from benchmark.sources import ROOT

SHIPPED = ("each", "iop", "mean", "none", "norm", "statistics")
"""The project's; any other file is the user's own."""


@cache
def discovered(root: Path = ROOT) -> dict[str, str]:
    """Where each adaptation's file stands, by its name; files that begin with an underscore or a dot are none."""
    paths = sorted(root.joinpath("adaptations").glob("[!_.]*.py"))
    return {path.stem: path.relative_to(root).as_posix() for path in paths}


def chosen(named: Sequence[str] | None) -> list[str]:
    """The adaptations that a configuration runs: those named, or all of the project's, and one's own."""
    return sorted(name for name in discovered() if named is None or name in named or name not in SHIPPED)


def adaptation_file(name: str) -> str:
    """Where an adaptation's file stands, from the project's root; a ConfigError where there is no such adaptation."""
    files = discovered()
    if name not in files:
        raise ConfigError(f"there is no adaptation {name}{nearest(name, files)}")
    return files[name]
