"""Errors as people read them."""

from collections.abc import Iterable
from difflib import get_close_matches


def one_line(error: BaseException, length: int | None = None) -> str:
    """An error's message in one line, cut after so many characters: other packages' run over many."""
    return " ".join(str(error).split())[:length]


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of a message about a name that does not exist: after a semicolon, the one that was meant, or all."""
    known = sorted(known)
    close = get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]}?" if close else f"; there are {', '.join(known) or 'none'}"
