"""Errors as people read them."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

_TYPES: dict[type, tuple[str, tuple[type, ...]]] = {
    bool: ("true or false", (bool,)),
    int: ("a whole number", (int,)),
    float: ("a number", (int, float)),
    str: ("a text", (str,)),
}
"""By a setting's type, what it is called and what may be given."""


def one_line(error: BaseException, length: int | None = None) -> str:
    """An error's message in one line, cut after so many characters: other packages' run over many."""
    return " ".join(str(error).split())[:length]


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of a message about a name that does not exist: after a semicolon, the one that was meant, or all."""
    known = sorted(known)
    close = get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]}?" if close else f"; there are {', '.join(known) or 'none'}"


def of_another_type(kind: Any, value: float | bool | str) -> str:
    """The end of a message about a setting whose value is not of this type: what is allowed. Empty where it is."""
    name, allowed = _TYPES.get(kind, ("", (object,)))
    fits = isinstance(value, allowed) and (kind is bool or kind not in _TYPES or not isinstance(value, bool))
    return "" if fits else f": allowed is {name} (got {value!r})"
