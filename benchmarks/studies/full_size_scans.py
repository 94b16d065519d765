"""Fed-KiTS19 at its true size and shape, with drawn scans: what adopting, cutting and packing 30,081 slices takes.

    python -m benchmarks.studies.full_size_scans --split FILE --folder DIR

FILE is FLamby's split file, `thresholded_sites.csv`; DIR needs about 9 GB, and may be deleted afterwards. Written are
96 volumes in the layout of the challenge's own repository, of 512x512 pixels and with as many slices as a site's
patients have in the mean (real ones differ, and memory grows with the longest: one of 1,000 slices is measured by
itself); those of equal depth are hard links to one. Then, with `config/flap_sam.yaml` and without a
download: the doctor, the job that adopts the volumes and cuts them into slices, and the job that packs those. Printed
are the seconds, the most memory of any one process, and the bytes on disk.
"""

import argparse
import os
import sys
from collections import Counter
from pathlib import Path

import nibabel as nib
import numpy as np

from benchmark.config import read
from benchmark.data import volumes
from benchmark.data.datasets.fed_kits19 import DATASET, MEANING, SPLIT
from benchmark.data.parallel import cores, in_batches
from benchmark.plan import Plan
from benchmarks.studies.full_size import ROOT, machine, measured

CONFIG = ROOT / "config" / "flap_sam.yaml"
NAME = "fed_kits19"
SIDE, LONGEST = 512, 1000
AIR, TISSUE, NOISE = -1000, 40, 12  # Hounsfield units; a scanner's noise is most of what a file holds


def main() -> None:
    """Write the volumes, run the jobs, print a table."""
    parser = argparse.ArgumentParser(description="Adopt, cut and pack Fed-KiTS19 at its true size.")
    parser.add_argument("--split", required=True, type=Path, help="FLamby's split file, thresholded_sites.csv")
    parser.add_argument("--folder", required=True, type=Path, help="where to write; about 9 GB")
    parser.add_argument("--write", action="store_true", help="do nothing but write the volumes")
    parser.add_argument("--longest", action="store_true", help="do nothing but cut one long volume")
    given = parser.parse_args()
    data = given.folder.resolve() / "data"
    longest = given.folder.resolve() / "longest"
    if given.write:
        write(given.split, data / NAME / "kits19")
        save(scan(LONGEST), longest / "case_longest")
    elif given.longest:
        volumes.cut(volumes.kits(longest, MEANING), longest, cores())
    else:
        measure(given.split.resolve(), given.folder.resolve(), data)


def measure(split: Path, folder: Path, data: Path) -> None:
    """Write the volumes, and run every job on them."""
    print("| step | seconds | peak memory |\n| :--- | ---: | ---: |")
    here = [sys.executable, "-m", "benchmarks.studies.full_size_scans", "--split", str(split), "--folder", str(folder)]
    measured("write 96 volumes, 12 of them distinct", [*here, "--write"])
    plan = Plan.of(read(CONFIG, [f"data_root={data}"]))
    settings = ["--configfile", str(CONFIG), "--config", f"data_root={data}"]
    doctor = [sys.executable, "-m", "benchmark", "doctor", *settings]
    measured("doctor: volumes, not yet cut", doctor, 1)
    source, pack = data / NAME / "source.json", next(name for name, own in plan.packs.items() if own == NAME)
    job = [sys.executable, "-m", "benchmark.data.prepare", "--dataset", NAME, "--settings", plan.preparation(NAME)]
    measured("adopt and cut into 30,081 slices", [*job, "--folder", str(data / NAME), "--output", str(source)])
    job = [sys.executable, "-m", "benchmark.data.pack", "--settings", plan.packing(pack), "--source", str(source)]
    measured("pack at 224 px", [*job, "--output", str(folder / "packs")])
    measured("doctor: present", doctor, 1)
    measured(f"cut one volume of {LONGEST} slices", [*here, "--longest"])
    written, packed = size(data / NAME / "kits19") / 1e9, size(folder / "packs") / 1e9
    slices = sum(size(place) for place in (data / NAME).glob("slices-*")) / 1e9
    print(f"\nOn disk: {written:.1f} GB of volumes (each link counted), {slices:.1f} of slices, {packed:.1f} packed.")
    print(machine())


def write(split: Path, place: Path) -> None:
    """96 volumes of six sites, which have the sites' published numbers of slices in sum."""
    place.mkdir(parents=True, exist_ok=True)
    (place / SPLIT).write_bytes(split.read_bytes())
    sites = [line.split(",")[:2] for line in split.read_text().splitlines()[1:]]
    patients, seen = Counter(site for _, site in sites), Counter[str]()
    images = {client.id: client.images or 0 for client in DATASET.clients}
    links: dict[int, list[Path]] = {}
    for case, site in sites:
        depth = (images[site] * (seen[site] + 1)) // patients[site] - (images[site] * seen[site]) // patients[site]
        seen[site] += 1
        links.setdefault(depth, []).append(place / "data" / case)

    def one(depth: int) -> None:
        first, *others = links[depth]
        files = save(scan(depth), first)
        for folder in others:
            folder.mkdir(parents=True, exist_ok=True)
            for file in files:
                (folder / file.name).unlink(missing_ok=True)
                os.link(file, folder / file.name)

    for _ in in_batches(one, list(links), cores(), len(links), "write"):
        pass


def save(content: tuple[np.ndarray, np.ndarray], folder: Path) -> list[Path]:
    """Image and labels of one patient, as the challenge names and stores them: (slice, row, column)."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / "imaging.nii.gz", folder / "segmentation.nii.gz"]
    # Head to feet, then front to back, then left to right.
    affine = np.array([[0, 0, -0.8, 0], [0, -0.8, 0, 0], [-3.0, 0, 0, 0], [0, 0, 0, 1]])
    for file, values in zip(files, content, strict=True):
        nib.save(nib.Nifti1Image(values, affine), file)
    return files


def scan(depth: int) -> tuple[np.ndarray, np.ndarray]:
    """A trunk with two kidneys and a tumour: intensities (depth, 512, 512), int16, and labels, uint8."""
    draws = np.random.default_rng(depth)
    rows, columns = np.ogrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
    trunk = (columns / 0.85) ** 2 + (rows / 0.6) ** 2 < 1
    image = np.full((depth, SIDE, SIDE), AIR, dtype=np.int16)
    labels = np.zeros(image.shape, dtype=np.uint8)
    for number in range(depth):
        noise = draws.normal(0, NOISE, (SIDE, SIDE))
        image[number] = np.where(trunk, TISSUE + noise, AIR + noise / 4)
        height = 2 * number / depth - 1
        for side, radius, label in ((-0.35, 0.15, 1), (0.35, 0.15, 1), (0.42, 0.06, 2)):
            labels[number][(columns - side) ** 2 + (rows - 0.15) ** 2 + (height * 0.3) ** 2 < radius**2] = label
    image[labels > 0] += 60
    return image, labels


def size(folder: Path) -> int:
    """Bytes of the files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


if __name__ == "__main__":
    main()
