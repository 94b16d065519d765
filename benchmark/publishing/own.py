"""What is one's own: code that is not of the project's commit, and files that a publication names and does not hold."""

import subprocess
from collections.abc import Iterable
from itertools import chain, count
from pathlib import Path

from benchmark.config import Config
from benchmark.sources import ROOT

FOLDER = "project"
"""The folder of a publication that is copied over a clone."""
CODE = (
    *("Snakefile", "workflow", "benchmark", "methods", "adaptations", "report", "profiles"),
    *("environment.yml", "requirements.lock", "results/reference"),
)
"""What a run reads of the project, beside its configuration."""


def differences() -> dict[str, str] | None:
    """Files of the code that differ from the commit, by path: `new`, `changed` or `deleted`; None without a commit."""
    command = ["git", "-C", str(ROOT), "status", "--porcelain", "-z", "--untracked-files=all", "--no-renames", "--"]
    try:
        said = subprocess.run([*command, *CODE], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    entries = [(entry[:2], entry[3:]) for entry in said.split("\0") if entry]
    return {path: _word(path, state) for state, path in sorted(entries, key=lambda entry: entry[1])}


def files(used: Iterable[str]) -> dict[str, bytes]:
    """The files that a publication keeps, by their names in it: those that are used, and all that differ.

    Without a commit nothing else has the code: then all of it is kept.
    """
    found = differences()
    if found is None:
        paths = [path for name in CODE for path in (ROOT / name, *(ROOT / name).rglob("*"))]
        kept = {p.relative_to(ROOT).as_posix() for p in paths if p.is_file() and "__pycache__" not in p.parts}
    else:
        kept = {path for path, word in found.items() if word != "deleted"}
    return {f"{FOLDER}/{path}": (ROOT / path).read_bytes() for path in sorted({*kept, *used})}


def given(config: Config) -> dict[str, str]:
    """Where the user's images and weights stand below `local_files` of who reproduces it, by their paths here.

    A path below `local_files` stays as it is; of another its last name is left, numbered where that is taken.
    """
    sources = [federation.source for federation in config.federations.values() if federation.source]
    weights = config.backbone.weights
    paths = {path: Path(path).expanduser() for path in [*sources, *([] if weights in ("hub", "drawn") else [weights])]}
    stay = {path for path in paths.values() if not path.is_absolute() and ".." not in path.parts}
    places, names = {path: path.as_posix() for path in stay}, {path.parts[0] for path in stay if path.parts}
    for path in paths.values():
        if path not in places:
            numbered = (f"{path.stem}-{number}{path.suffix}" for number in count(2))
            places[path] = next(name for name in chain([path.name], numbered) if name not in names)
            names.add(places[path])
    return {given: places[path] for given, path in paths.items()}


def _word(path: str, state: str) -> str:
    if not (ROOT / path).exists():
        return "deleted"
    return "new" if state == "??" or "A" in state else "changed"
