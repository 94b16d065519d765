"""Retinal vessels: four public collections of fundus photographs with the first observer's outlines of the vessels.

DRIVE (Staal et al. 2004, Netherlands), CHASE_DB1 (Fraz et al. 2012, children in England), STARE (Hoover et al. 2000,
USA; the second observer's labels, `vk`, as most papers use) and HRF (Budai et al. 2013, Germany and Czech Republic).
Nothing is downloaded: the terms of DRIVE and STARE allow research and no copies.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import pandas as pd

from benchmark.data.dataset import Client, DataError, Dataset, Licence, Request, positions, present, read_rows
from benchmark.data.extract import extract

ARCHIVE, INDEX = "retinal_vessels.tar", "index.csv"
COLUMNS = ("site", "name", "split", "patient")


class RetinalVessels(Dataset):
    """A folder with `index.csv` (site, name, split, patient), `images/{name}.jpg` and `masks/{name}.png`."""

    name: ClassVar[str] = "retinal_vessels"
    title: ClassVar[str] = "Retinal vessels"
    # Of HRF's 45 images, three masks are not in the copy that this layout was made of.
    clients: ClassVar[tuple[Client, ...]] = (
        Client("0", "DRIVE", 40),
        Client("1", "CHASE_DB1", 28),
        Client("2", "STARE", 20),
        Client("3", "HRF"),
    )
    classes: ClassVar[tuple[str, ...]] = ("background", "vessel")
    licence: ClassVar[Licence] = Licence(
        "retinal_vessels", "research use; cite each collection", "https://drive.grand-challenge.org"
    )
    homepage: ClassVar[str] = "https://drive.grand-challenge.org"
    task: ClassVar[str] = "segmentation"
    group_name: ClassVar[str] = "patients"
    protocols: ClassVar[Mapping[str, str]] = {
        "patient_disjoint": "DRIVE's own split (20 and 20); the others have none: CHASE_DB1 by child (20 and 8 eyes), "
        "STARE 15 and 5, of HRF the first five images of each kind for training. Scores are of scaled images.",
    }

    def locate(self, request: Request) -> Path | None:
        """`source` where it holds the images, else what its archive was unpacked to."""
        if request.source is not None and (request.source / "images").is_dir():
            return request.source
        place = _unpacked(request)
        return place if place.is_dir() else None

    def prepare(self, request: Request) -> Path:
        """Use `source` in place where it holds the images, else unpack its archive."""
        self.chosen_options(request.options)
        if root := self.locate(request):
            return root
        source = request.source
        if source is None or not (source / ARCHIVE).is_file():
            raise DataError(
                f"{self.name}: nothing is downloaded: set `federations.{self.name}.source` to a folder that holds "
                f"{INDEX} and, beside it, images/ and masks/ or {ARCHIVE}"
            )
        # The index is read where it stands: what it says may be mended without unpacking anew.
        read_rows(source / INDEX, COLUMNS)
        extract(source / ARCHIVE, _unpacked(request))
        (_unpacked(request) / INDEX).write_bytes((source / INDEX).read_bytes())
        return _unpacked(request)

    def index(self, root: Path, protocol: str, split_seed: int) -> pd.DataFrame:
        """The rows of `index.csv`; both eyes of a child of CHASE_DB1 are one group."""
        rows = read_rows(root / INDEX, COLUMNS)
        sites = positions(rows["site"], [client.name for client in self.clients], root / INDEX)
        table = pd.DataFrame(
            {
                "sample": rows["name"],
                "client": sites.astype(str),
                "group": rows["site"] + "/" + rows["patient"],
                "split": rows["split"],
                "path": "images/" + rows["name"] + ".jpg",
                "target": "masks/" + rows["name"] + ".png",
            }
        )
        return present(table, root, self.name)


def _unpacked(request: Request) -> Path:
    return request.folder / ARCHIVE.removesuffix(".tar")


DATASET = RetinalVessels()
