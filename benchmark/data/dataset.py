"""A federated dataset: where its images come from, who owns which, and how they are split.

One module in `benchmark/data/datasets/` is one dataset: a subclass of `Dataset` and an instance of it,
`DATASET`. The module's file name is the dataset's name, and adding the file is all there is to adding a
dataset.
"""

import hashlib
import importlib
import inspect
import os
import traceback
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from benchmark.disk import readable
from benchmark.errors import of_another_type, one_line

Option = int | float | str

COLUMNS = ("sample", "client", "group", "split", "path")
"""What every index has."""
TABLE = ("sample", "client", "label", "group", "case", "position", "split")
"""What tables of packs have, where the index has it."""
SPLITS = ("train", "validation", "test")


class DataError(ValueError):
    """Data that cannot be used, in one line: what, which value, where, and what to do."""


@dataclass(frozen=True)
class Licence:
    """The terms under which a dataset may be used.

    Attributes:
        name: Short name; what a user adds to `licences_accepted`.
        title: Full name.
        address: Where the terms can be read.
        must_be_accepted: Whether the data may be fetched only after the user has accepted the terms.
    """

    name: str
    title: str
    address: str
    must_be_accepted: bool = False


@dataclass(frozen=True)
class Client:
    """One hospital or site.

    Attributes:
        id: Its number as text: "0", "1", ...
        name: The site's own name.
        images: How many images the complete dataset has of it; None where that is not fixed.
    """

    id: str
    name: str
    images: int | None = None


@dataclass(frozen=True)
class Request:
    """What a configuration asks of a dataset.

    Attributes:
        folder: Where the dataset may write.
        source: A folder of the user's that already holds the data; nothing is downloaded then.
        options: Settings that only this dataset knows; see `Dataset.chosen_options`.
        licences_accepted: Short names of the licences that the user accepts.
        split_seed: Seed of the splits, for datasets that store one.
        mirrors: Addresses that serve the dataset's archive too, for when its own server is down.
        threads: How many threads may work on it.
    """

    folder: Path
    source: Path | None = None
    options: Mapping[str, Option] = field(default_factory=dict)
    licences_accepted: Sequence[str] = ()
    split_seed: int = 0
    mirrors: Sequence[str] = ()
    threads: int = 1


@dataclass(frozen=True)
class Raw:
    """Files that a dataset's images are yet to be made of.

    Attributes:
        clients: Whose there are.
        files: How many of what: `96 volumes`.
        wait: What is not yet done with them, in a few words.
    """

    clients: frozenset[str]
    files: str
    wait: str


class Dataset(ABC):
    """A federated dataset. Subclass it, fill in the attributes, and write `prepare` and `index`.

    Attributes:
        name: The module's file name.
        title: One line for tables and figures.
        clients: All clients of the complete dataset.
        classes: Names of what is told apart; a label is a position in this tuple.
        licence: The terms of use.
        homepage: Where the dataset is described.
        protocols: Caption of every train/test split, by name. The first is the dataset's own: `published`.
        drawn: The protocols whose test images follow from `split_seed`, and how many divisions there are: None for one
            with every seed, a number for folds, of which seed k tests fold k modulo the number.
        options: Defaults of the settings that only this dataset knows (`federations.<name>.options`).
        task: What is learned: the name of a module of `benchmark/tasks/`.
        channels: Of the packed images: 3 for colour (RGB), 1 for grey.
        group_name: What reports call its groups, in the plural: lesions, patients.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    clients: ClassVar[tuple[Client, ...]]
    classes: ClassVar[tuple[str, ...]]
    licence: ClassVar[Licence]
    homepage: ClassVar[str]
    protocols: ClassVar[Mapping[str, str]]
    drawn: ClassVar[Mapping[str, int | None]] = {}
    options: ClassVar[Mapping[str, Option]] = {}
    task: ClassVar[str] = "classification"
    channels: ClassVar[int] = 3
    group_name: ClassVar[str] = "groups"

    @abstractmethod
    def prepare(self, request: Request) -> Path:
        """Download the data, draw it, or adopt a copy that exists. Never succeeds over missing files.

        Returns:
            The folder in which the data lies.

        Raises:
            DataError: The data cannot be had; the message says what to do.
        """

    @abstractmethod
    def index(self, root: Path, protocol: str, split_seed: int) -> pd.DataFrame:
        """One row for each image of each client that is present.

        Args:
            root: What `prepare` returned.
            protocol: A key of `protocols`.
            split_seed: Seed of the splits that we make ourselves.

        Returns:
            Columns `sample` (str, unique), `client` (str), `group` (str: what must not be torn apart, a lesion or a
            patient), `split` ("train" or "test", and "validation" where the dataset itself says which images those
            are) and `path` (str, relative to `root`). Where there are such: `label` (int64), which classification
            learns, `target` (str, a mask's path, relative to `root`), which segmentation learns, `case` (str: what is
            scored as one, a volume of many slices; otherwise every sample is a case), `position` (int64: the number of
            a slice in its case, which `context` needs), and other columns that the task's `target` reads.

        Raises:
            DataError: Files are missing, or are not what they should be.
        """

    def locate(self, request: Request) -> Path | None:
        """The folder in which `prepare` would find the data without fetching anything, be it whole or not.

        Returns:
            A folder that exists; None where there is nothing yet.
        """
        root = request.source or request.folder
        return root if root.is_dir() else None

    def remains(self, request: Request) -> str:
        """What an unfinished preparation has left and the next one goes on from, in a few words; "" for nothing."""
        parts = sorted(request.folder.glob("*.part")) if request.folder.is_dir() else []
        return ", ".join(f"{part.stem}: {readable(part.stat().st_size)} downloaded" for part in parts)

    def raw(self, request: Request) -> Raw | None:
        """What `prepare` has yet to make images of, where that is all here and `index` has nothing to read so far."""
        return None

    def incomplete(self, request: Request) -> dict[str, str]:
        """What of each client there is, by client, where a run goes on with some of its patients."""
        return {}

    def fetches(self, request: Request) -> bool:
        """Whether `prepare` would download anything, so that the licence counts; most datasets never do."""
        return False

    def require_licence(self, request: Request) -> None:
        """Stop before anything is downloaded whose terms have not been accepted.

        Raises:
            DataError: The user has not accepted the licence; the message says where to read it and how to accept it.
        """
        if self.licence.must_be_accepted and self.licence.name not in request.licences_accepted:
            raise DataError(
                f"{self.name}: read the licence at {self.licence.address} ({self.licence.title}) and, if you "
                f"accept it, add {self.licence.name!r} to `licences_accepted`; or set "
                f"`federations.{self.name}.source` to a copy of yours"
            )

    def protocol(self, name: str) -> str:
        """The protocol of that name; `published` is the dataset's own split.

        Raises:
            DataError: There is no such protocol.
        """
        chosen = next(iter(self.protocols)) if name == "published" else name
        if chosen not in self.protocols:
            raise DataError(f"{self.name}: there is no protocol {name!r}; there are: {', '.join(self.protocols)}")
        return chosen

    def chosen_options(self, options: Mapping[str, Option]) -> dict[str, Option]:
        """The user's options over the defaults.

        Returns:
            A value for each option there is, of its default's type.

        Raises:
            DataError: An option does not exist, or is of another type.
        """
        for key, value in options.items():
            if key not in self.options:
                allowed = ", ".join(self.options) or "none"
                raise DataError(f"{self.name}: there is no option {key!r}; there are: {allowed}")
            if fault := of_another_type(type(self.options[key]), value):
                raise DataError(f"{self.name}: options.{key}{fault}")
        return {key: type(default)(options.get(key, default)) for key, default in self.options.items()}


def names() -> list[str]:
    """The datasets that exist, found by file name: none is imported, so that a broken one harms no other."""
    folder = Path(__file__).parent / "datasets"
    return sorted(path.stem for path in folder.glob("*.py") if not path.stem.startswith("_"))


def find(name: str) -> Dataset:
    """The dataset of that name.

    Raises:
        DataError: There is no such dataset, or its module defines no `DATASET`.
    """
    if name not in names():
        raise DataError(f"there is no dataset {name!r}; there are: {', '.join(names())}")
    file = Path(__file__).parent / "datasets" / f"{name}.py"
    try:
        dataset = getattr(importlib.import_module(f"benchmark.data.datasets.{name}"), "DATASET", None)
    except Exception as error:  # The module is run: it may raise anything.
        raise _fault(error, file, "while it was loaded") from error
    if not isinstance(dataset, Dataset):
        raise DataError(f"{file}: defines no DATASET; end the module with `DATASET = MyDataset()`")
    if lacking := [attribute for attribute in Dataset.__annotations__ if not hasattr(dataset, attribute)]:
        raise DataError(f"{file}: {type(dataset).__name__} does not say {', '.join(lacking)}; see `Dataset`")
    if dataset.name != name:
        raise DataError(
            f"{file}: `name` is {dataset.name!r}, expected {name!r}, as the file is called; change one of them"
        )
    return dataset


def read_rows(file: Path, columns: Sequence[str]) -> pd.DataFrame:
    """The columns that are needed, as text, of a CSV file of one row for each image, for `Dataset.index`.

    A DataError says that there is no such file, or that a column or a value is missing.
    """
    try:
        rows = pd.read_csv(file, dtype=str)
    except (OSError, ValueError) as error:
        raise DataError(f"{file}: cannot be read as CSV: {one_line(error, 300)}") from None
    if lacking := [name for name in columns if name not in rows]:
        raise DataError(f"{file}: no column {', '.join(lacking)}; it has {', '.join(map(str, rows)) or 'none'}")
    for name in columns:
        if (empty := rows[name].isna()).any():
            raise DataError(f"{file}, line {_line(empty)}: {name} is empty; give every row a value")
    return rows[list(columns)]


def positions(names: "pd.Series[str]", known: Sequence[str], file: Path) -> "pd.Series[int]":
    """Names as their positions in a list, int64: a class's name as a label, a site's as a client's number.

    The names are a column of a CSV file, which a DataError tells with the line of one that is not in the list.
    """
    if (strange := ~names.isin(known)).any():
        more = f" and {strange.sum() - 1} more" if strange.sum() > 1 else ""
        raise DataError(
            f"{file}, line {_line(strange)}{more}: {names.name} is {names[strange].iloc[0]!r}, expected one of "
            f"{', '.join(known)}"
        )
    return names.map({name: number for number, name in enumerate(known)}).astype(np.int64)


def checked_index(dataset: Dataset, root: Path, protocol: str, split_seed: int) -> pd.DataFrame:
    """The dataset's index, verified: what every later step may rely on, sorted by client and sample.

    A DataError says where it is not what `Dataset.index` promises.
    """
    try:
        table = dataset.index(root, dataset.protocol(protocol), split_seed)
    except DataError:
        raise
    except Exception as error:  # A module of the user's own may raise anything.
        raise _fault(error, Path(inspect.getfile(type(dataset).index)), "in index()") from error
    if not isinstance(table, pd.DataFrame):
        raise DataError(f"{dataset.name}: index() returned {type(table).__name__}, expected a pandas DataFrame")
    missing = [column for column in COLUMNS if column not in table]
    if missing:
        raise DataError(
            f"{dataset.name}: index() returned no column {', '.join(missing)}, but {', '.join(map(str, table))}"
        )
    known = [name for name in (*TABLE, "path") if name in table]
    table = table[[*known, *(name for name in table if name not in known)]]
    table = table.sort_values(["client", "sample"], ignore_index=True)
    if (empty := table[known].isna().any()).any():
        column = empty.index[empty][0]
        rows = table.loc[table[column].isna(), "sample"]
        raise DataError(f"{dataset.name}: index() left {column} empty for {len(rows)} samples: {some(rows)}")
    if table["sample"].duplicated().any():
        twice = table.loc[table["sample"].duplicated(), "sample"]
        raise DataError(f"{dataset.name}: {len(twice)} samples are listed again: {some(twice)}; name each once")
    if "position" in table and "case" not in table:
        raise DataError(
            f"{dataset.name}: index() gives positions of slices, and no column `case` that they are slices of"
        )
    if "position" in table and table["position"].dtype != np.int64:
        raise DataError(f"{dataset.name}: positions are {table['position'].dtype}, expected int64: numbers of slices")
    if "label" in table and table["label"].dtype != np.int64:
        raise DataError(
            f"{dataset.name}: labels are {table['label'].dtype} (sample {table['sample'][0]}: {table['label'][0]}), "
            "expected int64: positions in `classes`"
        )
    if "label" in table and (strange := ~table["label"].between(0, len(dataset.classes) - 1)).any():
        first = table[strange].iloc[0]
        raise DataError(
            f"{dataset.name}: the label of sample {first['sample']} is {first['label']}, expected a position in "
            f"`classes`, 0 to {len(dataset.classes) - 1}"
        )
    if "case" in table and (torn := _torn(table)):
        raise DataError(f"{dataset.name}: cases of several clients, groups or splits: {some(torn)}; part them")
    for column in [name for name in ("path", "target") if name in table]:
        if (outside := table[column].astype(str).str.contains(r"^/|(?:^|/)\.\.(?:/|$)|\0")).any():
            found = some(table.loc[outside, column])
            raise DataError(f"{dataset.name}: paths out of {root}: {found}; give relative ones")
    for column, allowed in (("client", {c.id for c in dataset.clients}), ("split", set(SPLITS))):
        if (strange := ~table[column].isin(allowed)).any():
            first = table[strange].iloc[0]
            raise DataError(
                f"{dataset.name}: the {column} of sample {first['sample']} is {first[column]!r}, expected one of "
                f"{', '.join(sorted(allowed))}"
            )
    return table


def fingerprint(table: pd.DataFrame) -> str:
    """SHA-256 over who owns which image, and all that is known of it, whatever the split or the rows' order."""
    rows = table.drop(columns=["split", "path"]).sort_values("sample").to_csv(index=False, lineterminator="\n")
    return hashlib.sha256(rows.encode()).hexdigest()


def present(table: pd.DataFrame, root: Path, name: str) -> pd.DataFrame:
    """The rows of an index whose clients' images lie on disk below a folder.

    Only `client`, `path` and, where there is one, `target` are read. A DataError says that a client's images are there
    only in part, that no client's are there at all, or that an image has no mask; it calls the dataset by its name.
    """
    exists = _exist(table["path"], root)
    share = pd.Series(exists).groupby(table["client"].to_numpy()).mean()
    if not exists.any():
        wanted = table["path"].iloc[0] if len(table) else "any image"
        raise DataError(f"{name}: no image found below {root}: {wanted} and all others are absent; set `source`")
    for client in share.index[(share > 0) & (share < 1)]:
        rows = (table["client"] == client).to_numpy()
        lacking = table.loc[rows & ~exists, "path"]
        raise DataError(
            f"{name}: {len(lacking)} of the {rows.sum()} images of client {client} are missing below {root}: "
            f"{some(lacking)}; complete the copy, or remove the client's images altogether to go without it"
        )
    table = table.loc[exists].reset_index(drop=True)
    if "target" in table and not (masked := _exist(table["target"], root)).all():
        lacking = table.loc[~masked, "target"]
        raise DataError(
            f"{name}: {len(lacking)} of {len(table)} images have no mask below {root}: {some(lacking)}; complete the "
            "copy, or leave these images out"
        )
    return table


def some(values: Sequence[object] | pd.Series, count: int = 3) -> str:
    """The first few of many values, for a message of one line."""
    shown = ", ".join(str(value) for value in list(values)[:count])
    return shown + (", ..." if len(values) > count else "")


def _fault(error: Exception, file: Path, when: str) -> DataError:
    """An error in a dataset's module as one line: file, line, what was done, and what happened."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) == file]
    if isinstance(error, SyntaxError):
        lines = [error.lineno]
    line = f":{lines[-1]}" if lines and lines[-1] else ""
    return DataError(f"{file}{line}: {when}: {type(error).__name__}: {one_line(error, 300)}")


def _line(where: "pd.Series[bool]") -> int:
    """The line of a CSV file on which something first holds: the first line has the columns' names."""
    return int(np.flatnonzero(where)[0]) + 2


def _torn(table: pd.DataFrame) -> list[str]:
    """Cases that are not whole in one client, group and split."""
    places = table.groupby("case")[["client", "group", "split"]].nunique()
    return [str(case) for case in places.index[(places > 1).any(axis=1)]]


def _exist(paths: "pd.Series[str]", root: Path) -> npt.NDArray[np.bool_]:
    """Which of the files below a folder are there."""
    # One listing per folder: asking for half a million files one by one takes minutes on a network drive.
    folders = {folder: _listed(root / folder) for folder in {os.path.dirname(path) for path in paths}}
    return np.array([os.path.basename(path) in folders[os.path.dirname(path)] for path in paths], dtype=bool)


def _listed(folder: Path) -> frozenset[str]:
    return frozenset(os.listdir(folder)) if folder.is_dir() else frozenset()
