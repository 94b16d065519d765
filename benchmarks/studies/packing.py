"""How fast images become arrays, beside FLamby's own script: images per second and core.

    python benchmarks/studies/packing.py --flamby PATH [--images 96] [--repeats 5] [--real FOLDER]

PATH is FLamby's source, of which two files are run as they are. Original images of 1024x1024 pixels are drawn, as large
as those of the ISIC archive; `--real` adds the photographs of a folder in FLamby's layout. Nothing is downloaded.

Two comparisons, taken in turn and repeated. `one core`: FLamby's function and ours for the same files, each in this
process with one thread, so that neither start-up nor parallelism counts. `whole step`: FLamby's script and our job on
all cores of the machine, from starting the interpreter to the last file. Both sides write JPEG files of short side 224
with colour constancy; how far they differ is printed beside how far saving them as JPEG moves FLamby's pixels.
"""

import argparse
import os
import runpy
import shutil
import statistics
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmark import provenance
from benchmark.data.drawn_lesion import draw_lesion
from benchmark.data.flamby import IMAGES, RAW, SCRIPTS, RawImages, preprocess_all
from benchmark.data.parallel import cores, in_batches
from benchmark.data.picture import decode
from benchmark.exact import Draws

SIDE = 1024  # pixels


def main() -> None:
    """Draw, measure, print."""
    parser = argparse.ArgumentParser(description="Preprocessing and packing beside FLamby's script.")
    parser.add_argument("--flamby", required=True, type=Path, help="FLamby's source: the folder that holds flamby/")
    parser.add_argument("--images", type=int, default=96, help="drawn originals; default %(default)s")
    parser.add_argument("--repeats", type=int, default=5, help="default %(default)s")
    parser.add_argument("--real", type=Path, help=f"a folder that holds {IMAGES}/")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scripts = _flamby(given.flamby, folder)
        size = _draw(folder / RAW, given.images)
        print(f"{given.images} drawn originals of {SIDE}x{SIDE} pixels, {size / 1e3:.0f} kB each on average")
        _one_core(scripts, folder, given.images, given.repeats)
        _whole_step(scripts, folder, given.images, given.repeats)
        _packing("preprocessed drawn originals", folder / "theirs" / IMAGES, given.repeats)
        if given.real:
            _packing("photographs of 200x150 pixels", given.real / IMAGES, given.repeats)
    versions = ", ".join(f"{package} {version}" for package, version in provenance.versions().items())
    print(f"{provenance.processor()}, {cores()} cores; Pillow {Image.__version__}, {versions}")
    print(f"commit {provenance.commit()}")


def _draw(folder: Path, count: int) -> float:
    """Write originals as JPEG files; returns their mean size in bytes."""
    folder.mkdir(parents=True)
    for number in range(count):
        base = number % 12
        if number < 12:
            drawn = draw_lesion(base % 8, base % 6, Draws(0, base), Draws(1, base), SIDE)
            left = (drawn.shape[1] - SIDE) // 2
            Image.fromarray(drawn[:, left : left + SIDE]).save(folder / f"ISIC_{number:07d}.jpg", quality=95)
        else:
            shutil.copyfile(folder / f"ISIC_{base:07d}.jpg", folder / f"ISIC_{number:07d}.jpg")
    return statistics.mean(path.stat().st_size for path in folder.iterdir())


def _flamby(source: Path, folder: Path) -> Path:
    """FLamby's two files, with stand-ins for the parts of the package that need the rest of its environment."""
    place = folder / "flamby_scripts"
    shutil.copytree(source / SCRIPTS, place, ignore=shutil.ignore_patterns("train_test_split"))
    (place / "flamby").mkdir()
    (place / "flamby" / "__init__.py").touch()
    (place / "cv2.py").write_text("# Used for gamma correction alone, which FLamby leaves out.\n")
    (place / "flamby" / "utils.py").write_text(
        textwrap.dedent(
            f"""
            def read_config(_):
                complete = {{"download_complete": True, "preprocessing_complete": False}}
                return {{**complete, "dataset_path": {str(folder / "theirs")!r}}}

            def write_value_in_config(*_):
                pass
            """
        )
    )
    (folder / "theirs").mkdir()
    (folder / "theirs" / RAW).symlink_to(folder / RAW)
    return place


def _one_core(scripts: Path, folder: Path, count: int, repeats: int) -> None:
    """Both functions on the same files, in turn."""
    sys.path.insert(0, str(scripts))
    resize: Callable[..., None] = runpy.run_path(str(scripts / "resize_images.py"))["resize_and_maintain"]
    theirs, ours = folder / "theirs" / IMAGES, folder / "ours" / IMAGES
    names = [f"ISIC_{number:07d}" for number in range(count)]

    def flambys() -> None:
        for name in names:
            resize(str(folder / RAW / f"{name}.jpg"), str(theirs), (224, 224), True)

    def own() -> None:
        shutil.rmtree(ours, ignore_errors=True)
        preprocess_all(RawImages(folder / RAW), names, ours, 1)

    _compare("one core", count, {"FLamby's function": flambys, "ours": own}, repeats, 1)
    moved, rounding = [], []
    for name in names[:12]:
        pair = [np.asarray(Image.open(place / f"{name}.jpg")).astype(int) for place in (theirs, ours)]
        moved.append(np.abs(pair[0] - pair[1]).mean())
        rounding.append(np.abs(_before_saving(scripts, folder / RAW / f"{name}.jpg") - pair[0]).mean())
    print(
        f"  mean difference of the files' pixels: {np.mean(moved):.2f} of 255; "
        f"saving them as JPEG moves FLamby's by {np.mean(rounding):.2f}"
    )


def _before_saving(scripts: Path, path: Path) -> np.ndarray[Any, Any]:
    """FLamby's pixels as they are before its script saves them."""
    constancy = runpy.run_path(str(scripts / "color_constancy.py"))["color_constancy"]
    picture = Image.open(path)
    ratio = 224 / min(picture.size)
    small = picture.resize((int(picture.width * ratio), int(picture.height * ratio)), Image.Resampling.BILINEAR)
    return np.asarray(constancy(np.array(small))).astype(int)


def _whole_step(scripts: Path, folder: Path, count: int, repeats: int) -> None:
    """FLamby's script and our job as processes of their own, on all cores."""
    root = str(Path(__file__).resolve().parents[2])
    names = [f"ISIC_{number:07d}" for number in range(count)]
    own = textwrap.dedent(
        f"""
        from pathlib import Path
        from benchmark.data.flamby import RawImages, preprocess_all
        from benchmark.data.parallel import cores
        preprocess_all(RawImages(Path({str(folder / RAW)!r})), {names!r}, Path({str(folder / "mine")!r}), cores())
        """
    )

    def flambys() -> None:
        shutil.rmtree(folder / "theirs" / IMAGES)
        _run([sys.executable, "resize_images.py"], scripts, scripts)

    def ours() -> None:
        shutil.rmtree(folder / "mine", ignore_errors=True)
        _run([sys.executable, "-c", own], Path(root), Path(root))

    _compare("whole step", count, {"FLamby's script": flambys, "our job": ours}, repeats, cores())
    assert len(list((folder / "mine").iterdir())) == len(list((folder / "theirs" / IMAGES).iterdir())) == count


def _run(command: list[str], folder: Path, path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(path)}
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)


def _compare(title: str, count: int, sides: dict[str, Callable[[], None]], repeats: int, used: int) -> None:
    """Run the sides in turn and print medians, ranges and the ratio of the medians."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(repeats):
        for name, side in sides.items():
            began = time.perf_counter()
            side()
            seconds[name].append(time.perf_counter() - began)
    print(f"{title}, {used} core{'s' if used > 1 else ''}, {repeats} repeats in turn:")
    for name, taken in seconds.items():
        rate = [count / second / used for second in taken]
        print(
            f"  {name:18} {statistics.median(rate):7.1f} images per second and core "
            f"({min(rate):.1f} to {max(rate):.1f})"
        )
    first, second = (statistics.median(taken) for taken in seconds.values())
    print(f"  ratio {first / second:.2f}x")


def _packing(title: str, folder: Path, repeats: int) -> None:
    """Decoding to arrays of 224 and 64 pixels, with one thread and with all."""
    files = sorted(folder.glob("*.jpg"))[:2000]
    for size in (224, 64):
        rates = []
        for threads in sorted({1, cores()}):
            taken = []
            for _repeat in range(repeats):
                began = time.perf_counter()
                for _ in in_batches(partial(decode, size=size, resize="crop"), files, threads, 256, "pack"):
                    pass
                taken.append(time.perf_counter() - began)
            rates.append(f"{len(files) / statistics.median(taken) / threads:.0f} with {threads}")
        print(f"packing {title} at {size} px: images per second and core: {', '.join(rates)} threads")


if __name__ == "__main__":
    main()
