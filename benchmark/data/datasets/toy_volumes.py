"""Toy volumes: drawn scans of an organ with a lesion at three sites, written as three real datasets write theirs.

Every scan is an ellipsoid, the body, with an ellipsoid in it, the organ, with another in that, the lesion; a quarter of
the patients have none. Sites differ in contrast (one is inverted), in an uneven field, in noise, in the thickness of
slices, in how axes are stored, and in the layout of files. They are read by the readers of real volumes
(`benchmark.data.volumes`). All is drawn in integers: the same volumes on every CPU.
"""

import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import nibabel as nib
import numpy as np
import numpy.typing as npt
import pandas as pd

from benchmark.data import volumes
from benchmark.data.dataset import Client, DataError, Option, present
from benchmark.data.drawn import Drawn
from benchmark.data.extract import extract
from benchmark.exact import Draws

Volume = npt.NDArray[np.int64]

WIDTH = 192
"""Of the square field of view, in millimetres."""
HEIGHT = 60
"""Of what is scanned."""
TISSUES = (0, 400, 700, 1000)
"""Intensities of air, body, organ and lesion."""
CLASSES = ("background", "organ", "lesion")
SLICES = "slices.csv"
"""Of every slice, what the index says of it but its group."""


@dataclass(frozen=True)
class Site:
    """How a site scans and writes.

    Attributes:
        name: The site.
        train: Patients to train on.
        test: Patients to test on.
        thickness: Of a slice, in millimetres.
        inverted: Whether bright and dark change places within the body.
        field: How uneven the field is, from one side to the other, in thousandths.
        noise: Largest deviation of each of three draws that are added.
        zero: What air is written as.
        axes: Where the axes of the file point to.
        labels: How organ and lesion are written; of several values of the organ, one by each half.
    """

    name: str
    train: int
    test: int
    thickness: int
    inverted: bool
    field: int
    noise: int
    zero: int
    axes: str
    labels: tuple[tuple[int, ...], int]

    @property
    def meaning(self) -> dict[int, int]:
        """By each value of the labels, the class's position."""
        organ, lesion = self.labels
        return {0: 0, **dict.fromkeys(organ, 1), lesion: 2}


SITES = {
    "0": Site("drawn tomography", 12, 6, 3, False, 100, 40, -1000, "IPL", ((1,), 2)),
    "1": Site("drawn resonance", 9, 6, 4, True, 300, 60, 0, "LPS", ((1, 2), 3)),
    "2": Site("drawn low field", 6, 6, 5, False, 500, 110, 0, "LAS", ((1,), 2)),
}


class ToyVolumes(Drawn):
    """Three drawn sites, one in KiTS19's layout, one in that of the prostate sites, one in IXI's."""

    name: ClassVar[str] = "toy_volumes"
    title: ClassVar[str] = "Toy volumes"
    clients: ClassVar[tuple[Client, ...]] = tuple(Client(id, site.name) for id, site in SITES.items())
    classes: ClassVar[tuple[str, ...]] = CLASSES
    homepage: ClassVar[str] = "https://github.com/neheller/kits19"
    task: ClassVar[str] = "segmentation"
    channels: ClassVar[int] = 1
    group_name: ClassVar[str] = "patients"
    protocols: ClassVar[Mapping[str, str]] = {
        "patient_disjoint": "Drawn volumes; per site 12, 9 and 6 patients to train on, 6 for testing."
    }
    # scale: share of the patients to train on; side: of a slice in pixels; seed: of the drawing.
    options: ClassVar[Mapping[str, Option]] = {"scale": 1.0, "side": 96, "seed": 0}

    def check_options(self, options: Mapping[str, Option]) -> None:
        """See `Drawn.check_options`."""
        scale, side = float(options["scale"]), int(options["side"])
        if not 0 < scale <= 1 or not 32 <= side <= WIDTH:
            raise DataError(
                f"{self.name}: scale must lie in (0, 1] and side from 32 to {WIDTH}, got {scale} and {side}"
            )

    def draw(self, root: Path, options: Mapping[str, Option]) -> None:
        """Write volumes as real datasets do, then read them and cut them into slices."""
        scale, side, seed = float(options["scale"]), int(options["side"]), int(options["seed"])
        found = []
        for client, site in SITES.items():
            patients = [
                (split, number)
                for split, count in (("train", max(2, round(site.train * scale))), ("test", site.test))
                for number in range(count)
            ]
            scans = [_scan(site, side, (seed, client, *patient)) for patient in patients]
            cases = list(_WRITERS[client](root / "volumes", scans, site))
            splits = dict(zip([case.name for case in cases], [split for split, _ in patients], strict=True))
            table = volumes.cut(cases, root)
            found.append(table.assign(client=client, split=table["case"].map(splits)))
        pd.concat(found).to_csv(root / SLICES, index=False)

    def index(self, root: Path, protocol: str, split_seed: int) -> pd.DataFrame:
        """Every slice; a volume is a case and a group."""
        table = pd.read_csv(root / SLICES, dtype={"client": str})
        return present(table.assign(group=table["case"]), root, self.name)


def _scan(site: Site, side: int, key: Sequence[object]) -> tuple[Volume, Volume]:
    """Intensities and labels of one patient on the axes right, anterior, superior, (side, side, slices)."""
    draws = Draws("toy_volumes", *key)
    count = HEIGHT // site.thickness
    # In thousandths of a millimetre from the centre of what is scanned.
    step = 1000 * WIDTH // side
    across = (np.arange(side, dtype=np.int64) * 2 - side + 1) * step // 2
    along = (np.arange(count, dtype=np.int64) * 2 - count + 1) * (1000 * site.thickness) // 2
    places = (across[:, None, None], across[None, :, None], along[None, None, :])

    def ellipsoid(centre: Sequence[int], axes: Sequence[int]) -> npt.NDArray[np.bool_]:
        """Within the semi-axes: squares of thousandths, which are whole numbers, add up to less than a million."""
        parts = [((place - 1000 * c) // a) ** 2 for place, c, a in zip(places, centre, axes, strict=True)]
        return parts[0] + parts[1] + parts[2] < 1_000_000

    def around(middle: int, spread: int) -> int:
        return middle - spread + draws.below(2 * spread + 1)

    at = [around(0, 6), around(0, 6), 0]
    body = ellipsoid(at, [around(78, 8), around(62, 8), around(44, 6)])
    at = [at[0] + around(-22, 10), at[1] + around(4, 10), around(0, 5)]
    sizes = [around(30, 6), around(24, 5), around(20, 4)]
    organ = body & ellipsoid(at, sizes)
    within = [c + around(0, size // 3) for c, size in zip(at, sizes, strict=True)]
    lesion = organ & ellipsoid(within, [around(17, 3), around(17, 3), around(13, 2)])
    if draws.below(4) == 0:
        lesion = np.zeros_like(lesion)

    tissue = body.astype(np.int64) + organ + lesion
    values = np.array(TISSUES, dtype=np.int64)[tissue]
    if site.inverted:
        values = np.where(body, 1300 - values, values)
    slope = [around(0, site.field) for _ in range(3)]
    uneven = sum(own * place // (500 * WIDTH) for own, place in zip(slope, places, strict=True))
    values = values * (1000 + uneven) // 1000
    values = (
        values
        + np.floor((2 * site.noise + 1) * draws.random(3, *values.shape)).astype(np.int64).sum(0)
        - 3 * site.noise
    )
    organs, own = site.labels
    halves = np.where(places[0] < 1000 * at[0], organs[0], organs[-1])
    labels = np.where(lesion, own, np.where(organ, halves, 0))
    return np.maximum(values, 0) + site.zero, labels


def _write(path: Path, content: Volume, site: Site, kind: type[np.generic]) -> Path:
    """One file, its axes stored as the site stores them."""
    side = WIDTH / content.shape[0]
    image = nib.Nifti1Image(content.astype(kind), np.diag([side, side, site.thickness, 1]))
    ornt = nib.orientations
    turned = ornt.ornt_transform(ornt.axcodes2ornt("RAS"), ornt.axcodes2ornt(site.axes))
    path.parent.mkdir(parents=True, exist_ok=True)
    nib.save(image.as_reoriented(turned), path)
    return path


def _kits(folder: Path, scans: Sequence[tuple[Volume, Volume]], site: Site) -> Sequence[volumes.Case]:
    for number, (image, labels) in enumerate(scans):
        place = folder / f"kits/case_{number:05}"
        _write(place / "imaging.nii.gz", image, site, np.int16)
        _write(place / "segmentation.nii.gz", labels, site, np.uint8)
    return list(volumes.kits(folder / "kits", site.meaning))


def _prostate(folder: Path, scans: Sequence[tuple[Volume, Volume]], site: Site) -> Sequence[volumes.Case]:
    for number, (image, labels) in enumerate(scans):
        _write(folder / f"prostate/Case{number:02}.nii.gz", image, site, np.int16)
        _write(folder / f"prostate/Case{number:02}_Segmentation.nii.gz", labels, site, np.uint8)
    return list(volumes.prostate(folder / "prostate", site.meaning))


def _ixi(folder: Path, scans: Sequence[tuple[Volume, Volume]], site: Site) -> Sequence[volumes.Case]:
    archive = folder / "IXI_sample.zip"
    with zipfile.ZipFile(archive, "w") as zipped:
        for number, (image, labels) in enumerate(scans):
            name = f"IXI{number:03}-Drawn-{1000 + number}"
            for kind, content, dtype in (("T1", image, np.int16), ("label", labels, np.uint8)):
                path = _write(folder / f"unzipped/{name}/{kind}/{name}.nii.gz", content, site, dtype)
                zipped.write(path, f"IXI_sample/{name}/{kind}/{path.name}")
                path.unlink()
    extract(archive, folder / "ixi")
    return list(volumes.ixi(folder / "ixi/IXI_sample", site.meaning))


_WRITERS = {"0": _kits, "1": _prostate, "2": _ixi}

DATASET = ToyVolumes()
