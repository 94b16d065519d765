"""Work beside the training: one piece at a time, in a thread of its own."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from types import TracebackType


class Beside:
    """A thread that does one piece of work while the caller goes on.

    Whoever gives it another piece waits for the one before, and meets its error. At the end of the block all is done.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1)
        self._pending: Future[None] | None = None

    def __enter__(self) -> "Beside":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # An error of the block itself is the one to tell.
        with self._pool, suppress(*([] if error is None else [Exception])):
            self._finish()

    def do(self, work: Callable[[], None]) -> None:
        """Begin a piece of work, once the one before is done.

        Args:
            work: It must not read what the caller changes meanwhile.
        """
        self._finish()
        self._pending = self._pool.submit(work)

    def _finish(self) -> None:
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()
