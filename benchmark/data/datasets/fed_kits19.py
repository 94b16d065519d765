"""Fed-KiTS19: tomographies of 96 patients, kidneys and tumours outlined, from six sites as FLamby defines them.

KiTS19 (Heller et al. 2019, arXiv 1904.00445) is the challenge's data; FLamby (Ogier du Terrail et al. 2022) keeps the
patients of the six sites that have ten or more, with a split of its own. Its split file is read as data, and none of
its readers is needed. Images are on the hub, masks in the challenge's own repository.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import pandas as pd

from benchmark.data import flamby, hub, volumes
from benchmark.data.dataset import Client, DataError, Licence, Request, positions, read_rows, some
from benchmark.data.disk import require_space
from benchmark.data.download import DownloadError, Wanted, download
from benchmark.data.scans import Scan, Scans
from benchmark.data.volumes import Case

SPLIT = "thresholded_sites.csv"
PACKAGED = f"flamby/datasets/fed_kits19/metadata/{SPLIT}"
SPLIT_HASH = "bc30414fe1fcb53dcc74cc8bf4904c3bea381df77c7afcab4233eb9edc9855d3"

IMAGES, REVISION = "neheller/KiTS-Challenge-Imaging", "65f1f295873a326230153c7e1de0c7dba10f0b29"
"""The challenge's repository of images on the hub, and its commit."""
MASKS = "https://raw.githubusercontent.com/neheller/kits19/456b293435b25303bbc7995f094f83a0afdff0eb/data"

MEANING = {0: 0, 1: 1, 2: 2}


class FedKits19(Scans):
    """Six sites; slices of a patient are one case."""

    name: ClassVar[str] = "fed_kits19"
    title: ClassVar[str] = "Fed-KiTS19"
    # Slices, as counted in the headers of the 96 masks.
    clients: ClassVar[tuple[Client, ...]] = (
        Client("0", "site A", 963),
        Client("1", "site B", 5155),
        Client("2", "site C", 5408),
        Client("3", "site D", 3507),
        Client("4", "site E", 1452),
        Client("5", "site F", 13596),
    )
    classes: ClassVar[tuple[str, ...]] = ("background", "kidney", "tumour")
    licence: ClassVar[Licence] = Licence(
        "kits19", "CC BY-NC-SA 4.0", "https://creativecommons.org/licenses/by-nc-sa/4.0/", must_be_accepted=True
    )
    homepage: ClassVar[str] = "https://github.com/neheller/kits19"
    protocols: ClassVar[Mapping[str, str]] = {
        "flamby": "FLamby's own split by patient; validation patients are cut off the training patients, where "
        "FLAP-SAM's code takes them from the test patients.",
    }

    def wanted(self) -> str:
        """The three layouts."""
        return (
            f"set `federations.{self.name}.source` to a clone of kits19 (data/case_00000/imaging.nii.gz and "
            "segmentation.nii.gz), to nnU-Net's raw data (imagesTr/case_00000_0000.nii.gz and labelsTr/), or to a "
            "folder of case_00000_imaging.nii.gz and case_00000_segmentation.nii.gz"
        )

    def scans(self, place: Path) -> Sequence[Scan]:
        """The 96 patients of FLamby's split file, those of absent sites left out."""
        rows = self._rows(place)
        found, nowhere = {case.name: case for case in _found(place)}, place / "absent"
        scans = [
            Scan(found.get(name, Case(name, nowhere, nowhere, MEANING)), client, split)
            for name, client, split in rows.itertuples(index=False)
        ]
        return self.whole(scans, place)

    def place(self, request: Request) -> Path | None:
        """`source`, or what was downloaded, once that is all of it."""
        if request.source is not None:
            return request.source
        ours = _ours(request)
        try:
            scans = self.scans(ours)
        except DataError:
            return None
        return ours if {scan.client for scan in scans} == {client.id for client in self.clients} else None

    def fetches(self, request: Request) -> bool:
        """Whether there is no copy yet."""
        return self.place(request) is None

    def remains(self, request: Request) -> str:
        """How many files of a download have arrived."""
        files = len(list(_ours(request).glob("data/case_*/*.nii.gz")))
        arrived = f"{files} of 192 files downloaded" if files and self.fetches(request) else ""
        return ", ".join(filter(None, [arrived, super().remains(request)]))

    def fetch(self, request: Request) -> Path:
        """Download the split, the images and the masks, in the layout of the challenge's own repository."""
        self.require_licence(request)
        place = _ours(request)
        try:
            flamby.bring(PACKAGED, SPLIT_HASH, place / SPLIT)
            names = self._rows(place)["case"].tolist()
            images = hub.listed(IMAGES, REVISION, "images", ".nii.gz")
            if lacking := [name for name in names if f"images/{name}.nii.gz" not in images]:
                raise DataError(f"{IMAGES}: holds no image of {some(lacking)}")
            wanted = {place / f"data/{name}/imaging.nii.gz": images[f"images/{name}.nii.gz"] for name in names}
            require_space(
                place, sum(w.size or 0 for file, w in wanted.items() if not file.exists()), f"the images of {self.name}"
            )
            for file, image in wanted.items():
                download(
                    Wanted([f"{MASKS}/{file.parent.name}/segmentation.nii.gz"]), file.with_name("segmentation.nii.gz")
                )
                download(image, file)
        except DownloadError as error:
            raise DataError(f"{error}; try again: it goes on from there; or {self.wanted()}") from None
        return place

    def _rows(self, place: Path) -> pd.DataFrame:
        """FLamby's split: case, client, split."""
        file = flamby.beside(place, PACKAGED)
        rows = read_rows(file, ["case_ids", "site_ids", "train_test_split"])
        sites = positions(rows["site_ids"], [client.id for client in self.clients], file)
        part = positions(rows["train_test_split"], ["train", "test"], file)
        if (twice := rows["case_ids"].duplicated()).any():
            again = some(rows.loc[twice, "case_ids"])
            raise DataError(f"{file}: lists {again} again; fetch it from {flamby.ADDRESS}/{PACKAGED}")
        return pd.DataFrame(
            {"case": rows["case_ids"], "client": sites.astype(str), "split": part.map({0: "train", 1: "test"})}
        )


def _found(place: Path) -> list[Case]:
    """The volumes of a folder, in the first layout that holds any."""
    layouts = [volumes.kits(place / "data", MEANING), volumes.kits(place, MEANING), volumes.kits_flat(place, MEANING)]
    # FLamby's are some folders down: nnUNet_raw_data_base/nnUNet_raw_data/Task064_KiTS_labelsFixed/imagesTr.
    layouts += [volumes.kits_of_nnunet(f.parent, MEANING) for d in range(5) for f in place.glob("*/" * d + "imagesTr")]
    return next(filter(None, map(list, layouts)), [])


def _ours(request: Request) -> Path:
    """Where a download lies, laid out as a clone of the challenge's repository."""
    return request.folder / "kits19"


DATASET = FedKits19()
