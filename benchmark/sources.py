"""Which of the project's files a job runs, and a fingerprint of what they compute.

Snakemake does not follow imports, so the DAG declares these files as inputs; the store of finished lanes keys its
entries with their fingerprint.
"""

import ast
import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@cache
def closure(module: str) -> tuple[str, ...]:
    """Every file of this project that importing a module runs: paths from the project's root, sorted.

    A ValueError says that the project has no module of that dotted name.
    """
    if _file(module) is None:
        raise ValueError(f"the project has no module {module}")
    found: set[Path] = set()
    waiting = _files(module)
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting += _imported(path)
    return tuple(sorted(path.relative_to(ROOT).as_posix() for path in found))


def fingerprint(paths: Iterable[Path]) -> str:
    """A hash of what Python files compute: it ignores comments, docstrings, layout, and what errors say.

    The files' names do not count, and their order does not either.
    """
    parts = sorted(hashlib.sha256(_meaning(path).encode()).hexdigest() for path in paths)
    return hashlib.sha256("".join(parts).encode()).hexdigest()


def computing(network: str, task: str) -> list[str]:
    """The project's files that compute a trained lane, besides its method's: paths from the project's root.

    They are the round loop with all that it imports, the network's module and the task's likewise.
    """
    modules = ("benchmark.federation.training", f"benchmark.models.{network}", f"benchmark.tasks.{task}")
    return sorted({path for module in modules for path in closure(module)})


def fetching(network: str) -> list[str]:
    """The modules that bring a network's weights: its own, and `NAME_weights` beside it where there is one."""
    names = ("fetch", network, f"{network}_weights")
    return [module for name in names if _file(module := f"benchmark.models.{name}")]


@cache
def engine(network: str, task: str) -> str:
    """A hash of what these files compute."""
    return fingerprint(ROOT / path for path in computing(network, task))


@cache
def code(*modules: str) -> str:
    """A hash of what modules compute, with all of the project's that they import."""
    return fingerprint({ROOT / path for module in modules for path in closure(module)})


@cache
def fingerprint_of(file: str) -> str:
    """A project's file's fingerprint; empty for one that is absent or no Python: the job that runs it says so."""
    try:
        return fingerprint([ROOT / file])
    except (OSError, SyntaxError, ValueError):
        return ""


@cache
def _imported(path: Path) -> tuple[Path, ...]:
    """The project's files that a file names in its import statements."""
    found: list[Path] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        for name in names:
            if name.partition(".")[0] == "benchmark":
                found += _files(name)
    return tuple(found)


def _files(module: str) -> list[Path]:
    """The files that importing a dotted name runs first: its packages' and, if it is a module, its own."""
    parts = module.split(".")
    files = (_file(".".join(parts[: depth + 1])) for depth in range(len(parts)))
    return [file for file in files if file]


def _file(module: str) -> Path | None:
    """The file of a module or a package of this project; None for a name that is neither."""
    path = ROOT.joinpath(*module.split("."))
    candidates = (path.with_suffix(".py"), path / "__init__.py")
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def _meaning(path: Path) -> str:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise):
            node.exc = node.cause = None
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            said = [line for line in node.body if isinstance(line, ast.Expr) and isinstance(line.value, ast.Constant)]
            node.body = [line for line in node.body if line not in said] or [ast.Pass()]
    return _dump(tree)


def _dump(node: object) -> str:
    """A syntax tree as text. What is empty is left out: later versions of Python add fields that code need not use."""
    if isinstance(node, list):
        return f"[{','.join(map(_dump, node))}]"
    if isinstance(node, ast.AST):
        fields = (f"{name}={_dump(value)}" for name, value in ast.iter_fields(node) if value not in (None, []))
        return f"{type(node).__name__}({','.join(fields)})"
    return repr(node)
