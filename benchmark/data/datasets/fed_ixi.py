"""Fed-IXI (Tiny): magnetic resonance of 566 heads from three hospitals of London, the brain outlined.

IXI Tiny (Perez-Garcia et al. 2021, TorchIO) holds small T1 volumes of the IXI collection; FLamby (Ogier du Terrail et
al. 2022) splits it by hospital. Its table of patients is read as data. FLamby scales volumes to 48 x 60 x 48; here
their slices are packed as they are stored, like those of any volume.
"""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import pandas as pd

from benchmark.data import flamby, volumes
from benchmark.data.dataset import Client, DataError, Licence, Request, positions, read_rows, some
from benchmark.data.download import DownloadError, Wanted, download
from benchmark.data.extract import extract
from benchmark.data.scans import Scan, Scans
from benchmark.data.volumes import Case
from benchmark.files import atomic

METADATA = "metadata_tiny.csv"
PACKAGED = f"flamby/datasets/fed_ixi/metadata/{METADATA}"
METADATA_HASH = "ad3a677659b162f48c5509e9c16a36d35a75f50b0cfb1461bbb183a1e9f61c46"
ADDRESS = "https://data.mendeley.com/public-api/zip/7kd5wj7v7p/download/3"
"""Of the archive. It has moved more than once: `mirrors` in the configuration are tried after it."""
FOLDER = "IXI_sample"
MEANING = {0: 0, 1: 1}


class FedIxi(Scans):
    """Three hospitals; slices of a head are one case."""

    name: ClassVar[str] = "fed_ixi"
    title: ClassVar[str] = "Fed-IXI (Tiny)"
    clients: ClassVar[tuple[Client, ...]] = (Client("0", "Guys"), Client("1", "HH"), Client("2", "IOP"))
    classes: ClassVar[tuple[str, ...]] = ("background", "brain")
    licence: ClassVar[Licence] = Licence(
        "ixi", "CC BY-SA 3.0", "https://brain-development.org/ixi-dataset/", must_be_accepted=True
    )
    homepage: ClassVar[str] = "https://brain-development.org/ixi-dataset/"
    protocols: ClassVar[Mapping[str, str]] = {
        "flamby": "FLamby's own split by patient; validation patients are cut off the training patients.",
    }

    def wanted(self) -> str:
        """The layout."""
        return (
            f"set `federations.{self.name}.source` to the folder of {FOLDER}/IXI002-Guys-0828/T1/*.nii.gz and "
            f"label/*.nii.gz, or name another address of the archive in `federations.{self.name}.mirrors`"
        )

    def scans(self, place: Path) -> Sequence[Scan]:
        """The patients of FLamby's table without those of absent hospitals; folders' names tell the hospital."""
        rows = self._rows(place)
        # Mendeley's archive has folders around it.
        folders = [f for depth in range(3) for f in place.glob("*/" * depth + FOLDER)]
        found = list(volumes.ixi(folders[0] if folders else place, MEANING))
        cases = {_number(case): case for case in found}
        if strange := [case.name for case in found if case.name.split("-")[1:2] != [rows.get(_number(case), ("",))[0]]]:
            raise DataError(
                f"{place}: holds {some(strange)}, which FLamby's {METADATA} lacks or has of another hospital; remove it"
            )
        clients, nowhere = {client.name: client.id for client in self.clients}, place / "absent"
        scans = []
        for number, (site, split) in rows.items():
            case = cases.get(number) or Case(f"IXI{number:03}-{site}", nowhere, nowhere, MEANING)
            scans.append(Scan(case, clients[site], split))
        return self.whole(scans, place)

    def place(self, request: Request) -> Path | None:
        """`source`, or what was downloaded."""
        ours = _ours(request)
        return request.source or (ours if ours.is_dir() else None)

    def fetches(self, request: Request) -> bool:
        """Whether there is no copy yet."""
        return self.place(request) is None

    def fetch(self, request: Request) -> Path:
        """Download and unpack the archive, beside FLamby's table."""
        self.require_licence(request)
        folder, ours = request.folder, _ours(request)
        try:
            archive = download(Wanted([ADDRESS, *request.mirrors]), folder / f"{FOLDER}.zip")
            table = flamby.bring(PACKAGED, METADATA_HASH, folder / METADATA)
        except DownloadError as error:
            raise DataError(f"{error}; {self.wanted()}") from None
        # The archive's hash is not published: its files are counted, and only then it takes its name.
        unfinished = folder / ".unpacked"
        shutil.rmtree(unfinished, ignore_errors=True)
        extract(archive, unfinished)
        with atomic(unfinished / METADATA) as path:
            shutil.copyfile(table, path)
        held = {scan.client for scan in self.scans(unfinished)}
        if lacking := [client.name for client in self.clients if client.id not in held]:
            raise DataError(f"{archive}: holds no volume of {some(lacking)}; delete it and run again")
        unfinished.replace(ours)
        archive.unlink()
        return ours

    def _rows(self, place: Path) -> dict[int, tuple[str, str]]:
        """FLamby's table: by patient's number, the hospital and the split."""
        file = flamby.beside(place, PACKAGED)
        rows = read_rows(file, ["Patient ID", "Manufacturer", "Split"])
        sites = positions(rows["Manufacturer"], [client.id for client in self.clients], file)
        positions(rows["Split"], ["train", "test"], file)
        numbers = pd.to_numeric(rows["Patient ID"], errors="coerce")
        if numbers.isna().any() or numbers.duplicated().any():
            raise DataError(
                f"{file}: Patient ID must be a number, each once; fetch it from {flamby.ADDRESS}/{PACKAGED}"
            )
        names = [self.clients[site].name for site in sites]
        return dict(zip(numbers.astype(int), zip(names, rows["Split"], strict=True), strict=True))


def _number(case: Case) -> int:
    """A patient's number, -1 where the folder's name has none."""
    return int(case.name[3:6]) if case.name[3:6].isdecimal() else -1


def _ours(request: Request) -> Path:
    return request.folder / "ixi"


DATASET = FedIxi()
