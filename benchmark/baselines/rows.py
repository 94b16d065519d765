"""Which rows of a comparison are taken from the reference, and why the others are trained all the same.

Which job makes a row follows from what is known before anything is downloaded, since a plan may not change while it is
carried out. A row that may be taken, but turns out to have been made from other images, is trained by that very job.
"""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from benchmark.baselines import match
from benchmark.config import Config
from benchmark.files import digest, sha256
from benchmark.sources import code, engine, fingerprint_of

Row = tuple[str, str]
"""A federation and a method."""


@dataclass(frozen=True)
class Baselines:
    """The rows that are kept with the project, as one comparison sees them.

    Attributes:
        asked: Whether rows are to be taken from the reference: `baselines: reference`.
        rows: Every row of the comparison.
        results: The folder of its results.
        kept: Pattern of the archive that keeps a row, over the wildcards `federation` and `method`.
        files: Patterns of all that an archive must hold, likewise.
        hashes: Hashes of what decides a row now, by the names in `match.DECIDES`.
        found: What it would be made from, see `match.found`; an OSError before that is here.
        served: Federations whose models serve hospitals outside.
    """

    asked: bool
    rows: Sequence[Row]
    results: str
    kept: str
    files: Sequence[str]
    hashes: Callable[[str, str], Mapping[str, str]]
    found: Callable[[str], tuple[Mapping[str, str], str]]
    served: Collection[str] = ()

    @cached_property
    def unused(self) -> dict[Row, str]:
        """Where rows are to be taken from the reference, why some are trained all the same."""
        found = {row: self._fault(*row) for row in self.rows} if self.asked else {}
        return {row: fault for row, fault in found.items() if fault}

    @cached_property
    def taken(self) -> list[Row]:
        """Rows that are taken from the reference."""
        return [row for row in self.rows if row not in self.unused] if self.asked else []

    @cached_property
    def trained(self) -> list[Row]:
        """Rows that are trained here."""
        return [row for row in self.rows if row in self.unused or not self.asked]

    @cached_property
    def otherwise(self) -> dict[Row, str]:
        """Of the rows that may be taken, why some are trained by the job that would take them, as far as is known."""
        found = {row: self._made_from_other(*row) for row in self.taken}
        return {row: fault for row, fault in found.items() if fault}

    @property
    def announcement(self) -> list[str]:
        """Where rows are to be taken from the reference, a line for every row: where it is from, and why."""
        faults = {**self.otherwise, **self.unused}
        origins = {row: "taken from the reference" for row in self.taken} | {
            row: f"trained: {fault}" for row, fault in faults.items()
        }
        return [
            f"baselines=reference: {method} on {federation} is {origin}"
            for (federation, method), origin in origins.items()
        ]

    def archive(self, federation: str, method: str) -> str:
        """The hash of the archive that keeps a row."""
        return sha256(Path(self.kept.format(federation=federation, method=method)))

    def decides(self, federation: str, method: str) -> str:
        """Hashes of what decides a row, known before anything is downloaded, as JSON."""
        return json.dumps(self.hashes(federation, method), sort_keys=True)

    def _fault(self, federation: str, method: str) -> str:
        if federation in self.served:
            return "its models serve a hospital outside, and none are kept"
        path, *files = (pattern.format(federation=federation, method=method) for pattern in (self.kept, *self.files))
        names = [file.removeprefix(f"{self.results}/") for file in files]
        return match.fault(Path(path), self.hashes(federation, method), names)

    def _made_from_other(self, federation: str, method: str) -> str:
        path = Path(self.kept.format(federation=federation, method=method))
        try:
            fault = match.other(match.about(path), *self.found(federation))
        except OSError:
            return ""
        return f"{path} was made from {fault}" if fault else ""


def hashes(config: Config, training: str, method_file: str, data: Sequence[Any], task: str) -> dict[str, str]:
    """What decides a row, by the names in `match.DECIDES`.

    Args:
        config: The configuration.
        training: Settings of the row's `train` job, as JSON.
        method_file: The method's file, from the project's root.
        data: What the pack's images follow from: dataset, options and settings of packing.
        task: What is learned, which says what a test is worth.

    Returns:
        A hash for each name.
    """
    settings, weights = json.loads(training), config.backbone.weights
    own = settings.pop("method"), settings.pop("method_settings")
    del settings["variant"]
    protocol = {
        "training": settings,
        "data": data,
        # A file's place does not count: its content is compared when the row is taken.
        "weights": weights if weights in ("hub", "drawn") else "file",
        "selection": config.selection.model_dump(),
    }
    return {
        "protocol": digest(protocol),
        "method": digest([fingerprint_of(method_file), own[1]]),
        "engine": engine(config.backbone.network, task),
        "evaluation": code("benchmark.evaluation.select", "benchmark.evaluation.evaluate", f"benchmark.tasks.{task}"),
    }
