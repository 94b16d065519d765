"""Loading a method: a class in a file of its own, made with its settings."""

import dataclasses
import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, get_args, get_origin, get_type_hints

from benchmark.defined import the_one
from benchmark.method import Method


def load(path: Path, settings: Mapping[str, float | bool | str]) -> Method:
    """The method of a file, with these settings.

    Args:
        path: A Python file that defines exactly one subclass of `Method`.
        settings: Values for fields of that class.

    Returns:
        The method.

    Raises:
        ValueError: The file defines no method or several; it lacks a title, a paper or a docstring; it has no such
            setting, or not with this value.
    """
    spec = importlib.util.spec_from_file_location(f"methods.{path.stem}", path)
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
    method: type[Method] = the_one(module, Method, path)
    texts = ("title", "paper")
    lacking = [f"`{name}`, a text" for name in texts if not isinstance(getattr(method, name, None), str)]
    documentation = method.__dict__.get("__doc__") or ""
    if not documentation.strip() or documentation.startswith(f"{method.__name__}("):  # A dataclass writes its own.
        lacking.append("a docstring, one line that says what it does")
    if lacking:
        raise ValueError(f"{path}: {method.__name__} needs {'; '.join(lacking)}")
    allowed: set[str] = (
        {field.name for field in dataclasses.fields(method)} if dataclasses.is_dataclass(method) else set()
    )
    if unknown := set(settings) - allowed:
        raise ValueError(
            f"method_settings.{path.stem}: {method.__name__} has no setting {', '.join(sorted(unknown))}; "
            f"allowed: {', '.join(sorted(allowed)) or 'none'}"
        )
    kinds = get_type_hints(method) if settings else {}
    for name, value in settings.items():
        allowed_values = get_args(kinds[name]) if get_origin(kinds[name]) is Literal else (value,)
        if value not in allowed_values:
            raise ValueError(
                f"method_settings.{path.stem}.{name}: allowed are {', '.join(map(str, allowed_values))} (got {value!r})"
            )
    return method(**settings)
