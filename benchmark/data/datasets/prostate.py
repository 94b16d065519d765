"""Prostate: magnetic resonance of 116 patients of six sites, as SAML (Liu et al. 2020, MICCAI) put them together.

Sites A to F of FLAP-SAM and of IOP-FL are folders of `Case00.nii.gz` and `Case00_segmentation.nii.gz`. Two sites
outline two zones of the gland; they are merged, as both papers do. Nothing is downloaded.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

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
    protocols: ClassVar[Mapping[str, str]] = {
        "flap_sam": "By patient, the test patients that FLAP-SAM's released code lists; validation patients are cut "
        "off the training patients, where that code takes them from the test patients.",
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


DATASET = Prostate()
