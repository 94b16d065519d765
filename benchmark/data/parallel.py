"""The same work on many files, a batch at a time: in order, with progress, in bounded memory."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")
Result = TypeVar("Result")


def cores() -> int:
    """How many cores this process may use: all of the machine's, or those that a cluster gave it."""
    return len(os.sched_getaffinity(0))


def in_batches(
    work: Callable[[Item], Result], items: Sequence[Item], threads: int, batch: int, label: str
) -> Iterator[list[Result]]:
    """Apply a function to every item in several threads, and yield results in the items' order, `batch` at a time.

    Threads are enough, and share everything: Pillow and numpy let go of the interpreter while they decode and scale.
    What the function raises ends the work. The label is the progress bar's.
    """
    with ThreadPoolExecutor(threads) as pool, tqdm(total=len(items), desc=label, unit="img", mininterval=5) as progress:
        for first in range(0, len(items), batch):
            results = list(pool.map(work, items[first : first + batch]))
            progress.update(len(results))
            yield results
