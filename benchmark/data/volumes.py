"""Volumes: read in one orientation, whoever wrote them, and cut into slices that are packed like any image.

NIfTI files say by an affine how their axes lie in the patient. `nibabel.as_closest_canonical` brings them all to the
axes right, anterior, superior; slices are then axial, whichever axis a hospital stored first. Intensities have no
common unit: each volume is clipped to its own 0.5th and 99.5th percentile and scaled to 256 levels, as a whole.
"""

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image

from benchmark.data.dataset import DataError, some
from benchmark.errors import one_line

PERCENTILES = (0.5, 99.5)
APART = 1e-3
"""How far two affines may be apart, in millimetres."""


@dataclass(frozen=True)
class Case:
    """One patient's volume.

    Attributes:
        name: Unique in its dataset; may hold slashes.
        image: The file of intensities.
        labels: The file of labels, on the same grid.
        meaning: By each value that the labels may have, the class's position.
    """

    name: str
    image: Path
    labels: Path
    meaning: Mapping[int, int]


def read(case: Case) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """A volume and its labels, slice by slice from the feet upwards, as one looks at them: anterior above.

    Args:
        case: The files.

    Returns:
        Intensities and positions of classes, both (slices, rows, columns).

    Raises:
        DataError: A file cannot be read, or both do not fit together; the message names the file.
    """
    (image, where), (labels, there) = _opened(case.image), _opened(case.labels)
    if image.shape != labels.shape:
        raise DataError(f"{case.labels}: has the shape {labels.shape}, but {case.image.name} has {image.shape}")
    if not np.allclose(where, there, rtol=0, atol=APART):
        raise DataError(
            f"{case.labels}: lies elsewhere in the patient than {case.image.name}: their affines differ by "
            f"{np.abs(where - there).max():.3g} mm"
        )
    if not np.isfinite(image).all():
        raise DataError(f"{case.image}: holds values that are not finite")
    classes, unknown = np.zeros(labels.shape, dtype=np.uint8), np.ones(labels.shape, dtype=bool)
    for value, position in case.meaning.items():
        here = labels == value
        classes[here] = position
        unknown &= ~here
    if unknown.any():
        found = [f"{value:g}" for value in np.unique(labels[unknown]).tolist()]
        raise DataError(f"{case.labels}: holds the labels {some(found)}; known are {some(sorted(case.meaning), 10)}")
    return _as_seen(_scaled(image)), _as_seen(classes)


def cut(cases: Iterable[Case], folder: Path, threads: int = 1) -> pd.DataFrame:
    """Write every slice of some volumes as a picture, and its labels as another.

    Args:
        cases: The volumes; one at a time is in memory.
        folder: Receives `slices/images/CASE/NUMBER.png` and `slices/masks/CASE/NUMBER.png`.
        threads: How many pictures are written at the same time.

    Returns:
        A row for each slice: sample, case, its position in the case, path, target, and whether its mask is empty.

    Raises:
        DataError: A volume cannot be used.
    """
    rows = []
    with ThreadPoolExecutor(threads) as pool:
        for case in cases:
            image, classes = read(case)
            places = [Path("slices", kind, case.name) for kind in ("images", "masks")]
            for place in places:
                (folder / place).mkdir(parents=True, exist_ok=True)
            files = [[str(place / f"{number:03}.png") for place in places] for number in range(len(image))]
            contents = [content for pair in zip(image, classes, strict=True) for content in pair]
            list(pool.map(_save, [folder / file for pair in files for file in pair], contents))
            for number, (pair, labels) in enumerate(zip(files, classes, strict=True)):
                rows.append((f"{case.name}/{number:03}", case.name, number, *pair, not labels.any()))
    return pd.DataFrame(rows, columns=["sample", "case", "position", "path", "target", "empty"])


# How those who publish volumes lay them out.


def kits(folder: Path, meaning: Mapping[int, int]) -> Iterator[Case]:
    """KiTS19: `case_00000/imaging.nii.gz` and `segmentation.nii.gz`; stored (slice, row, column)."""
    for image in sorted(folder.glob("case_*/imaging.nii.gz")):
        yield Case(image.parent.name, image, image.with_name("segmentation.nii.gz"), meaning)


def kits_of_nnunet(folder: Path, meaning: Mapping[int, int]) -> Iterator[Case]:
    """KiTS19 as nnU-Net's raw data, FLamby's way: `imagesTr/case_00000_0000.nii.gz`, `labelsTr/case_00000.nii.gz`."""
    for image in sorted(folder.glob("imagesTr/case_*_0000.nii.gz")):
        name = image.name.removesuffix("_0000.nii.gz")
        yield Case(name, image, folder / f"labelsTr/{name}.nii.gz", meaning)


def kits_flat(folder: Path, meaning: Mapping[int, int]) -> Iterator[Case]:
    """KiTS19 in one folder: `case_00000_imaging.nii.gz` and `case_00000_segmentation.nii.gz`."""
    for image in sorted(folder.glob("case_*_imaging.nii.gz")):
        name = image.name.removesuffix("_imaging.nii.gz")
        yield Case(name, image, folder / f"{name}_segmentation.nii.gz", meaning)


def prostate(folder: Path, meaning: Mapping[int, int]) -> Iterator[Case]:
    """The prostate sites of SAML: `Case00.nii.gz` and `Case00_segmentation.nii.gz`; some write a capital S."""
    files = {path.name.lower(): path for path in sorted(folder.glob("*.nii.gz"))}
    for name, path in files.items():
        if not name.endswith("_segmentation.nii.gz"):
            own = name.replace(".nii.gz", "_segmentation.nii.gz")
            labels = files.get(own, path.with_name(path.name.replace(".nii.gz", "_segmentation.nii.gz")))
            yield Case(path.name.removesuffix(".nii.gz"), path, labels, meaning)


def ixi(folder: Path, meaning: Mapping[int, int]) -> Iterator[Case]:
    """IXI Tiny, unpacked: `IXI002-Guys-0828/T1/*.nii.gz` and `label/*.nii.gz`; the site stands in the name."""
    for image in sorted(folder.glob("IXI*/T1/*.nii.gz")):
        labels = sorted((image.parents[1] / "label").glob("*.nii.gz"))
        yield Case(image.parents[1].name, image, labels[0] if labels else image.parents[1] / "label", meaning)


def _opened(path: Path) -> tuple[npt.NDArray[Any], npt.NDArray[np.float64]]:
    """A volume on the axes right, anterior, superior, in the file's own numbers, and its affine."""
    try:
        found = nib.as_closest_canonical(nib.load(path))
        values = np.asanyarray(found.dataobj)
    except Exception as error:  # nibabel, gzip and zlib raise many kinds; all of them mean: no volume.
        reason = f"{type(error).__name__}: {one_line(error, 200)}"
        raise DataError(f"{path}: cannot be read ({reason}); fetch it again") from None
    if values.ndim != 3 or values.shape[2] < 2:
        raise DataError(f"{path}: has the shape {values.shape}; expected a volume of two slices or more")
    return values, np.asarray(found.affine, dtype=np.float64)


def _scaled(image: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Clipped to its percentiles, which are values that occur, and scaled to 0 to 255: the same bits on every CPU."""
    low, high = (float(value) for value in np.percentile(image, PERCENTILES, method="nearest"))
    scaled = np.empty(image.shape, dtype=np.uint8)
    for number in range(image.shape[2]):  # Slice by slice: in double precision a long scan would take gigabytes.
        clipped = np.clip(image[..., number].astype(np.float64), low, high) - low
        scaled[..., number] = np.floor(clipped * 255 / max(high - low, np.finfo(np.float64).tiny))
    return scaled


def _save(file: Path, content: npt.NDArray[np.uint8]) -> None:
    """As PNG, weakly compressed: noise barely shrinks, and Pillow's default takes four times as long for it."""
    Image.fromarray(content).save(file, compress_level=1)


def _as_seen(volume: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """(right, anterior, superior) to slices whose rows go from anterior to posterior: (superior, rows, right)."""
    return np.ascontiguousarray(volume.transpose(2, 1, 0)[:, ::-1])
