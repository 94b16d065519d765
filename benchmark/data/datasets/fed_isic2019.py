"""Fed-ISIC2019: 23,247 dermoscopy images of eight diagnoses from six sites, as FLamby defines them.

FLamby (Ogier du Terrail et al. 2022) keeps the images of the ISIC 2019 challenge whose site is known and
shares them out by site. We read its folder and its split file as data; its dataset modules are not imported,
since they need packages whose versions no longer agree.
"""

import importlib.util
import os
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import pandas as pd
import yaml
from pandas.api.types import is_numeric_dtype
from PIL import Image
from tqdm import tqdm

from benchmark.data.dataset import Client, DataError, Dataset, Licence, Request, present, some
from benchmark.data.download import DownloadError, download
from benchmark.data.splits import cut
from benchmark.files import atomic, sha256, write_text

IMAGES = "ISIC_2019_Training_Input_preprocessed"
METADATA = "ISIC_2019_Training_Metadata.csv"
SPLIT_FILES = ("train_test_split", "fed_isic2019_train_test_split.csv", "train_test_split.csv")
LESION_FILES = (METADATA, "HAM10000_metadata.csv", "HAM10000_metadata")
CLASSES = ("MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC")
SHORT_SIDE = 224  # pixels, of FLamby's preprocessed images

ARCHIVE = "https://isic-challenge-data.s3.amazonaws.com/2019"
FLAMBY = "https://raw.githubusercontent.com/owkin/FLamby/edacf54d5211520583b0133d55ac39b6fda8324b"
FLAMBY_SCRIPTS = "flamby/datasets/fed_isic2019/dataset_creation_scripts"
SPLIT_HASH = "d0f9d0d0102f60d78b4c5f9f0ef32100881a8e92fe6c38644f980b3eb4e1a86c"


class FedIsic2019(Dataset):
    """Six sites, eight diagnoses, FLamby's folder and split."""

    name: ClassVar[str] = "fed_isic2019"
    title: ClassVar[str] = "Fed-ISIC2019"
    clients: ClassVar[tuple[Client, ...]] = (
        Client("0", "BCN", 12413),
        Client("1", "vidir_molemax", 3954),
        Client("2", "vidir_modern", 3363),
        Client("3", "rosendahl", 2259),
        Client("4", "MSK", 819),
        Client("5", "vienna_dias", 439),
    )
    classes: ClassVar[tuple[str, ...]] = CLASSES
    licence: ClassVar[Licence] = Licence(
        "isic2019", "CC BY-NC 4.0", "https://challenge.isic-archive.com/data/#2019", must_be_accepted=True
    )
    homepage: ClassVar[str] = "https://owkin.github.io/FLamby/fed_isic.html"
    protocols: ClassVar[Mapping[str, str]] = {
        "flamby": "FLamby's own split, drawn per image. It leaks: many test images show a lesion that is "
        "also in the training set, so scores are too high for new lesions.",
        "lesion_disjoint": "Our own split: per site a fifth of the images for testing, stratified by "
        "diagnosis, with no lesion on both sides. Not comparable with published numbers.",
    }

    def prepare(self, request: Request) -> Path:
        """Use `source`, else what lies in `folder`, else what FLamby has prepared, else download."""
        self.chosen_options(request.options)
        folder, source = request.folder, request.source
        if source is not None:
            self._rows(source)
            return source
        adopted = next((root for root in (folder, _flamby_data()) if root and self._is_complete(root)), None)
        if adopted is not None:
            return adopted
        if self.licence.name not in request.licences_accepted:
            raise DataError(
                f"{self.name}: read the licence at {self.licence.address} ({self.licence.title}) and, if you "
                f"accept it, add {self.licence.name!r} to `licences_accepted`; or set "
                f"`federations.{self.name}.source` to a copy of yours"
            )
        try:
            self._download(folder)
        except DownloadError as error:
            raise DataError(
                f"{error}; try again, or set `federations.{self.name}.source` to a folder that holds {IMAGES}/"
            ) from None
        if not self._is_complete(folder):
            raise DataError(f"{self.name}: {folder} is not complete; delete it and run again")
        return folder

    def index(self, root: Path, protocol: str, split_seed: int) -> pd.DataFrame:
        """FLamby's split file, with the lesion of every image; see `Dataset.index`."""
        rows = self._rows(root)
        lesions = _lesions(root)
        if protocol == "lesion_disjoint" and lesions is None:
            raise DataError(f"{self.name}: {root} holds none of {', '.join(LESION_FILES)}, so lesions are not known")
        known = rows["image"].map(lesions if lesions is not None else {})
        table = pd.DataFrame(
            {
                "sample": rows["image"],
                "client": rows["client"],
                "label": rows["target"].astype(np.int64),
                "group": known.where(known.notna(), rows["image"]).astype(str),
                "split": rows["fold"],
                "path": rows["path"],
            }
        )
        if protocol == "lesion_disjoint":
            table["split"] = _lesion_disjoint(table, split_seed)
        return table

    def _rows(self, root: Path) -> pd.DataFrame:
        """The split file's rows of our clients whose images are in `root`, with `client` and `path`."""
        file = _split_file(root)
        try:
            rows = pd.read_csv(file, dtype={"image": str, "fold": str})
            rows["client"] = rows["center"].astype(int).astype(str)
        except (KeyError, ValueError, UnicodeDecodeError) as error:
            raise DataError(f"{file}: not FLamby's split file ({error})") from None
        lacking = {"image", "target", "center", "fold", *CLASSES} - set(rows)
        if lacking:
            raise DataError(f"{file}: not FLamby's split file: it has no column {some(sorted(lacking))}")
        if rows[["image", "fold"]].isna().any(axis=None) or not all(map(is_numeric_dtype, rows[list(CLASSES)].dtypes)):
            raise DataError(f"{file}: not FLamby's split file: a name is empty, or a class is no number")
        # FLamby's table states every label twice; a table edited by hand would not agree with itself.
        wrong = rows.loc[rows[list(CLASSES)].to_numpy().argmax(1) != rows["target"], "image"]
        if len(wrong):
            raise DataError(f"{file}: {len(wrong)} rows whose `target` is not their one-hot class: {some(wrong)}")
        rows = rows[rows["client"].isin([client.id for client in self.clients])].reset_index(drop=True)
        rows["path"] = IMAGES + "/" + rows["image"] + ".jpg"
        return present(rows, root, self.name)

    def _is_complete(self, root: Path) -> bool:
        """Whether `root` holds all images of all clients."""
        try:
            rows = self._rows(root)
        except DataError:
            return False
        return set(rows["client"]) == {client.id for client in self.clients}

    def _download(self, folder: Path) -> None:
        """Fetch the challenge's archive, and preprocess the images that FLamby uses."""
        split = _installed(FLAMBY_SCRIPTS, SPLIT_FILES[0])
        if split is None:
            split = download(f"{FLAMBY}/{FLAMBY_SCRIPTS}/{SPLIT_FILES[0]}", folder / SPLIT_FILES[0])
            if sha256(split) != SPLIT_HASH:
                split.unlink()
                raise DownloadError(f"{FLAMBY}: the split file that arrived is not the one we know")
        write_text(folder / SPLIT_FILES[0], split.read_text(encoding="utf-8"))
        download(f"{ARCHIVE}/{METADATA}", folder / METADATA)
        archive = download(f"{ARCHIVE}/ISIC_2019_Training_Input.zip", folder / "ISIC_2019_Training_Input.zip")
        unpack(archive, pd.read_csv(split)["image"].tolist(), folder / IMAGES)
        archive.unlink()


def unpack(archive: Path, images: Sequence[str], folder: Path) -> None:
    """Preprocess images straight from the challenge's zip archive. Those already in `folder` are kept.

    Args:
        archive: The zip file.
        images: Names without extension.
        folder: Where the JPEG files go.

    Raises:
        DataError: The archive is broken, or lacks images.
    """
    try:
        with zipfile.ZipFile(archive) as zipped:
            members = {Path(name).stem: name for name in zipped.namelist() if name.endswith(".jpg")}
            lacking = [image for image in images if image not in members]
            if lacking:
                raise DataError(f"{archive}: lacks {len(lacking)} images: {some(lacking)}; delete it and run again")
            for image in tqdm(images, desc="preprocess", mininterval=5):
                target = folder / f"{image}.jpg"
                if not target.exists():
                    with (
                        zipped.open(members[image]) as stream,
                        Image.open(stream) as picture,
                        atomic(target) as path,
                    ):
                        preprocess(picture).save(path, format="JPEG")
    except (zipfile.BadZipFile, OSError) as error:
        raise DataError(f"{archive}: cannot be read ({error}); delete it and run again") from None


def preprocess(picture: Image.Image) -> Image.Image:
    """FLamby's preprocessing: the short side to 224 pixels, then colour constancy.

    Shades of gray (Finlayson and Trezzi 2004): each channel is divided by its mean of order 6, relative to
    that of a gray image. FLamby lets values above 255 wrap round to dark ones, and so do we: published numbers are of
    such images, and a folder that FLamby has prepared must equal one that we have.

    Args:
        picture: An RGB image.

    Returns:
        The preprocessed RGB image.
    """
    ratio = SHORT_SIDE / min(picture.size)
    width, height = (int(side * ratio) for side in picture.size)
    values = np.asarray(picture.convert("RGB").resize((width, height), Image.Resampling.BILINEAR), dtype=np.float32)
    light = (values**6).mean((0, 1), dtype=np.float64) ** (1 / 6)
    gains = np.linalg.norm(light) / (np.sqrt(3) * np.maximum(light, 1e-6))
    return Image.fromarray(((values * gains).astype(np.int64) % 256).astype(np.uint8))


def _split_file(root: Path) -> Path:
    """The split file: the data folder's own, else that of the installed FLamby."""
    for name in SPLIT_FILES:
        if (root / name).is_file():
            return root / name
    installed = _installed(FLAMBY_SCRIPTS, SPLIT_FILES[0])
    if installed is None:
        raise DataError(f"{root}: no split file: put FLamby's `train_test_split` there, or install FLamby")
    return installed


def _installed(folder: str, name: str) -> Path | None:
    """A file of the installed FLamby package, found without importing it."""
    spec = importlib.util.find_spec("flamby")
    places = spec.submodule_search_locations if spec else None
    files = [Path(place).parent / folder / name for place in places or ()]
    return next((file for file in files if file.is_file()), None)


def _flamby_data() -> Path | None:
    """The folder that FLamby's own scripts have filled, if they have finished."""
    file = _installed(FLAMBY_SCRIPTS, "dataset_location.yaml")
    if file is None:
        return None
    location = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    done = location.get("download_complete") and location.get("preprocessing_complete")
    return Path(location["dataset_path"]) if done and location.get("dataset_path") else None


def _lesions(root: Path) -> pd.Series | None:
    """Lesion by image, from whichever metadata files the folder holds."""
    files = [root / name for name in LESION_FILES if os.path.isfile(root / name)]
    if not files:
        return None
    try:
        found = [pd.read_csv(file) for file in files]
        both = pd.concat([table.rename(columns={"image_id": "image"}) for table in found])
        both = both.dropna(subset=["lesion_id"]).drop_duplicates("image")
        return both.set_index("image")["lesion_id"]
    except (KeyError, ValueError) as error:
        raise DataError(f"{some(files)}: lesions cannot be read ({error}); fetch the metadata again") from None


def _lesion_disjoint(table: pd.DataFrame, seed: int) -> npt.NDArray[np.str_]:
    """The split of each row (N,), "train" or "test": a fifth of each client for testing, by lesion.

    Lesions photographed at two sites (nine are) stay in training, or the pooled control would train on test
    lesions.
    """
    split = np.full(len(table), "train", dtype="<U5")
    single = table.groupby("group")["client"].transform("nunique").to_numpy() == 1
    for client in sorted(set(table["client"])):
        rows = np.flatnonzero(single & (table["client"] == client).to_numpy())
        held = cut(table["group"].to_numpy()[rows], table["label"].to_numpy()[rows], 0.2, seed)
        split[rows[held]] = "test"
    return split


DATASET = FedIsic2019()
