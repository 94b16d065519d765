"""Fed-HAM10000: the four sites of HAM10000, 10,015 images, as they stand in Fed-ISIC2019.

Half of Fed-ISIC2019 is HAM10000 (Tschandl et al. 2018), which many groups already have. Clients keep their
numbers.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from benchmark.data.dataset import Client, DataError, Licence, Option, Request
from benchmark.data.datasets.fed_isic2019 import LESION_FILES, SPLIT_FILES, FedIsic2019
from benchmark.data.extract import extract
from benchmark.data.flamby import IMAGES

ARCHIVE = "ham10000_images.tar"


class FedHam10000(FedIsic2019):
    """Four sites of Fed-ISIC2019, read by the same code."""

    name: ClassVar[str] = "fed_ham10000"
    title: ClassVar[str] = "Fed-HAM10000"
    clients: ClassVar[tuple[Client, ...]] = tuple(c for c in FedIsic2019.clients if c.id in ("1", "2", "3", "5"))
    licence: ClassVar[Licence] = Licence("ham10000", "CC BY-NC 4.0", "https://doi.org/10.7910/DVN/DBW86T")
    homepage: ClassVar[str] = "https://doi.org/10.7910/DVN/DBW86T"

    options: ClassVar[Mapping[str, Option]] = {}

    def locate(self, request: Request) -> Path | None:
        """`source` where it holds the images, else what its archive was unpacked to."""
        if request.source is None or (request.source / IMAGES).is_dir():
            return request.source
        if _unpacked(request).is_dir():
            return _unpacked(request)
        return None if (request.source / ARCHIVE).is_file() else request.source

    def fetches(self, request: Request) -> bool:
        """Never: the images are a copy of the user's."""
        return False

    def remains(self, request: Request) -> str:
        """An archive that has not been unpacked."""
        archive = request.source / ARCHIVE if request.source else None
        return f"{archive} waits to be unpacked" if archive and archive.is_file() else ""

    def prepare(self, request: Request) -> Path:
        """Use `source` in place where it holds the images, else unpack its archive."""
        self.chosen_options(request.options)
        source, folder = request.source, _unpacked(request)
        if source is None:
            raise DataError(
                f"{self.name}: nothing is downloaded: set `federations.{self.name}.source` to a folder that "
                f"holds {IMAGES}/ or {ARCHIVE}, and beside it FLamby's split file and HAM10000_metadata.csv"
            )
        if not (source / IMAGES).is_dir() and not folder.is_dir() and (source / ARCHIVE).is_file():
            extract(source / ARCHIVE, folder)
            for name in SPLIT_FILES + LESION_FILES:
                if (source / name).is_file():
                    shutil.copyfile(source / name, folder / name)
        root = self.locate(request) or source
        self._rows(root)
        return root


def _unpacked(request: Request) -> Path:
    return request.folder / ARCHIVE.removesuffix(".tar")


DATASET = FedHam10000()
