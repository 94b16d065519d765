"""Which lanes train together, and from which checkpoint.

Float arithmetic depends in its last bits on which lanes are computed side by side. So lanes that were interrupted go on
in the company they had, from the newest round that all of them have a checkpoint of: the result equals that of an
uninterrupted run to the bit.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmark.federation.store import KEPT, Store
from benchmark.federation.training import Record

Group = Mapping[str, Record | None]
"""Lanes that train together: where each goes on, by its key, in the order in which they are stacked; None at the
beginning."""


def groups(store: Store, lanes: Mapping[str, Any], finished: Sequence[str], rounds: int, at_once: int) -> list[Group]:
    """Divide a job's lanes into groups, which hold every unfinished one once.

    `lanes` says by key, in their order, what a lane must have in common with those it trains with. A lane of `finished`
    trains again only as company of one that is not finished. A group has at most `at_once` lanes.
    """
    records = {key: store.checkpoints(key, rounds) for key in lanes}
    before = _company(records)
    found: list[Group] = []
    fresh: dict[Any, list[str]] = {}
    placed: set[str] = set()
    for key, kind in lanes.items():
        if key in placed or key in finished:
            continue
        if key not in before:
            fresh.setdefault(kind, []).append(key)
            continue
        together = [member for member in before[key] if member not in placed]
        placed.update(together)
        for part in _parts(together, at_once):
            found += [group for group in _resumed(part, records) if set(group) - set(finished)]
    for keys in fresh.values():
        found += [dict.fromkeys(part) for part in _parts(keys, at_once)]
    return found


def _company(records: Mapping[str, Mapping[int, Record]]) -> dict[str, list[str]]:
    """By lane, the lanes of this job that it was trained with, as far as any checkpoint tells."""
    company: dict[str, list[str]] = {}
    for key, own in records.items():
        if own:
            named = set(own[max(own)].together) | {key}
            together = [other for other in records if other in named]
            for member in together:
                company.setdefault(member, together)
    return company


def _resumed(keys: Sequence[str], records: Mapping[str, Mapping[int, Record]]) -> Iterator[Group]:
    """One group from the newest round that all lanes have; where there is none, one for each lane's newest."""
    # Lanes with fewer than KEPT checkpoints lost none, so round 0 is also a common start.
    known = {key: set(records[key]) | (set() if len(records[key]) == KEPT else {0}) for key in keys}
    if common := set.intersection(*known.values()):
        yield {key: records[key].get(max(common)) for key in keys}
        return
    newest = {key: max(known[key]) for key in keys}
    for round in sorted(set(newest.values())):
        yield {key: records[key].get(round) for key in keys if newest[key] == round}


def _parts(keys: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    yield from (keys[first : first + size] for first in range(0, len(keys), size))
