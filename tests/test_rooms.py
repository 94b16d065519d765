"""The map of the house, `benchmark/__init__.py`: it is whole, and imports run downwards on it."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import benchmark
from benchmark.sources import ROOT

HOUSE = ROOT / "benchmark"
ORDER = re.findall(r"^    (\w+) {2,}\S", str(benchmark.__doc__), re.MULTILINE)
"""Rooms and modules, the upper ones first."""
ONE_FLOOR = {"models", "tasks", "data"}
"""Rooms that may import each other."""


def upward(room: str, text: str) -> list[str]:
    """What the text of a module of a room imports from above it on the map, wherever in the text it does."""
    place = ORDER.index(room)
    above = (name for name in imported(ast.parse(text)) if name in ORDER[:place])
    return sorted(name for name in above if not {room, name} <= ONE_FLOOR)


def imported(tree: ast.AST) -> Iterator[str]:
    """The rooms and modules of the house that a file names in its import statements."""
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        yield from (name.split(".")[1] for name in names if name.startswith("benchmark."))


def room_of(path: Path) -> str:
    """The room that a file stands in, or the module that it is."""
    return path.relative_to(HOUSE).with_suffix("").parts[0]


def test_every_room_and_module_stands_on_the_map_once() -> None:
    there = {room_of(path) for path in HOUSE.rglob("*.py")} - {"__init__"}
    assert sorted(ORDER) == sorted(there)


@pytest.mark.parametrize("room", ORDER)
def test_no_room_imports_upwards(room: str) -> None:
    files = [path for path in HOUSE.rglob("*.py") if room_of(path) == room]
    assert files
    found = {file.relative_to(ROOT).as_posix(): upward(room, file.read_text(encoding="utf-8")) for file in files}
    assert {file: names for file, names in found.items() if names} == {}


@pytest.mark.parametrize(
    ("room", "text", "found"),
    [
        ("federation", "from benchmark.evaluation.select import choose", ["evaluation"]),
        ("config", "from benchmark import plan, settings", ["plan"]),
        ("evaluation", "def late():\n    import benchmark.reporting.tables", ["reporting"]),
        ("reporting", "from benchmark.evaluation import ranks\nfrom benchmark.reporting import style", []),
        ("data", "from benchmark.tasks import task", []),
        ("data", "from benchmark.federation import job", ["federation"]),
    ],
)
def test_an_upward_import_is_seen(room: str, text: str, found: list[str]) -> None:
    """Whichever form it has, and inside a function too."""
    assert upward(room, text) == found
