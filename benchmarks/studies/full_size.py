"""Both datasets at their true size and shape, with drawn pixels: what adopting, examining and packing them takes.

    python benchmarks/studies/full_size.py --split FILE --folder DIR

FILE is FLamby's split file; DIR needs about 20 GB, and may be deleted afterwards. Written are 23,247 rectangular JPEG
files of short side 224 in FLamby's layout, and 455,954 PNG files of 96x96 in WILDS' layout, these being hard links to
few distinct ones. Then, with `config/paper.yaml` and without a download: the doctor, the jobs that adopt both folders,
the jobs that pack them, and a dry run of the whole paper. Printed are the seconds, the most memory of any one process,
and the bytes on disk.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageOps

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmark.config import read
from benchmark.data.datasets.camelyon17 import FOLDER, METADATA, RELEASE
from benchmark.data.datasets.toy_slides import patches
from benchmark.data.drawn_lesion import draw_lesion
from benchmark.data.drawn_slide import SIDE, draw_slide
from benchmark.data.flamby import IMAGES, SHORT_SIDE, SPLIT
from benchmark.data.parallel import cores, in_batches
from benchmark.exact import Draws
from benchmark.plan import Plan

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "config" / "paper.yaml"
DISTINCT = 60  # drawn lesions that all others are mirrored and brightened from
LINKS = 200  # distinct patches of each hospital and class; a file can have some 65,000 links


def main() -> None:
    """Write both formats, run the jobs, print a table."""
    parser = argparse.ArgumentParser(description="Adopt, examine and pack both datasets at their true size.")
    parser.add_argument("--split", required=True, type=Path, help="FLamby's split file")
    parser.add_argument("--folder", required=True, type=Path, help="where to write; about 20 GB")
    parser.add_argument("--write", choices=["lesions", "patches"], help="do nothing but write one of the formats")
    given = parser.parse_args()
    data = given.folder.resolve() / "data"
    if given.write == "lesions":
        write_lesions(given.split, data / "fed_isic2019")
    elif given.write == "patches":
        write_patches(data / "camelyon17")
    else:
        measure(given.split, given.folder.resolve(), data)


def measure(split: Path, folder: Path, data: Path) -> None:
    """Write both formats, and run every job on them."""
    print("| step | seconds | peak memory |\n| :--- | ---: | ---: |")
    for title, name in (("Fed-ISIC2019's format", "lesions"), ("Camelyon17-WILDS' format", "patches")):
        write = [sys.executable, __file__, "--split", str(split.resolve()), "--folder", str(folder), "--write", name]
        measured(f"write {title}", write)
    plan = Plan.of(read(CONFIG, [f"data_root={data}"]))
    settings = ["--configfile", str(CONFIG), "--config", f"data_root={data}"]
    doctor = [sys.executable, "-m", "benchmark", "doctor", *settings]
    measured("doctor: both unverified", doctor, 1)
    for name, federation in plan.folders.items():
        command = ["--dataset", plan.dataset(federation), "--settings", plan.preparation(name)]
        target = ["--folder", str(data / name), "--output", str(data / name / "source.json")]
        measured(f"adopt {name}", [sys.executable, "-m", "benchmark.data.prepare", *command, *target])
    packed = 0
    for name, federation in plan.packs.items():
        output = folder / "packs" / name
        source = data / plan.data_folder(federation) / "source.json"
        command = ["--settings", plan.packing(name), "--source", str(source), "--output", str(output)]
        measured(f"pack {name}", [sys.executable, "-m", "benchmark.data.pack", *command])
        packed += sum(path.stat().st_size for path in output.iterdir())
    print(measured("doctor: both present", doctor, 1).stdout)
    measured("snakemake -n of config/paper.yaml", ["snakemake", "-n", "--quiet", "all", *settings])
    disk = subprocess.run(["du", "-sk", str(data)], capture_output=True, text=True, check=True).stdout.split()[0]
    print(f"\nOn disk: {int(disk) * 1024 / 1e9:.1f} GB as written (with hard links), {packed / 1e9:.1f} GB packed.")
    print(machine())


def write_lesions(split: Path, root: Path) -> None:
    """23,247 JPEG files of short side 224, of five shapes, in FLamby's layout, with its own split file."""
    (root / IMAGES).mkdir(parents=True, exist_ok=True)
    (root / SPLIT).write_bytes(split.read_bytes())
    table = pd.read_csv(split)
    drawn = [Image.fromarray(draw_lesion(n % 8, n % 6, Draws(0, n), Draws(1, n), SHORT_SIDE)) for n in range(DISTINCT)]
    # The real originals are squares, or of 4:3 and nearby.
    widths = (224, 298, 298, 336, 337)

    def one(item: tuple[int, str]) -> None:
        number, name = item
        picture = drawn[number % DISTINCT].resize((widths[number % len(widths)], SHORT_SIDE))
        picture = ImageOps.mirror(picture) if number // DISTINCT % 2 else picture
        picture = picture.point([min(255, value + number // DISTINCT % 16) for value in range(256)] * 3)
        picture.save(root / IMAGES / f"{name}.jpg", quality=90)

    for _ in in_batches(one, list(enumerate(table["image"])), cores(), 1024, "write"):
        pass


def write_patches(root: Path) -> None:
    """455,954 PNG files of 96x96 in WILDS' layout, and its metadata with the published totals of every hospital."""
    columns = ["patient", "node", "x_coord", "y_coord", "tumor", "slide", "center", "split"]
    table = pd.DataFrame(patches(1.0, 0), columns=columns)
    pool = root / ".distinct"
    pool.mkdir(parents=True, exist_ok=True)
    for hospital in range(5):
        for label in range(2):
            for number in range(LINKS):
                keys = (hospital, label, number)
                pixels = draw_slide(bool(label), hospital, Draws(0, *keys), Draws(1, *keys), SIDE)
                Image.fromarray(np.asarray(pixels)).save(pool / f"{hospital}_{label}_{number}.png")
    made: set[Path] = set()
    for row, (patient, node, x, y, tumour, _, hospital, _) in enumerate(table.itertuples(index=False)):
        name = f"patient_{patient}_node_{node}"
        folder = root / FOLDER / "patches" / name
        if folder not in made:
            folder.mkdir(parents=True, exist_ok=True)
            made.add(folder)
        os.link(pool / f"{hospital}_{tumour}_{row % LINKS}.png", folder / f"patch_{name}_x_{x}_y_{y}.png")
    table.to_csv(root / METADATA)
    (root / RELEASE).touch()


def measured(title: str, command: Sequence[str], allowed: int = 0) -> subprocess.CompletedProcess[str]:
    """Run a command as a process of its own, and print how long it took and the most memory that it held.

    A child's peak begins with its parent's: what calls this stays small. The command may end with 0 or `allowed`.
    """
    began = time.perf_counter()
    report = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    said = report.stdout.read() if report.stdout else ""
    _, status, usage = os.wait4(report.pid, 0)
    code = os.waitstatus_to_exitcode(status)
    if code not in (0, allowed):
        raise SystemExit(f"{title} failed with {code}:\n{said}")
    print(f"| {title} | {time.perf_counter() - began:.0f} | {usage.ru_maxrss / 1024:.0f} MiB |", flush=True)
    return subprocess.CompletedProcess(command, code, said)


def machine() -> str:
    """Processor, versions and commit; to be asked last, as it imports torch, which would weigh on measurements."""
    from benchmark import provenance

    versions = ", ".join(f"{package} {version}" for package, version in provenance.versions().items())
    return f"{provenance.processor()}, {cores()} cores; {versions}; commit {provenance.commit()}"


if __name__ == "__main__":
    main()
