"""Errors as people read them."""

from collections.abc import Iterable
from difflib import get_close_matches


def one_line(error: BaseException, length: int | None = None) -> str:
    """An error's message in one line, cut after so many characters: other packages' run over many."""
    return " ".join(str(error).split())[:length]


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of a message about a name that does not exist: the name that was meant, or all there are.

    Args:
        name: The name that was given.
        known: The names that exist.

    Returns:
        A text that begins with a semicolon.
    """
    known = sorted(known)
    close = get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]}?" if close else f"; there are {', '.join(known) or 'none'}"
