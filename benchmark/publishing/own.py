"""What is one's own: code that is not of the project's commit, and files that a publication names and does not hold."""

import subprocess
from collections.abc import Iterable
from pathlib import Path

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


def given(path: str) -> str:
    """Where a file of the user's stands below `local_files` of who reproduces it: as here, or by its name alone."""
    place = Path(path).expanduser()
    return place.name if place.is_absolute() or ".." in place.parts else place.as_posix()


def _word(path: str, state: str) -> str:
    if not (ROOT / path).exists():
        return "deleted"
    return "new" if state == "??" or "A" in state else "changed"
