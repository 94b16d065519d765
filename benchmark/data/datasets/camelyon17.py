"""Camelyon17-WILDS: patches of lymph nodes from five hospitals, tumour or none.

WILDS (Koh et al. 2021) has no split within a hospital: its own is made for training on three of them. For a
federation of all five we assign each hospital's patients ourselves; see `benchmark.data.camelyon17_slides`. That tests
two patients of every hospital. Four folds test every patient once.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import pandas as pd

from benchmark.data import camelyon17_hub
from benchmark.data.camelyon17_slides import SPLIT_OF
from benchmark.data.dataset import SPLITS, Client, DataError, Dataset, Licence, Request, present, some
from benchmark.data.download import DownloadError, Wanted, download
from benchmark.data.extract import extract
from benchmark.data.splits import folds
from benchmark.errors import one_line
from benchmark.files import write_text

VERSION = "1.0"
FOLDER = f"camelyon17_v{VERSION}"  # WILDS' name for the folder; its reader looks for nothing else.
METADATA = f"{FOLDER}/metadata.csv"
RELEASE = f"{FOLDER}/RELEASE_v{VERSION}.txt"  # WILDS takes a folder for complete when this file is there.
ADDRESS = "https://worksheets.codalab.org/rest/bundles/0xe45e15f39fb54e9d9e919556af67aabe/contents/blob/"
"""Of WILDS' archive, as its package knows it."""
SIZE = 10_658_709_504  # bytes, of the archive


class Camelyon17(Dataset):
    """Five hospitals, WILDS' folder and archive, patients on one side of the split only."""

    name: ClassVar[str] = "camelyon17"
    title: ClassVar[str] = "Camelyon17-WILDS"
    clients: ClassVar[tuple[Client, ...]] = (
        Client("0", "CWH", 59436),
        Client("1", "RH", 34904),
        Client("2", "UMCU", 85054),
        Client("3", "RUMC", 129838),
        Client("4", "LPE", 146722),
    )
    classes: ClassVar[tuple[str, ...]] = ("normal", "tumour")
    licence: ClassVar[Licence] = Licence(
        "cc0", "CC0 1.0", "https://creativecommons.org/publicdomain/zero/1.0/", must_be_accepted=False
    )
    homepage: ClassVar[str] = "https://wilds.stanford.edu/datasets/#camelyon17"
    group_name: ClassVar[str] = "patients"
    protocols: ClassVar[Mapping[str, str]] = {
        "patient_disjoint": "Our own split: whole patients train, validate or test, both classes in every split of "
        "every hospital, since WILDS has no test set within a hospital.",
        "patient_folds": "Our own split: every hospital's patients are dealt to four folds, of which one is tested; "
        "the four together test every patient once.",
    }
    drawn: ClassVar[Mapping[str, int | None]] = {"patient_folds": 4}

    def locate(self, request: Request) -> Path | None:
        """The folder above WILDS' own: `source`, our folder, or the one that all of `data_root` shares."""
        if request.source is not None:
            return request.source.parent if request.source.name == FOLDER else request.source
        return next((root for root in (request.folder, request.folder.parent) if (root / FOLDER).is_dir()), None)

    def fetches(self, request: Request) -> bool:
        """Whether there is no copy yet."""
        return self.locate(request) is None

    def prepare(self, request: Request) -> Path:
        """Use a copy that is there, else download WILDS' archive; verify either against the published totals."""
        self.chosen_options(request.options)
        root = self.locate(request)
        if root is None:
            self.require_licence(request)
            root = self._download(request)
        self._verify(self._rows(root), root)
        return root

    def index(self, root: Path, protocol: str, split_seed: int) -> pd.DataFrame:
        """WILDS' labels and files, with the patient of every patch; see `Dataset.index`."""
        table = self._rows(root)
        if count := self.drawn.get(protocol):
            return table.assign(split=self._fold_for_testing(table, count, split_seed % count))
        split = self.splits(table["group"])
        if split.isna().any():
            unknown = sorted(set(table.loc[split.isna(), "group"]))
            raise DataError(f"{root / METADATA}: Camelyon17-WILDS has no patient {some(unknown)}; get a true copy")
        return table.assign(split=split)

    def splits(self, patients: "pd.Series[str]") -> "pd.Series[str]":
        """Where each of these patients' patches go, by WILDS' text of three digits; none of an unknown patient."""
        return patients.map(SPLIT_OF)

    def _rows(self, root: Path) -> pd.DataFrame:
        """Every patch of every hospital that is present, without a split: the rows of WILDS' reader, and patients.

        WILDS' own reader is not used, since it knows no patients, and takes ten seconds and a gigabyte to start.
        """
        if not (root / METADATA).is_file():
            raise DataError(f"{self.name}: {root} holds no {METADATA}; set `source` to the folder above it")
        if not (root / RELEASE).is_file():
            raise DataError(
                f"{self.name}: {root} holds no {RELEASE}, which WILDS writes when all files are there: complete the "
                "copy, or if it is complete create an empty file of that name"
            )
        texts = ("patient", "node", "x_coord", "y_coord", "center")
        columns = {**dict.fromkeys(texts, "str"), "tumor": "int64"}
        try:
            rows = pd.read_csv(root / METADATA, usecols=list(columns), dtype=columns)
        except (ValueError, OverflowError) as error:
            raise DataError(
                f"{root / METADATA}: not WILDS' metadata ({one_line(error, 99)}); get a true copy"
            ) from None
        if rows.isna().any(axis=None):
            raise DataError(f"{root / METADATA}: not WILDS' metadata (values are empty); get a true copy")
        slide = "patient_" + rows["patient"] + "_node_" + rows["node"]
        sample = "patch_" + slide + "_x_" + rows["x_coord"] + "_y_" + rows["y_coord"]
        table = pd.DataFrame(
            {
                "sample": sample,
                "client": rows["center"],
                "label": rows["tumor"],
                "group": rows["patient"],
                "path": f"{FOLDER}/patches/" + slide + "/" + sample + ".png",
            }
        )
        return present(table, root, self.name)

    def _fold_for_testing(self, table: pd.DataFrame, count: int, chosen: int) -> "pd.Series[str]":
        """The split of every row where the chosen one of so many folds of each hospital's patients is tested."""
        split = pd.Series("train", table.index)
        for client, own in table.groupby("client"):
            try:
                split[own.index[folds(own["group"], count) == chosen]] = "test"
            except ValueError as error:
                raise DataError(f"{self.name}: hospital {client}: {error}") from None
        return split

    def _verify(self, rows: pd.DataFrame, root: Path) -> None:
        """Compare every hospital's totals with the published ones, and make sure that no split lacks a class."""
        split = self.splits(rows["group"])
        for client in self.clients:
            here = rows["client"] == client.id
            if not here.any():
                continue
            # WILDS takes as many normal patches of a hospital as it has tumour patches.
            expected = (client.images, (client.images or 0) // 2)
            found = (int(here.sum()), int(rows.loc[here, "label"].sum()))
            if client.images is not None and found != expected:
                raise DataError(
                    f"{self.name}: {root / METADATA} lists {found[0]} patches of hospital {client.id}, {found[1]} with "
                    f"tumour, expected {expected[0]} and {expected[1]}; get a true copy"
                )
            for name in SPLITS:
                held = set(rows.loc[here & (split == name), "label"])
                if held != set(range(len(self.classes))):
                    lacking = [kind for label, kind in enumerate(self.classes) if label not in held]
                    raise DataError(
                        f"{self.name}: {root / METADATA}: hospital {client.id} has no {' and no '.join(lacking)} patch "
                        f"for {name}; get a true copy"
                    )

    def _download(self, request: Request) -> Path:
        """Fetch and unpack WILDS' archive from WILDS' own address or from a mirror; else the copy on the hub."""
        wanted, folder = Wanted((ADDRESS, *request.mirrors), SIZE), request.folder
        try:
            archive = download(wanted, folder / "archive.tar.gz")
        except DownloadError as error:
            print(f"{self.name}: {error}; going on with the copy {camelyon17_hub.REPOSITORY}", flush=True)
            try:
                camelyon17_hub.fetch(folder / FOLDER, sum(client.images or 0 for client in self.clients))
            except DataError as other:
                raise DataError(
                    f"{self.name}: {error}; {other}. WILDS' host can be down for months: name another address in "
                    f"`federations.{self.name}.mirrors`, or get a copy of {FOLDER}/ elsewhere and set "
                    f"`federations.{self.name}.source` to the folder above it"
                ) from None
            for part in folder.glob("archive.tar.gz.part*"):
                part.unlink()
        else:
            extract(archive, folder / FOLDER)
            archive.unlink()
        if not (folder / RELEASE).is_file():
            write_text(folder / RELEASE, f"Camelyon17-WILDS {VERSION}\n")
        return folder


DATASET = Camelyon17()
