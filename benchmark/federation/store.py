"""The store of lanes: finished ones, and checkpoints of unfinished ones.

A lane's folder is named by a hash of everything that determines its result but the number of rounds, so that more
rounds continue from the last checkpoint. Deleting the store, or any part of it, is always safe.
"""

import hashlib
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from benchmark.federation.engine import State
from benchmark.federation.training import Record
from benchmark.files import atomic, sweep
from benchmark.lock import held

KEPT = 2
"""Checkpoints kept per lane: the newest, and the one before it in case the newest is damaged."""


@dataclass(frozen=True)
class Store:
    """A folder of lanes."""

    folder: Path

    @contextmanager
    def hold(self, keys: Iterable[str]) -> Iterator[None]:
        """Keep other jobs from training these lanes; they wait, and then find them finished."""
        with ExitStack() as locks:
            for key in sorted(keys):  # In one order, so that no two jobs wait for each other.
                locks.enter_context(held(self._folder(key) / "lock", "a lane that this job wants too"))
                sweep(self._folder(key))
            yield

    def checkpoint(self, records: Mapping[str, Record]) -> None:
        """Keep lanes' states after a round, by key, and drop checkpoints no longer needed."""
        for key, record in records.items():
            self._save(self._path(key, "round", record.state.round), record)
            for path in self._checkpoints(key)[KEPT:]:
                path.unlink(missing_ok=True)

    def finish(self, key: str, record: Record) -> None:
        """Keep a lane's result after its last round."""
        self._save(self._path(key, "final", record.state.round), record)

    def finished(self, key: str, rounds: int) -> Record | None:
        """A lane's result after so many rounds, if it is known."""
        return _load(self._path(key, "final", rounds))

    def checkpoints(self, key: str, rounds: int) -> dict[int, Record]:
        """A lane's sound checkpoints that are not beyond so many rounds, by round, the newest first."""
        paths = [path for path in self._checkpoints(key) if path <= self._path(key, "round", rounds)]
        return {record.state.round: record for path in paths if (record := _load(path))}

    def _folder(self, key: str) -> Path:
        return self.folder / key[:2] / key

    def _path(self, key: str, kind: str, round: int) -> Path:
        return self._folder(key) / f"{kind}={round:06d}.safetensors"

    def _checkpoints(self, key: str) -> list[Path]:
        return sorted(self._folder(key).glob("round=*.safetensors"), reverse=True)

    def _save(self, path: Path, record: Record) -> None:
        tensors = {
            f"{kind}:{name}": tensor.detach().cpu().contiguous()
            for kind, held in {**record.state.kinds, "common": record.common}.items()
            for name, tensor in held.items()
        }
        tensors |= {f"counts:{client}": own.contiguous() for client, own in record.counts.items()}
        about = json.dumps(
            {
                "round": record.state.round,
                "history": list(record.history),
                "seconds": record.seconds,
                "together": list(record.together),
            },
            sort_keys=True,
        )
        with atomic(path) as temporary:
            temporary.write_bytes(save(tensors, {"about": about, "digest": _digest(tensors, about)}))


def _load(path: Path) -> Record | None:
    """Read a record; one that is damaged is set aside, named, and counts as absent."""
    if not path.is_file():
        return None
    try:
        return _parsed(path)
    except FileNotFoundError:  # Pruned meanwhile.
        return None
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError) as error:
        aside = path.with_suffix(".damaged")
        path.replace(aside)
        print(f"{path}: damaged ({error}); set aside as {aside.name}, the work is done again", file=sys.stderr)
        return None


def _parsed(path: Path) -> Record:
    """The record that a sound file holds."""
    with safe_open(path, framework="pt") as stream:
        metadata = stream.metadata()
        tensors = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118
    if _digest(tensors, metadata["about"]) != metadata["digest"]:
        raise ValueError("its content does not match its hash")
    about = json.loads(metadata["about"])
    held: dict[str, dict[str, Tensor]] = {"params": {}, "memory": {}, "optimiser": {}, "counts": {}, "common": {}}
    for name, tensor in tensors.items():
        kind, _, leaf = name.partition(":")
        held[kind][leaf] = tensor
    counts, common = held.pop("counts"), held.pop("common")
    state = State(about["round"], **held)
    return Record(state, about["history"], about["seconds"], about["together"], counts, common)


def _digest(tensors: Mapping[str, Tensor], about: str) -> str:
    found = hashlib.sha256(about.encode())
    for name in sorted(tensors):
        found.update(name.encode())
        found.update(tensors[name].contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()
