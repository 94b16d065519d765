"""Errors as people read them."""


def one_line(error: BaseException, length: int | None = None) -> str:
    """An error's message in one line, cut after so many characters: other packages' run over many."""
    return " ".join(str(error).split())[:length]
