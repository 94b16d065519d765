"""Fed-HAM10000: the four sites of HAM10000, 10,015 images, as they stand in Fed-ISIC2019.

Half of Fed-ISIC2019 is HAM10000 (Tschandl et al. 2018), which many groups already have. Clients keep their
numbers.
"""

import os
import shutil
import tarfile
from pathlib import Path
from typing import ClassVar

from benchmark.data.dataset import Client, DataError, Licence, Request
from benchmark.data.datasets.fed_isic2019 import IMAGES, LESION_FILES, SPLIT_FILES, FedIsic2019

ARCHIVE = "ham10000_images.tar"


class FedHam10000(FedIsic2019):
    """Four sites of Fed-ISIC2019, read by the same code."""

    name: ClassVar[str] = "fed_ham10000"
    title: ClassVar[str] = "Fed-HAM10000"
    clients: ClassVar[tuple[Client, ...]] = tuple(c for c in FedIsic2019.clients if c.id in ("1", "2", "3", "5"))
    licence: ClassVar[Licence] = Licence("ham10000", "CC BY-NC 4.0", "https://doi.org/10.7910/DVN/DBW86T")
    homepage: ClassVar[str] = "https://doi.org/10.7910/DVN/DBW86T"

    def prepare(self, request: Request) -> Path:
        """Use `source` in place where it holds the images, or extract its archive into `folder`."""
        self.chosen_options(request.options)
        folder, source = request.folder, request.source
        if source is None:
            raise DataError(
                f"{self.name}: nothing is downloaded: set `federations.{self.name}.source` to a folder that "
                f"holds {IMAGES}/ or {ARCHIVE}, and beside it FLamby's split file and HAM10000_metadata.csv"
            )
        if not (source / IMAGES).is_dir() and (source / ARCHIVE).is_file():
            if not self._is_complete(folder):
                _extract(source, folder)
            source = folder
        self._rows(source)
        return source


def _extract(source: Path, folder: Path) -> None:
    """Extract the archive into `folder` and copy the tables beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with tarfile.open(source / ARCHIVE) as archive:
            archive.extractall(folder, filter="data")
    except (tarfile.TarError, OSError) as error:
        raise DataError(f"{source / ARCHIVE}: cannot be extracted into {folder} ({error})") from None
    for name in SPLIT_FILES + LESION_FILES:
        if os.path.isfile(source / name):
            shutil.copyfile(source / name, folder / name)


DATASET = FedHam10000()
