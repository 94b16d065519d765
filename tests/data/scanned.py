"""Drawn volumes in the formats of the real datasets, for tests."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import nibabel as nib
import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image

KITS_CASES = 3
"""Patients of each site that are drawn: two for training, one for testing."""


def volume(seed: int, shape: tuple[int, int, int] = (14, 12, 3)) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.uint8]]:
    """Intensities and labels 0, 1, 2 on the axes right, anterior, superior; the last slice shows nothing."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(shape, dtype=np.uint8)
    labels[3:9, 3:9, : shape[2] - 1] = 1
    labels[5:7, 5:7, : shape[2] - 1] = 2
    return (rng.integers(-200, 200, shape) + 300 * labels.astype(int)).astype(np.int16), labels


def save(file: Path, content: npt.NDArray[np.generic], axes: str = "IPL", offset: float = 0.0) -> None:
    """A NIfTI file whose axes point where they are said to; all of it may lie some millimetres to the right."""
    ornt = nib.orientations
    turned = ornt.ornt_transform(ornt.axcodes2ornt("RAS"), ornt.axcodes2ornt(axes))
    file.parent.mkdir(parents=True, exist_ok=True)
    affine = np.diag([0.8, 0.8, 3, 1])
    affine[0, 3] = offset
    nib.save(nib.Nifti1Image(content, affine).as_reoriented(turned), file)


KITS_FILES: dict[str, Callable[[str], tuple[str, str]]] = {
    "clone": lambda name: (f"data/{name}/imaging.nii.gz", f"data/{name}/segmentation.nii.gz"),
    "nnunet": lambda name: (
        f"nnUNet_raw_data/Task064_KiTS_labelsFixed/imagesTr/{name}_0000.nii.gz",
        f"nnUNet_raw_data/Task064_KiTS_labelsFixed/labelsTr/{name}.nii.gz",
    ),
    "flat": lambda name: (f"{name}_imaging.nii.gz", f"{name}_segmentation.nii.gz"),
}
"""By layout: where the image and the labels of a case lie."""


def kits_split() -> pd.DataFrame:
    """Rows in the format of FLamby's `thresholded_sites.csv`."""
    rows = []
    for site in range(6):
        for number in range(KITS_CASES):
            split = "test" if number == KITS_CASES - 1 else "train"
            rows.append((f"case_{10 * site + number:05}", site, split, f"{split}_{site}"))
    return pd.DataFrame(rows, columns=["case_ids", "site_ids", "train_test_split", "train_test_split_silo"])


def kits(folder: Path, layout: str = "clone") -> Path:
    """A folder that `fed_kits19` reads."""
    folder.mkdir(parents=True, exist_ok=True)
    split = kits_split()
    split.to_csv(folder / "thresholded_sites.csv", index=False)
    for number, name in enumerate(split["case_ids"]):
        for file, content in zip(KITS_FILES[layout](name), volume(number), strict=True):
            save(folder / file, content)
    return folder


IXI_SITES = ("Guys", "HH", "IOP")


def ixi(folder: Path) -> Path:
    """A folder that `fed_ixi` reads: four heads of each hospital, and FLamby's table of patients."""
    rows = []
    for site, name in enumerate(IXI_SITES):
        for number in range(4):
            patient = 100 * site + number + 2
            place, (image, labels) = folder / f"IXI_sample/IXI{patient:03}-{name}-{800 + number:04}", volume(patient)
            save(place / f"T1/{place.name}_image.nii.gz", image, "LAS")
            save(place / f"label/{place.name}_label.nii.gz", labels.clip(max=1), "LAS")
            rows.append((patient, site, "test" if number == 3 else "train"))
    table = pd.DataFrame(rows, columns=["Patient ID", "Manufacturer", "Split"])
    table.to_csv(folder / "metadata_tiny.csv", index=False)
    return folder


PROSTATES = {
    **{"RUNMC": (3, 4, 6), "ISBI_1.5": (8, 9, 16), "I2CVB": (13, 1, 6)},
    **{"UCL": (1, 26, 33), "BIDMC": (0, 2, 3), "HK": (38, 39, 45)},
}
"""Patients of each site that are drawn: some to train and some to test on, in FLAP-SAM's lists and in IOP-FL's."""


def prostate(folder: Path, sites: Mapping[str, Sequence[int]] = PROSTATES) -> Path:
    """A folder that `prostate` reads; two sites have zones."""
    for site, numbers in sites.items():
        for number in numbers:
            image, labels = volume(number)
            zones = labels if site in ("RUNMC", "ISBI_1.5") else labels.clip(max=1)
            word = "Segmentation" if site in ("BIDMC", "UCL") else "segmentation"
            save(folder / f"{site}/Case{number:02}.nii.gz", image, "LPS")
            save(folder / f"{site}/Case{number:02}_{word}.nii.gz", zones, "LPS")
    return folder


def fundus(folder: Path) -> Path:
    """A folder that `fundus` reads: in masks the cup is black, the rim grey, the background white."""
    rng = np.random.default_rng(0)
    for number in range(1, 5):
        for split, count in (("train", 5), ("test", 2)):
            for kind in ("image", "mask"):
                (folder / f"Domain{number}/{split}/ROIs/{kind}").mkdir(parents=True)
            for image in range(count):
                place, name = folder / f"Domain{number}/{split}/ROIs", f"{split}{image}.png"
                mask = np.full((40, 40), 255, dtype=np.uint8)
                mask[8:30, 8 : 20 + image] = 128
                mask[12:20, 12:18] = 0
                Image.fromarray(rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(place / "image" / name)
                Image.fromarray(mask).convert("RGB" if number == 2 else "L").save(place / "mask" / name)
    return folder
