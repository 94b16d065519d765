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
    """Apply a function to every item in several threads.

    Threads are enough, and share everything: Pillow and numpy let go of the interpreter while they decode and scale.

    Args:
        work: The function. What it raises ends the work.
        items: What it is applied to.
        threads: How many calls run at the same time.
        batch: Results held at a time.
        label: What the progress bar says.

    Yields:
        Results in the order of the items, `batch` at a time.
    """
    with ThreadPoolExecutor(threads) as pool, tqdm(total=len(items), desc=label, unit="img", mininterval=5) as progress:
        for first in range(0, len(items), batch):
            results = list(pool.map(work, items[first : first + batch]))
            progress.update(len(results))
            yield results
