"""Prostate: magnetic resonance of 116 patients of six sites, as SAML (Liu et al. 2020, MICCAI) put them together.

Sites A to F of FLAP-SAM and of IOP-FL are folders of `Case00.nii.gz` and `Case00_segmentation.nii.gz`. Two sites
outline two zones of the gland; they are merged, as both papers do. Nothing is downloaded.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pandas as pd

from benchmark.data import volumes
from benchmark.data.dataset import Client, DataError, Licence, some
from benchmark.data.scans import Scan, Scans

MEANING = {0: 0, 1: 1, 2: 1}
"""Of two zones, both are prostate."""
FOLDERS = (("RUNMC", "ISBI"), ("BMC", "ISBI_1.5"), ("I2CVB",), ("UCL",), ("BIDMC",), ("HK",))
"""What copies call each site's folder."""
CASES = (30, 30, 19, 13, 12, 12)
TEST = (
    (3, 8, 12, 15, 18, 26),
    (3, 8, 12, 15, 18, 26),
    (3, 8, 13, 15),
    (1, 32, 34),
    (0, 4, 9),
    (38, 41, 46),
)
"""By site, the numbers of the cases that FLAP-SAM tests on, as its released code lists them."""
IOP_FL = (
    {
        "train": (0, 1, 6, 8, 9, 11, 12, 14, 16, 18, 19, 20, 21, 22, 24, 25, 26, 27, 28),
        "validation": (2, 3, 10, 23, 29),
        "test": (4, 5, 7, 13, 15, 17),
    },
    {
        "train": (0, 1, 2, 4, 5, 6, 8, 9, 10, 11, 12, 13, 14, 15, 19, 21, 22, 23, 26),
        "validation": (7, 20, 24, 25, 28),
        "test": (3, 16, 17, 18, 27, 29),
    },
    {"train": (0, 1, 3, 5, 8, 9, 10, 11, 13, 15, 16, 17), "validation": (2, 4, 7), "test": (6, 12, 14, 18)},
    {"train": (1, 26, 27, 28, 29, 30, 31, 34), "validation": (32, 35), "test": (33, 36, 37)},
    {"train": (0, 2, 4, 5, 6, 11, 12), "validation": (7, 9), "test": (3, 8, 10)},
    {"train": (39, 40, 41, 42, 43, 46, 47), "validation": (38, 44), "test": (45, 48, 49)},
)
"""By site, the numbers of the cases in the lists that IOP-FL's released code ships (med-air/IOP-FL, commit 0f5fe60,
`dataset/Prostate/preprocessed/`)."""


class Prostate(Scans):
    """Six sites of a user's copy; slices of a patient are one case."""

    name: ClassVar[str] = "prostate"
    title: ClassVar[str] = "Prostate (six sites)"
    clients: ClassVar[tuple[Client, ...]] = tuple(Client(str(n), names[0]) for n, names in enumerate(FOLDERS))
    classes: ClassVar[tuple[str, ...]] = ("background", "prostate")
    licence: ClassVar[Licence] = Licence(
        "prostate", "by source (NCI-ISBI 2013, I2CVB, PROMISE12): research use", "https://liuquande.github.io/SAML/"
    )
    homepage: ClassVar[str] = "https://liuquande.github.io/SAML/"
    patients: ClassVar[Mapping[str, int]] = {str(n): count for n, count in enumerate(CASES)}
    protocols: ClassVar[Mapping[str, str]] = {
        "flap_sam": "By patient, the test patients that FLAP-SAM's released code lists; validation patients are cut "
        "off the training patients, where that code takes them from the test patients.",
        "iop_fl": "By patient, the patients to train, validate and test on that IOP-FL's released code lists.",
    }

    def wanted(self) -> str:
        """The layout."""
        return (
            f"set `federations.{self.name}.source` to a folder of {', '.join(client.name for client in self.clients)}, "
            "each with Case00.nii.gz and Case00_segmentation.nii.gz and so on"
        )

    def scans(self, place: Path) -> Sequence[Scan]:
        """The cases of every site's folder; a site without a folder is absent."""
        found = []
        for client, names, count, test in zip(self.clients, FOLDERS, CASES, TEST, strict=True):
            folder = next((place / name for name in names if (place / name).is_dir()), None)
            cases = list(volumes.prostate(folder, MEANING)) if folder else []
            numbers = {case.name: case.name.lower().removeprefix("case") for case in cases}
            if strange := [name for name, number in numbers.items() if not number.isdecimal()]:
                raise DataError(f"{folder}: holds {some(strange)}; expected Case and a number, .nii.gz")
            splits = {name: "test" if int(number) in test else "train" for name, number in numbers.items()}
            if cases and set(splits.values()) != {"train", "test"}:
                raise DataError(f"{folder}: holds {len(cases)} of {count} cases, none to train or none to test on")
            for case in cases:
                found.append(Scan(replace(case, name=f"{client.name}/{case.name}"), client.id, splits[case.name]))
        return self.whole(found, place)

    def index(self, root: Path, protocol: str, split_seed: int) -> pd.DataFrame:
        """Every slice, its patient being where the protocol's lists have him."""
        table = super().index(root, protocol, split_seed)
        if protocol != "iop_fl":
            return table
        split_of = {
            (client.id, number): split
            for client, lists in zip(self.clients, IOP_FL, strict=True)
            for split, numbers in lists.items()
            for number in numbers
        }
        numbers = table["case"].str.lower().str.rpartition("case")[2].astype("int64")
        splits = [split_of.get(own, "") for own in zip(table["client"], numbers, strict=True)]
        if unlisted := sorted({case for case, split in zip(table["case"], splits, strict=True) if not split}):
            raise DataError(
                f"{self.name}: IOP-FL's lists do not name {len(unlisted)} cases: {some(unlisted)}; number cases as "
                f"{self.homepage} does, or take the protocol `flap_sam`"
            )
        return table.assign(split=splits)


DATASET = Prostate()
