"""What FLamby (Ogier du Terrail et al. 2022) knows: its package's files, and how it prepares Fed-ISIC2019.

The package's files are read as data and none of its modules is imported, since they need packages whose versions no
longer agree.
"""

import importlib.util
import io
import shutil
import threading
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

from benchmark.data.dataset import DataError, some
from benchmark.data.download import Wanted, download
from benchmark.data.parallel import in_batches
from benchmark.errors import one_line
from benchmark.files import atomic, sweep

IMAGES = "ISIC_2019_Training_Input_preprocessed"
RAW = "ISIC_2019_Training_Input"
METADATA = "ISIC_2019_Training_Metadata.csv"
SPLIT = "train_test_split"
SHORT_SIDE = 224  # pixels, of the preprocessed images

ADDRESS = "https://raw.githubusercontent.com/owkin/FLamby/edacf54d5211520583b0133d55ac39b6fda8324b"
"""Of the package's files, at one commit."""
PACKAGE = "flamby/datasets/fed_isic2019"
SCRIPTS = f"{PACKAGE}/dataset_creation_scripts"
SPLIT_HASH = "d0f9d0d0102f60d78b4c5f9f0ef32100881a8e92fe6c38644f980b3eb4e1a86c"

_SIXTH_POWERS = np.arange(256, dtype=np.float64) ** 6


def installed(name: str) -> Path | None:
    """A file of the installed FLamby package, `flamby/datasets/...`, found without importing it, or None."""
    spec = importlib.util.find_spec("flamby")
    places = spec.submodule_search_locations if spec else None
    files = [Path(place).parent / name for place in places or ()]
    return next((file for file in files if file.is_file()), None)


def bring(name: str, sha256: str, target: Path) -> Path:
    """Copy a file from the installed FLamby package, or download it where there is none; one that is there is kept."""
    if not target.is_file() and (own := installed(name)):
        with atomic(target) as path:
            shutil.copyfile(own, path)
    return download(Wanted([f"{ADDRESS}/{name}"], sha256=sha256), target)


def beside(place: Path, name: str) -> Path:
    """A file of the FLamby package: the one of that name in a folder of volumes, else that of the installed package.

    A DataError says where it can be had, if it is in neither.
    """
    own = place / Path(name).name
    if file := own if own.is_file() else installed(name):
        return file
    raise DataError(f"{place}: no {own.name}: put FLamby's there ({ADDRESS}/{name}), or install FLamby")


def prepared_folder() -> Path | None:
    """The folder that FLamby's own scripts were told to fill; they may have finished, or stopped half-way."""
    file = installed(f"{SCRIPTS}/dataset_location.yaml")
    location = yaml.safe_load(file.read_text(encoding="utf-8")) if file else None
    path = location.get("dataset_path") if isinstance(location, dict) else None
    return Path(path) if path and Path(path).is_dir() else None


class RawImages:
    """The challenge's original images, as JPEG files in a folder or in the archive as it was downloaded.

    Args:
        place: The folder, or the zip file.
    """

    def __init__(self, place: Path) -> None:
        self.place, self._lock = place, threading.Lock()
        self._archive = None if place.is_dir() else zipfile.ZipFile(place)
        files = [path.name for path in place.iterdir()] if self._archive is None else self._archive.namelist()
        self._names = {Path(name).stem: name for name in files if name.endswith(".jpg")}

    @classmethod
    def below(cls, root: Path, images: Sequence[str]) -> "RawImages | None":
        """The original images that `root` holds, if it holds every one of `images`."""
        for place in (root / RAW, root / f"{RAW}.zip"):
            if place.exists():
                try:
                    found = cls(place)
                    if not found.lacking(images):
                        return found
                except (zipfile.BadZipFile, OSError):
                    continue
        return None

    def lacking(self, images: Sequence[str]) -> list[str]:
        """Which of the images are not there."""
        return [image for image in images if image not in self._names]

    def read(self, image: str) -> bytes:
        """The bytes of one JPEG file."""
        if self._archive is None:
            return (self.place / self._names[image]).read_bytes()
        with self._lock:
            return self._archive.read(self._names[image])


def preprocess_all(raw: RawImages, images: Sequence[str], folder: Path, threads: int) -> None:
    """Preprocess images into FLamby's folder. Those already there are kept; the originals are never unpacked to disk.

    Images are named without extension. A DataError counts the originals that are missing or broken, and names the
    first.
    """
    if lacking := raw.lacking(images):
        raise DataError(f"{raw.place}: lacks {len(lacking)} images: {some(lacking)}; delete it and run again")
    sweep(folder)
    done = {path.stem for path in folder.glob("*.jpg")} if folder.is_dir() else set()
    waiting = [image for image in images if image not in done]

    def one(image: str) -> str:
        target = folder / f"{image}.jpg"
        try:
            with Image.open(io.BytesIO(raw.read(image))) as picture, atomic(target, durable=False) as path:
                preprocess(picture).save(path, format="JPEG")
        except (OSError, ValueError, SyntaxError, zipfile.BadZipFile) as error:
            return f"{image} ({one_line(error)})"
        return ""

    batches = in_batches(one, waiting, threads, 64 * threads, "preprocess")
    broken = [fault for batch in batches for fault in batch if fault]
    if broken:
        raise DataError(f"{raw.place}: {len(broken)} images cannot be read: {some(broken)}; delete it and run again")


def preprocess(picture: Image.Image) -> Image.Image:
    """FLamby's preprocessing: the short side to 224 pixels, then colour constancy.

    Shades of gray (Finlayson and Trezzi 2004): each channel is divided by its mean of order 6, relative to
    that of a gray image. FLamby lets values above 255 wrap round to dark ones, and so do we: published numbers are of
    such images, and a folder that FLamby has prepared must equal one that we have.

    It is faster than FLamby's script by two means. A JPEG file is decoded at the smallest half, quarter or eighth
    that is not below the result, which moves pixels by a third of what saving them as JPEG does. And as a pixel has
    256 values, the sixth powers are summed over histograms, and the gains applied by a table: that is exact.

    The picture is an RGB image whose pixels have not been loaded yet.
    """
    ratio = SHORT_SIDE / min(picture.size)
    width, height = (int(side * ratio) for side in picture.size)
    picture.draft("RGB", (width, height))
    small = picture.convert("RGB").resize((width, height), Image.Resampling.BILINEAR)
    counts = np.array(small.histogram()).reshape(3, 256)
    light = (counts @ _SIXTH_POWERS / counts[0].sum()) ** (1 / 6)
    gains = np.linalg.norm(light) / (np.sqrt(3) * np.maximum(light, 1e-6))
    # FLamby multiplies in single precision; near a whole number that decides which way a value is cut.
    table = (np.arange(256, dtype=np.float32) * gains.astype(np.float32)[:, None]).astype(np.int64) % 256
    return small.point(table.ravel().tolist())
