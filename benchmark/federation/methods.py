"""Loading a method: a class in a file of its own, made with its settings."""

import dataclasses
import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, TypeVar, get_args, get_origin, get_type_hints

from benchmark.defined import the_one
from benchmark.errors import of_another_type
from benchmark.method import Method

Kind = TypeVar("Kind")


def load(path: Path, settings: Mapping[str, float | bool | str]) -> Method:
    """The method of a file, with these settings; see `made`."""
    return made(path, Method, "method", settings)


def made(path: Path, base: type[Kind], word: str, settings: Mapping[str, float | bool | str]) -> Kind:
    """What a file defines, with these settings.

    Args:
        path: A Python file that defines exactly one subclass of `base`.
        base: `Method`, or another class of a contract.
        word: What messages call it: its settings stand in a configuration's `{word}_settings`.
        settings: Values for fields of that class.

    Returns:
        An object of the class.

    Raises:
        ValueError: The file defines no such class or several; it lacks a title, a paper or a docstring; it has no such
            setting, or not with this value.
    """
    spec = importlib.util.spec_from_file_location(f"{word}s.{path.stem}", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise ValueError(f"{path}: there is no such Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # Dataclasses look their module up.
    try:
        spec.loader.exec_module(module)
    except ValueError as error:
        if "null bytes" not in str(error):
            raise
        raise ValueError(f"{path}: {error}") from None  # Older Pythons do not say in which file.
    found: type[Kind] = the_one(module, base, path)
    texts = ("title", "paper")
    lacking = [f"`{name}`, a text" for name in texts if not isinstance(getattr(found, name, None), str)]
    documentation = found.__dict__.get("__doc__") or ""
    if not documentation.strip() or documentation.startswith(f"{found.__name__}("):  # A dataclass writes its own.
        lacking.append("a docstring, one line that says what it does")
    if lacking:
        raise ValueError(f"{path}: {found.__name__} needs {'; '.join(lacking)}")
    allowed: set[str] = (
        {field.name for field in dataclasses.fields(found)} if dataclasses.is_dataclass(found) else set()
    )
    if unknown := set(settings) - allowed:
        raise ValueError(
            f"{word}_settings.{path.stem}: {found.__name__} has no setting {', '.join(sorted(unknown))}; "
            f"allowed: {', '.join(sorted(allowed)) or 'none'}"
        )
    kinds = get_type_hints(found) if settings else {}
    for name, value in settings.items():
        allowed_values = get_args(kinds[name]) if get_origin(kinds[name]) is Literal else (value,)
        if value not in allowed_values:
            raise ValueError(
                f"{word}_settings.{path.stem}.{name}: allowed are {', '.join(map(str, allowed_values))} (got {value!r})"
            )
        if fault := of_another_type(kinds[name], value):
            raise ValueError(f"{word}_settings.{path.stem}.{name}{fault}")
    return found(**settings)
