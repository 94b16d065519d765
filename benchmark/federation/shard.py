"""A shard of a sweep: one of several jobs that train a row's lanes into one store, each on a GPU of its own.

A shard says in a folder of its own what became of its lanes. The row's job then finds all lanes in the store, writes
their files, and tells of each what its shard said.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from benchmark.files import read_json

Lane = TypeVar("Lane")
FOLDER = ".shards"
"""Where shards have their folders, below the row's runs."""
LANES = "lanes.json"
"""What a shard says of its lanes, in its folder: by a lane's key, what `run.json` shall say that only it knows."""


@dataclass(frozen=True)
class Shard:
    """One of the shards of a row.

    Attributes:
        number: Which, from 1.
        count: Of how many.
    """

    number: int
    count: int

    @classmethod
    def of(cls, text: str) -> "Shard":
        """The shard that `2/4` names.

        Args:
            text: Which, from 1, and of how many.

        Returns:
            The shard.

        Raises:
            ValueError: The text names no shard.
        """
        found = re.fullmatch(r"([1-9]\d*)/([1-9]\d*)", text)
        if not found or int(found[1]) > int(found[2]):
            raise ValueError(f"{text!r} is no shard: expected K/N, as in 2/4, with K from 1 to N")
        return cls(int(found[1]), int(found[2]))

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    def share(self, lanes: Sequence[Lane]) -> Sequence[Lane]:
        """Its lanes: neighbours, since lanes of one seed share their images; the first shards may have one more.

        Args:
            lanes: All lanes of the row, in their order.

        Returns:
            Some of them; together the shards have each once.
        """
        first, last = (len(lanes) * number // self.count for number in (self.number - 1, self.number))
        return lanes[first:last]


def told(runs: Path) -> dict[str, Mapping[str, Any]]:
    """What the shards of a row said of its lanes.

    Args:
        runs: The folder of the row's runs.

    Returns:
        By a lane's key; empty where the row has no shards.
    """
    files = sorted((runs / FOLDER).glob(f"*/{LANES}"))
    return {key: about for path in files for key, about in read_json(path).items()}
