"""Camelyon17-WILDS: patches of lymph nodes from five hospitals, tumour or none.

WILDS (Koh et al. 2021) has no split within a hospital: its own is made for training on three of them. For a
federation of all five we cut each hospital's patients ourselves.
"""

import contextlib
import io
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from benchmark.data.dataset import Client, DataError, Dataset, Licence, Request, present
from benchmark.data.splits import cut

FOLDER = "camelyon17_v1.0"  # WILDS' name for the folder; its reader looks for nothing else.


class Camelyon17(Dataset):
    """Five hospitals, WILDS' folder and reader, patients on one side of the split only."""

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
    protocols: ClassVar[Mapping[str, str]] = {
        "patient_disjoint": "Our own split: of each hospital about a fifth of the patches for testing, by "
        "whole patients, since WILDS has no test set within a hospital.",
    }

    def prepare(self, request: Request) -> Path:
        """Use `source`, or download with WILDS' own downloader, and verify that every patch is there."""
        self.chosen_options(request.options)
        folder, source = request.folder, request.source
        if source is not None:
            root = source.parent if source.name == FOLDER else source
            self._rows(root)
            return root
        said = io.StringIO()
        failure = ""
        try:
            with contextlib.redirect_stdout(said):
                _reader(folder, download=True)
        except Exception as error:
            # WILDS prints the exception that ended its download, and stumbles over what is missing.
            failure = (said.getvalue().strip().splitlines() or [""])[-1] or repr(error)
        if failure:
            raise DataError(
                f"{self.name}: WILDS' download into {folder} failed ({failure}); its host can be down for "
                f"months: get a copy of {FOLDER}/ elsewhere and set `federations.{self.name}.source` to the "
                "folder above it"
            )
        rows = self._rows(folder)
        for client in self.clients:
            count = int((rows["client"] == client.id).sum())
            if count != client.images:
                raise DataError(
                    f"{self.name}: {folder} holds {count} patches of hospital {client.id}, expected "
                    f"{client.images}; delete {folder / FOLDER} and run again"
                )
        return folder

    def index(self, root: Path, protocol: str, split_seed: int) -> pd.DataFrame:
        """WILDS' labels and files, with the patient of every patch; see `Dataset.index`."""
        table = self._rows(root)
        split = np.full(len(table), "train", dtype="<U5")
        for client in sorted(set(table["client"])):
            rows = np.flatnonzero((table["client"] == client).to_numpy())
            held = cut(table["group"].to_numpy()[rows], table["label"].to_numpy()[rows], 0.2, split_seed)
            split[rows[held]] = "test"
        table["split"] = split
        return table

    def _rows(self, root: Path) -> pd.DataFrame:
        """Every patch of every hospital that is present, without a split."""
        if not (root / FOLDER / "metadata.csv").is_file():
            raise DataError(f"{self.name}: {root} holds no {FOLDER}/metadata.csv; set `source` to the folder above it")
        try:
            reader = _reader(root, download=False)
            patients = pd.read_csv(root / FOLDER / "metadata.csv", usecols=["patient"], dtype=str)["patient"]
        except (FileNotFoundError, KeyError, IndexError, ValueError, TypeError, AttributeError) as error:
            raise DataError(f"{root / FOLDER}: WILDS cannot read it ({error}); get a complete copy") from None
        files = [PurePosixPath(name) for name in reader._input_array]
        table = pd.DataFrame(
            {
                "sample": [file.stem for file in files],
                "client": reader.metadata_array[:, 0].numpy().astype(str),
                "label": reader.y_array.numpy().astype(np.int64),
                "group": patients.to_numpy(),
                "path": [f"{FOLDER}/{file}" for file in files],
            }
        )
        return present(table, root, self.name)


def _reader(root: Path, download: bool) -> Any:
    """WILDS' dataset over `root`."""
    quiet = "outdated" not in sys.modules
    if quiet:
        # WILDS asks a package index for news when it is imported; a benchmark must not depend on the answer.
        sys.modules["outdated"] = None  # type: ignore[assignment]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            from wilds.datasets.camelyon17_dataset import Camelyon17Dataset
        finally:
            if quiet:
                del sys.modules["outdated"]
        return Camelyon17Dataset(root_dir=str(root), download=download)


DATASET = Camelyon17()
