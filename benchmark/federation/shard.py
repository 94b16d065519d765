"""A shard of a sweep: one of several jobs that train a row's lanes into one store, each on a GPU of its own.

A shard says in a folder of its own what became of its lanes. The row's job then finds all lanes in the store, writes
their files, and tells of each what its shard said.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from benchmark.files import read_json

Lane = TypeVar("Lane")
FOLDER = ".shards"
"""Where shards have their folders, below the row's runs."""
LANES = "lanes.json"
"""What a shard says of its lanes, in its folder: by a lane's key, what `run.json` shall say that only it knows."""


def share(lanes: Sequence[Lane], shard: str) -> Sequence[Lane]:
    """The lanes of the second of four shards, `2/4`: neighbours, since lanes of one seed share their images.

    Together the shards have each lane once, the first ones one more where they cannot have equally many; a text that
    names no shard is a ValueError.
    """
    found = re.fullmatch(r"([1-9]\d*)/([1-9]\d*)", shard)
    if not found or int(found[1]) > int(found[2]):
        raise ValueError(f"{shard!r} is no shard: expected K/N, as in 2/4, with K from 1 to N")
    number, count = int(found[1]), int(found[2])
    return lanes[len(lanes) * (number - 1) // count : len(lanes) * number // count]


def told(runs: Path) -> dict[str, Mapping[str, Any]]:
    """What the shards of a row said of its lanes, by a lane's key, in the folder of its runs."""
    files = sorted((runs / FOLDER).glob(f"*/{LANES}"))
    return {key: about for path in files for key, about in read_json(path).items()}
