"""Fed-ISIC2019: 23,247 dermoscopy images of eight diagnoses from six sites, as FLamby defines them.

FLamby (Ogier du Terrail et al. 2022) keeps the images of the ISIC 2019 challenge whose site is known and
shares them out by site. A folder that its scripts have filled is read in place, and one that we fill can be read by its
classes: `flamby.datasets.fed_isic2019.FedIsic2019(data_path=...)`.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import pandas as pd
from pandas.api.types import is_numeric_dtype
from PIL import Image

from benchmark.data import flamby
from benchmark.data.dataset import Client, DataError, Dataset, Licence, Option, Request, present, some
from benchmark.data.download import DownloadError, Wanted, download
from benchmark.data.flamby import IMAGES, METADATA, SHORT_SIDE, RawImages
from benchmark.data.parallel import in_batches
from benchmark.data.splits import cut
from benchmark.errors import one_line
from benchmark.files import atomic, sha256

SPLIT_FILES = (flamby.SPLIT, "fed_isic2019_train_test_split.csv", "train_test_split.csv")
LESION_FILES = (METADATA, "HAM10000_metadata.csv", "HAM10000_metadata")
CLASSES = ("MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC")
ARCHIVE = "https://isic-challenge-data.s3.amazonaws.com/2019"


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
    group_name: ClassVar[str] = "lesions"
    protocols: ClassVar[Mapping[str, str]] = {
        "flamby": "FLamby's own split, drawn per image. It leaks: many test images show a lesion that is "
        "also in the training set, so scores are too high for new lesions.",
        "lesion_disjoint": "Our own split: per site a fifth of the images for testing, stratified by "
        "diagnosis, with no lesion on both sides. Not comparable with published numbers.",
    }
    drawn: ClassVar[Mapping[str, int | None]] = {"lesion_disjoint": None}

    # short_side: pixels of the preprocessed images' short side; 0 accepts images of any size.
    options: ClassVar[Mapping[str, Option]] = {"short_side": SHORT_SIDE}

    def locate(self, request: Request) -> Path | None:
        """The first whole folder among `source`, ours and FLamby's; else the first that has any images."""
        if request.source is not None and (request.source / IMAGES).is_dir():
            return request.source
        places = [request.folder, *([] if request.source else [flamby.prepared_folder()])]
        found = [root for root in places if root and (root / IMAGES).is_dir()]
        return next((root for root in found if self._is_complete(root)), found[0] if found else request.source)

    def remains(self, request: Request) -> str:
        """Partial downloads, and original images that wait to be preprocessed."""
        raw = self._originals(request)
        return ", ".join(filter(None, [super().remains(request), f"original images in {raw.place}" if raw else ""]))

    def fetches(self, request: Request) -> bool:
        """Whether neither the images are there nor the originals that they are made of."""
        root = self.locate(request)
        return request.source is None and not (root and self._is_complete(root)) and self._originals(request) is None

    def prepare(self, request: Request) -> Path:
        """Use `source`, our folder or FLamby's where they are whole; else preprocess originals; else download them."""
        side = int(self.chosen_options(request.options)["short_side"])
        root = self.locate(request)
        if root is None or not self._is_complete(root):
            raw = self._originals(request)
            # A `source` may hold some of the clients; what it lacks is said in the index's own words.
            if request.source is not None and raw is None:
                self._check_sides(request.source, side, request.threads)
                return request.source
            root = self._preprocess(request, raw)
        self._check_sides(root, side, request.threads)
        split = _split_file(root)
        if sha256(split) != flamby.SPLIT_HASH:
            print(f"{self.name}: {split} is not FLamby's published split: scores are not comparable with others'")
        return root

    def index(self, root: Path, protocol: str, split_seed: int) -> pd.DataFrame:
        """FLamby's split file, with the lesion of every image; see `Dataset.index`."""
        rows = self._rows(root)
        lesions = _lesions(root)
        known = rows["image"].map(lesions)
        if protocol == "lesion_disjoint" and known.isna().any():
            raise DataError(
                f"{self.name}: the lesions of {known.isna().sum()} images are not known: "
                f"{some(rows.loc[known.isna(), 'image'])}; put {METADATA} into {root}"
            )
        table = pd.DataFrame(
            {
                "sample": rows["image"],
                "client": rows["client"],
                "label": rows["label"].astype(np.int64),
                "group": known.where(known.notna(), rows["image"]).astype(str),
                "split": rows["fold"],
                "path": rows["path"],
            }
        )
        if protocol == "lesion_disjoint":
            table["split"] = _lesion_disjoint(table, split_seed)
        return table

    def _rows(self, root: Path) -> pd.DataFrame:
        """The split file's rows of our clients whose images are in `root`, with `client`, `label` and `path`."""
        file = _split_file(root)
        try:
            rows = pd.read_csv(file, dtype={"image": str, "fold": str})
            rows["client"] = rows["center"].astype(int).astype(str)
        except (KeyError, ValueError, UnicodeDecodeError) as error:
            raise DataError(f"{file}: not FLamby's split file ({one_line(error, 200)}); fetch it again") from None
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
        return present(rows.rename(columns={"target": "label"}), root, self.name)

    def _is_complete(self, root: Path) -> bool:
        """Whether `root` holds all images of all clients."""
        try:
            rows = self._rows(root)
        except DataError:
            return False
        return set(rows["client"]) == {client.id for client in self.clients}

    def _check_sides(self, root: Path, side: int, threads: int) -> None:
        """Compare every image's size with what preprocessing makes of it; only the files' heads are read."""

        def fault(path: str) -> str:
            try:
                with Image.open(root / path) as picture:
                    size = picture.size
            except (OSError, ValueError, SyntaxError):
                return f"{path} (no image)"
            return "" if not side or min(size) == side else f"{path} ({size[0]}x{size[1]})"

        paths = self._rows(root)["path"].tolist()
        wrong = [name for batch in in_batches(fault, paths, threads, 4096, "check sizes") for name in batch if name]
        if wrong:
            raise DataError(
                f"{self.name}: {len(wrong)} images below {root} do not have a short side of {side} pixels: "
                f"{some(wrong)}; delete them and run again, or set `federations.{self.name}.options.short_side` to "
                "theirs, or to 0 for any"
            )

    def _originals(self, request: Request) -> RawImages | None:
        """The challenge's original images, if all that are needed lie somewhere on this machine."""
        places = [request.source] if request.source else [request.folder, flamby.prepared_folder()]
        for root in places:
            if root is not None and any((root / name).exists() for name in (flamby.RAW, f"{flamby.RAW}.zip")):
                split = next((file for file in _split_files(root) if file.is_file()), None)
                images = self._needed(split) if split else []
                if images and (raw := RawImages.below(root, images)):
                    return raw
        return None

    def _needed(self, split: Path) -> list[str]:
        """Names of the images of our clients."""
        table = pd.read_csv(split, usecols=["image", "center"])
        return [str(image) for image in table.loc[table["center"].isin([int(c.id) for c in self.clients]), "image"]]

    def _preprocess(self, request: Request, raw: RawImages | None) -> Path:
        """Fill our folder in FLamby's layout, from originals that are here or are fetched first."""
        folder = request.folder
        folder.mkdir(parents=True, exist_ok=True)
        if raw is None:
            self.require_licence(request)
            try:
                raw = _download(folder)
            except DownloadError as error:
                raise DataError(
                    f"{error}; try again, or set `federations.{self.name}.source` to a folder that holds {IMAGES}/, "
                    f"{flamby.RAW}/ or {flamby.RAW}.zip"
                ) from None
        origin = raw.place.parent
        for name in (SPLIT_FILES, LESION_FILES):
            if found := next((file for file in (origin / n for n in name) if file.is_file()), None):
                _copy(found, folder / found.name)
        flamby.preprocess_all(raw, self._needed(_split_file(folder)), folder / IMAGES, request.threads)
        if not self._is_complete(folder):
            raise DataError(f"{self.name}: {folder} is not complete; delete it and run again")
        if origin == folder and raw.place.is_file():
            raw.place.unlink()
        return folder


def _download(folder: Path) -> RawImages:
    """Fetch the challenge's archive, the lesions, and FLamby's split unless FLamby is installed."""
    flamby.bring(f"{flamby.SCRIPTS}/{flamby.SPLIT}", flamby.SPLIT_HASH, folder / flamby.SPLIT)
    download(Wanted([f"{ARCHIVE}/{METADATA}"]), folder / METADATA)
    return RawImages(download(Wanted([f"{ARCHIVE}/{flamby.RAW}.zip"]), folder / f"{flamby.RAW}.zip"))


def _copy(file: Path, target: Path) -> None:
    if file.resolve() != target.resolve():
        with atomic(target) as path:
            shutil.copyfile(file, path)


def _split_files(root: Path) -> list[Path]:
    """Where FLamby's split may stand: the data folder's own file, else that of the installed FLamby."""
    own = [root / name for name in SPLIT_FILES]
    installed = flamby.installed(f"{flamby.SCRIPTS}/{flamby.SPLIT}")
    return [*own, installed] if installed else own


def _split_file(root: Path) -> Path:
    """The split file that goes with a folder."""
    found = next((file for file in _split_files(root) if file.is_file()), None)
    if found is None:
        raise DataError(f"{root}: no split file: put FLamby's `{flamby.SPLIT}` there, or install FLamby")
    return found


def _lesions(root: Path) -> "pd.Series[str]":
    """Lesion by image, from whichever metadata files the folder holds; FLamby's package has those of HAM10000."""
    known = [root / name for name in LESION_FILES] + [flamby.installed(f"{flamby.PACKAGE}/HAM10000_metadata")]
    files = [file for file in known if file and file.is_file()]
    if not files:
        return pd.Series(dtype=str)
    try:
        both = pd.concat([pd.read_csv(file).rename(columns={"image_id": "image"}) for file in files])
        both = both.dropna(subset=["lesion_id"]).drop_duplicates("image")
        return both.set_index("image")["lesion_id"]
    except (KeyError, ValueError) as error:
        raise DataError(f"{some(files)}: lesions cannot be read ({one_line(error, 200)}); fetch it again") from None


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
