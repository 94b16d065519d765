"""Fed-HAM10000 lesions: the outline of the lesion in each of the 10,015 images of HAM10000's four sites.

The images are those of `fed_ham10000`, in the same folder; the masks are HAM10000's own (Tschandl et al. 2020, Nature
Medicine 26, doi 10.1038/s41591-020-0942-0), which stand beside the images on the Dataverse.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import pandas as pd

from benchmark.data.dataset import DataError, Request, present
from benchmark.data.datasets.fed_ham10000 import FedHam10000
from benchmark.data.extract import extract

MASKS = "HAM10000_segmentations_lesion_tschandl"
"""The folder of the masks, as the Dataverse's archive has it."""
ARCHIVES = {"ham10000_masks.tar": "masks", f"{MASKS}.zip": MASKS}
"""Archives of the masks, and the folder in each that holds them."""


class FedHam10000Lesions(FedHam10000):
    """The four sites of `fed_ham10000`, whose lesions are to be outlined."""

    name: ClassVar[str] = "fed_ham10000_lesions"
    title: ClassVar[str] = "Fed-HAM10000 lesions"
    classes: ClassVar[tuple[str, ...]] = ("background", "lesion")
    task: ClassVar[str] = "segmentation"
    protocols: ClassVar[Mapping[str, str]] = {
        "lesion_disjoint": "Our own split: per site a fifth of the images for testing, stratified by diagnosis, with "
        "no lesion on both sides. Images of 200 x 150 pixels or smaller are not comparable with published numbers.",
    }

    def prepare(self, request: Request) -> Path:
        """Images as in `fed_ham10000`; masks beside them, or out of their archive."""
        root = super().prepare(request)
        if _masks(root) is not None:
            return root
        source = request.source or root
        archive = next((source / name for name in ARCHIVES if (source / name).is_file()), None)
        if archive is None:
            raise DataError(
                f"{self.name}: {source} holds no masks: put {MASKS}/ or {MASKS}.zip there, from {self.homepage}"
            )
        # Beside images that are the user's own nothing is written: then both are linked in a folder of ours.
        place = request.folder / "masked"
        if not place.is_dir():
            unfinished = request.folder / ".masked.unfinished"
            shutil.rmtree(unfinished, ignore_errors=True)
            extract(archive, unfinished / "archive")
            (unfinished / "archive" / ARCHIVES[archive.name]).replace(unfinished / MASKS)
            shutil.rmtree(unfinished / "archive")
            for file in root.iterdir():
                (unfinished / file.name).symlink_to(file.resolve())
            unfinished.replace(place)
        return place

    def locate(self, request: Request) -> Path | None:
        """The folder with both."""
        place = request.folder / "masked"
        return place if place.is_dir() else super().locate(request)

    def index(self, root: Path, protocol: str, split_seed: int) -> pd.DataFrame:
        """The index of `fed_ham10000` with a mask for each image; what the lesions are is not learned."""
        folder = _masks(root)
        if folder is None:
            raise DataError(f"{self.name}: {root} holds no folder {MASKS}")
        table = super().index(root, protocol, split_seed)
        table["target"] = folder + "/" + table["sample"] + "_segmentation.png"
        return present(table.drop(columns="label"), root, self.name)


def _masks(root: Path) -> str | None:
    """The folder of masks below another, by its name."""
    return next((name for name in (MASKS, "masks") if (root / name).is_dir()), None)


DATASET = FedHam10000Lesions()
