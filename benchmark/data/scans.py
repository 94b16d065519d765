"""A dataset of volumes: the files of a folder, cut into slices once, case by case, and read as slices ever after.

Slices stand in a folder of the project's own; the volumes stay where they are and are not touched. An interruption
costs one case. The folder's name tells which files it was cut from, by what code: other volumes are cut anew.
"""

import math
import shutil
from abc import abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import nibabel as nib
import pandas as pd

from benchmark.data import volumes
from benchmark.data.dataset import DataError, Dataset, Raw, Request, present, some
from benchmark.data.disk import require_space
from benchmark.data.volumes import Case
from benchmark.files import digest, write_text
from benchmark.lock import held
from benchmark.sources import fingerprint

TABLE = "slices.csv"
"""Of every slice, what the index says of it."""
PER_VOXEL = 0.55
"""Bytes that a voxel takes as PNG, its label included: the most that a drawn tomography took (docs/data.md)."""


@dataclass(frozen=True)
class Scan:
    """A volume, whose it is, and what it is for.

    Attributes:
        case: Its files.
        client: The site's number as text.
        split: "train" or "test".
    """

    case: Case
    client: str
    split: str


class Scans(Dataset):
    """A dataset whose images are slices of volumes. Subclass it and write `scans`; a case is a patient."""

    task: ClassVar[str] = "segmentation"
    channels: ClassVar[int] = 1
    group_name: ClassVar[str] = "patients"
    patients: ClassVar[Mapping[str, int]] = {}
    """By client, of how many patients a complete copy has volumes, where no table names them."""

    @abstractmethod
    def scans(self, place: Path) -> Sequence[Scan]:
        """The volumes of a folder, by their files' names alone.

        Args:
            place: The user's folder, or one that was downloaded.

        Returns:
            All volumes of those clients that are present.

        Raises:
            DataError: The folder is not laid out as expected, or lacks volumes of a client that has others.
        """

    def place(self, request: Request) -> Path | None:
        """The folder of the volumes, which `scans` reads; None where there is none yet."""
        return request.source

    def fetch(self, request: Request) -> Path:
        """Bring the volumes into a folder for `scans`, where `place` knows none; most datasets are not downloaded."""
        raise DataError(f"{self.name}: nothing is downloaded: {self.wanted()}; see {self.homepage}")

    def wanted(self) -> str:
        """What a user's own copy looks like, for messages."""
        return f"set `federations.{self.name}.source` to a folder of volumes"

    def locate(self, request: Request) -> Path | None:
        """The slices, where they are cut; else the volumes."""
        place = self.place(request)
        if place is None:
            return None
        try:
            root = self._root(request, self.scans(place))
        except DataError:
            return place  # `index` says what is wrong with it.
        return root if root.is_dir() else place

    def remains(self, request: Request) -> str:
        """Partial downloads, and how many volumes are cut already."""
        cut = len(list(request.folder.glob(".slices-*.unfinished/cases/**/*.csv"))) if request.folder.is_dir() else 0
        return ", ".join(filter(None, [super().remains(request), f"{cut} volumes cut into slices" if cut else ""]))

    def raw(self, request: Request) -> Raw | None:
        """The volumes, until all of them are cut into slices."""
        try:
            place = self.place(request)
            scans = self.scans(place) if place else []
        except DataError:
            return None  # `index` says what is wrong with it.
        if not scans or self._root(request, scans).is_dir():
            return None
        clients = frozenset(scan.client for scan in scans)
        return Raw(clients, f"{len(scans)} volumes", "not yet cut into slices, which a run does")

    def incomplete(self, request: Request) -> dict[str, str]:
        """Clients of which the copy has fewer patients than there are."""
        try:
            place = self.place(request) if self.patients else None
            return self._fewer(self.scans(place)) if place else {}
        except DataError:
            return {}  # `index` says what is wrong with it.

    def prepare(self, request: Request) -> Path:
        """Cut the volumes of `source`, or those that are downloaded, unless that is done."""
        self.chosen_options(request.options)
        place = self.place(request) or self.fetch(request)
        scans = self.scans(place)
        if fewer := self._fewer(scans):
            told = f"{place} is not complete: {', '.join(fewer.values())}"
            print(f"{self.name}: {told}; the run goes without the others", flush=True)
        root = self._root(request, scans)
        root.parent.mkdir(parents=True, exist_ok=True)
        with held(root.with_name(f".{root.name}.lock"), f"the slices of {self.name}"):
            if not root.is_dir():
                self._cut(scans, root, request.threads)
        return root

    def index(self, root: Path, protocol: str, split_seed: int) -> pd.DataFrame:
        """Every slice; a volume is a case and a group."""
        if not (root / TABLE).is_file():
            found = self.scans(root)
            raise DataError(f"{self.name}: {root} holds {len(found)} volumes; a run cuts them into slices first")
        table = pd.read_csv(root / TABLE, dtype={"client": str, "sample": str, "case": str})
        return present(table.assign(group=table["case"]), root, self.name)

    def whole(self, scans: Sequence[Scan], place: Path) -> list[Scan]:
        """The scans of those clients that are present.

        Args:
            scans: Those that there should be.
            place: The folder, for messages.

        Returns:
            `scans` without the clients of which there is no image.

        Raises:
            DataError: There is no image at all, or a client's are there only in part, or labels are missing.
        """
        lacking = {scan.case.name: scan.client for scan in scans if not scan.case.image.is_file()}
        held = [scan for scan in scans if scan.case.name not in lacking]
        if not held:
            raise DataError(f"{self.name}: no volume found in {place}: {self.wanted()}")
        for client in sorted({scan.client for scan in held} & set(lacking.values())):
            names = [name for name, own in lacking.items() if own == client]
            raise DataError(
                f"{self.name}: {len(names)} volumes of client {client} are missing in {place}: {some(names)}; complete "
                "the copy, or remove the client's volumes altogether to go without it"
            )
        if bare := [scan.case.labels for scan in held if not scan.case.labels.is_file()]:
            raise DataError(f"{self.name}: {len(bare)} volumes have no labels: {some(bare)}; complete the copy")
        return held

    def _fewer(self, scans: Sequence[Scan]) -> dict[str, str]:
        """What of the patients of each client there is, by client, where some but not all are there."""
        there = Counter(scan.client for scan in scans)
        return {
            client.id: f"{there[client.id]} of {self.patients[client.id]} patients of client {client.id}, {client.name}"
            for client in self.clients
            if 0 < there[client.id] < self.patients.get(client.id, 0)
        }

    def _root(self, request: Request, scans: Sequence[Scan]) -> Path:
        """The folder of the slices, named after the files and the code that decide them."""
        known = []
        for scan in scans:
            files = [file.stat() for file in (scan.case.image, scan.case.labels)]
            known.append([scan.case.name, scan.client, scan.split, *([f.st_size, f.st_mtime_ns] for f in files)])
        return request.folder / f"slices-{digest([known, fingerprint([Path(volumes.__file__)])])[:16]}"

    def _cut(self, scans: Sequence[Scan], root: Path, threads: int) -> None:
        """Cut every volume that an earlier call has not cut, and give the folder its name once all are."""
        unfinished = root.with_name(f".{root.name}.unfinished")
        left = [scan.case for scan in scans if not (unfinished / f"cases/{scan.case.name}.csv").is_file()]
        needed = int(PER_VOXEL * sum(map(_voxels, left)))
        require_space(root.parent, needed, f"cutting {len(left)} volumes of {self.name} into slices")
        tables = []
        for number, scan in enumerate(scans, start=1):
            file = unfinished / f"cases/{scan.case.name}.csv"
            if not file.is_file():
                table = volumes.cut([scan.case], unfinished, threads)
                write_text(file, table.assign(client=scan.client, split=scan.split).to_csv(index=False))
                print(
                    f"{self.name}: {scan.case.name} cut into {len(table)} slices, {number} of {len(scans)}", flush=True
                )
            tables.append(pd.read_csv(file, dtype={"client": str, "sample": str, "case": str}))
        write_text(unfinished / TABLE, pd.concat(tables).to_csv(index=False))
        shutil.rmtree(unfinished / "cases")
        unfinished.replace(root)


def _voxels(case: Case) -> int:
    """Of a volume, as its header says; none where that cannot be read, which is told when it is cut."""
    try:
        return math.prod(nib.load(case.image).shape)
    except Exception:  # nibabel, gzip and zlib raise many kinds.
        return 0
