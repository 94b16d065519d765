"""Job: decode every image once, into arrays of one size that are memory-mapped ever after.

python -m benchmark.data.pack --settings JSON --source source.json --output DIR
"""

import hashlib
import io
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd

from benchmark.config import FederationSettings
from benchmark.data.dataset import SPLITS, TABLE, DataError, Dataset, checked_index, find, fingerprint, some
from benchmark.data.disk import require_space
from benchmark.data.parallel import cores, in_batches
from benchmark.data.picture import decode, fit
from benchmark.data.prepare import Federation
from benchmark.data.splits import cut
from benchmark.errors import one_line
from benchmark.files import atomic, read_json, replaced, sha256, write_json
from benchmark.job import run
from benchmark.tasks import task as tasks
from benchmark.tasks.task import Task

Item = TypeVar("Item")
PACK_FORMAT = 2
BATCH = 32 << 20  # bytes of decoded images held in memory at a time


def pack(settings: Federation, source: Path, output: Path, threads: int | None = None) -> None:
    """Write, of the training and of the test images, four files each, and last `manifest.json`.

    `train.npy` holds images, `train.targets.npy` their targets, `train.parquet` a table, row by row, and
    `train.cases.parquet` what is scored as one. Validation images stand among the training images; test images stand in
    files of their own, so that training never opens them.

    Args:
        settings: The federation's settings.
        source: What `benchmark.data.prepare` wrote.
        output: The folder to write into.
        threads: How many images are decoded at the same time; as many as there are cores where none are given.

    Raises:
        DataError: The data has changed or is unreadable, or a client is left without images of a split, or the disk
            is too small.
    """
    origin, threads = read_json(source), threads or cores()
    dataset, root = find(origin["dataset"]), Path(origin["root"])
    table = checked_index(dataset, root, settings.protocol, settings.split_seed)
    if fingerprint(table) != origin["fingerprint"]:
        raise DataError(f"{root}: the data has changed since it was prepared; delete {source} and run again")
    table = fewer(_chosen(table, settings, dataset), settings.training_images, settings.split_seed)
    _check_splits(table, dataset, ("train", "test"))
    with replaced(output) as new:
        manifest = _packed(table, settings, dataset, origin, root, new, threads)
        (output / "manifest.json").unlink(missing_ok=True)  # It vouches for the other files, which now change.
    write_json(output / "manifest.json", manifest)


def _packed(
    table: pd.DataFrame,
    settings: FederationSettings,
    dataset: Dataset,
    origin: dict[str, Any],
    root: Path,
    output: Path,
    threads: int,
) -> dict[str, Any]:
    """Write the eight files of a pack; what its manifest says."""
    task = tasks.of({"task": dataset.task, "classes": dataset.classes})
    pixels = dataset.channels * settings.image_size**2
    batch = max(BATCH // pixels, threads)
    of_test = (table["split"] == "test").to_numpy()
    parts = {"train": np.flatnonzero(~of_test), "test": np.flatnonzero(of_test)}
    hashes: dict[str, str] = {}

    columns, faults = {str(name): table[name].to_numpy() for name in table}, dict[int, str]()
    target = partial(_target, task, dataset, columns, root, settings, faults)
    first = target(0)  # All are of one shape; where this one cannot be made, its fault is told with all others.
    each = pixels + (0 if first is None else first.nbytes)
    require_space(output, each * len(table), f"the pack of {dataset.name}")
    strata = np.zeros(len(table), dtype=np.int64)
    for name, rows in parts.items():
        targets = output / f"{name}.targets.npy"
        hashes[targets.name], without = _write(targets, target, rows.tolist(), threads, batch)
        if not without:
            strata[rows] = task.strata(np.load(targets, mmap_mode="r"))
    if faults:
        raise DataError(_unusable(dataset, table, faults))
    table = with_validation(table, strata, settings.validation, settings.split_seed)
    _check_splits(table, dataset, SPLITS)

    failed: list[Path] = []
    image = partial(_image, size=settings.image_size, resize=settings.resize, channels=dataset.channels)
    for name, rows in parts.items():
        images, part = output / f"{name}.npy", table.iloc[rows]
        hashes[images.name], broken = _write(images, image, [root / path for path in part["path"]], threads, batch)
        failed += broken
        for file, content in ((f"{name}.parquet", part[_shown(part)]), (f"{name}.cases.parquet", cases(part))):
            with atomic(output / file) as path:
                content.to_parquet(path, index=False)
            hashes[file] = sha256(output / file)
    if failed:
        raise DataError(
            f"{dataset.name}: {len(failed)} images below {root} cannot be read: "
            f"{some([path.relative_to(root) for path in failed])}; fetch them again or restore them from a copy, then "
            "run again"
        )
    return _manifest(table, strata, settings, dataset, origin, hashes)


def fewer(table: pd.DataFrame, images: int | None, seed: int) -> pd.DataFrame:
    """The table with fewer of every client's training images, in whole groups.

    Classes stay in proportion where the index has labels; masks are not read yet when images are chosen.

    Args:
        table: An index of N rows. Where it says itself which images are for validation, both kinds become fewer alike.
        images: About so many of a client stay; all where it is None.
        seed: See `splits.cut`.

    Returns:
        The rows that stay, in their order, all test images among them.
    """
    if images is None:
        return table
    kept = np.ones(len(table), dtype=bool)
    split, group = table["split"].to_numpy(), table["group"].to_numpy()
    strata = table["label"].to_numpy() if "label" in table else np.zeros(len(table), dtype=np.int64)
    for client in sorted(set(table["client"])):
        own = (table["client"] == client).to_numpy() & (split != "test")
        if own.sum() <= images:
            continue
        for kind in sorted(set(split[own])):
            rows = np.flatnonzero(own & (split == kind))
            stay = cut(group[rows], strata[rows], images / own.sum(), seed)
            kept[rows] = stay if stay.any() else True  # A single group is never cut.
    return table[kept].reset_index(drop=True)


def with_validation(table: pd.DataFrame, strata: npt.NDArray[np.int64], fraction: float, seed: int) -> pd.DataFrame:
    """The table with a part of every client's training images, whole groups, marked `validation`.

    Args:
        table: An index of N rows. Clients of which it says itself which images are for validation stay as they are.
        strata: What is kept in proportion, (N,); see `Task.strata`.
        fraction: Share of the training images.
        seed: See `splits.cut`.

    Returns:
        A copy of `table` with three values of `split`.
    """
    split = table["split"].to_numpy(dtype=object, copy=True)
    own = set(table.loc[table["split"] == "validation", "client"])
    for client in sorted(set(table["client"]) - own):
        rows = np.flatnonzero((table["client"] == client).to_numpy() & (split == "train"))
        held = cut(table["group"].to_numpy()[rows], strata[rows], fraction, seed)
        split[rows[held]] = "validation"
    return table.assign(split=split.astype(str))


def cases(table: pd.DataFrame) -> pd.DataFrame:
    """What is scored as one: every sample, where the table has no column `case`.

    Args:
        table: An index.

    Returns:
        A row for each case: `case`, `client`, `group`, and `samples`, how many it has.
    """
    case = table["case"] if "case" in table else table["sample"]
    grouped = table[["client", "group"]].groupby(case.rename("case"), sort=False)
    return grouped.first().assign(samples=grouped.size()).reset_index()


def _shown(table: pd.DataFrame) -> list[str]:
    """The columns of the pack's tables."""
    return [name for name in TABLE if name in table]


def _image(file: Path, **how: Any) -> npt.NDArray[np.uint8] | None:
    try:
        return decode(file, **how)
    except (OSError, ValueError, SyntaxError):  # Pillow's three ways to say that a file is broken.
        return None


def _target(
    task: Task,
    dataset: Dataset,
    columns: Mapping[str, npt.NDArray[Any]],
    root: Path,
    settings: FederationSettings,
    faults: dict[int, str],
    number: int,
) -> npt.NDArray[Any] | None:
    """The target of the row of that number, by the index's `columns`; None, and an entry in `faults`, without one."""
    row = {name: values[number] for name, values in columns.items()}
    fitted = partial(fit, image=root / row["path"], size=settings.image_size, resize=settings.resize)
    try:
        return np.asarray(task.target(row, root, fitted))
    except KeyError as error:
        raise DataError(f"{dataset.name}: index() returned no column {error}, which {task.name} learns") from None
    except (OSError, ValueError, SyntaxError) as error:
        faults[number] = one_line(error, 300)
        return None


def _unusable(dataset: Dataset, table: pd.DataFrame, faults: Mapping[int, str]) -> str:
    """What is wrong with targets, by the numbers of their rows: one line that names some and counts all."""
    found = [(table["sample"].iloc[row], faults[row]) for row in sorted(faults)]
    if len(found) == 1:
        return f"{dataset.name}: the target of {found[0][0]} cannot be used: {found[0][1]}"
    shown = some([f"{sample} ({fault})" for sample, fault in found])
    return f"{dataset.name}: {len(found)} of {len(table)} targets cannot be used: {shown}"


def _write(
    target: Path, work: Callable[[Item], npt.NDArray[Any] | None], items: Sequence[Item], threads: int, batch: int
) -> tuple[str, list[Item]]:
    """Stack arrays into one on disk, which is hashed as it is written and never held in memory.

    Args:
        target: The file.
        work: Makes an item's array; None where it cannot.
        items: What the arrays are of.
        threads: How many are made at the same time.
        batch: Arrays held at a time.

    Returns:
        The SHA-256 of the file, and the items that have no array. Where there are such, the file is not whole: what is
        left is read to name them all.

    Raises:
        DataError: Arrays differ in shape or dtype.
    """
    failed: list[Item] = []
    found, kinds = hashlib.sha256(), set[str]()
    with atomic(target) as path, path.open("wb") as stream:
        done = 0
        for arrays in in_batches(work, items, threads, batch, f"pack {target.stem}"):
            failed += [item for item, array in zip(items[done:], arrays, strict=False) if array is None]
            if not failed:
                made = [array for array in arrays if array is not None]
                kinds |= {f"{array.dtype} {array.shape}" for array in made}
                if len(kinds) > 1:
                    shown = some(sorted(kinds))
                    raise DataError(f"{target.name}: all must be of one shape and dtype, but there are {shown}")
                block = np.stack(made)
                for content in ([] if done else [_header(block, len(items))]) + [block.data]:
                    found.update(content)
                    stream.write(content)
            done += len(arrays)
    return found.hexdigest(), failed


def _header(block: npt.NDArray[Any], count: int) -> bytes:
    """How the file of `count` arrays begins, of which these are the first."""
    header = io.BytesIO()
    shape = (count, *block.shape[1:])
    np.lib.format.write_array_header_1_0(header, {**np.lib.format.header_data_from_array_1_0(block), "shape": shape})
    return header.getvalue()


def _chosen(table: pd.DataFrame, settings: FederationSettings, dataset: Dataset) -> pd.DataFrame:
    """The rows of the federation's clients."""
    if settings.clients is None:
        return table
    found = sorted(set(table["client"]))
    if absent := [client for client in settings.clients if client not in found]:
        raise DataError(f"{dataset.name}: no images of client {', '.join(absent)}; there are: {', '.join(found)}")
    return table[table["client"].isin(settings.clients)].reset_index(drop=True)


def _check_splits(table: pd.DataFrame, dataset: Dataset, splits: Sequence[str]) -> None:
    """Every client needs images to train on, to choose a rate on, and to be judged on."""
    for client, rows in table.groupby("client"):
        if lacking := [split for split in splits if split not in set(rows["split"])]:
            raise DataError(
                f"{dataset.name}: client {client} has {len(rows)} images, none for {' and '.join(lacking)}: "
                "take another protocol, or leave it out with the federation's `clients`"
            )


def _manifest(
    table: pd.DataFrame,
    strata: npt.NDArray[np.int64],
    settings: FederationSettings,
    dataset: Dataset,
    origin: dict[str, Any],
    hashes: dict[str, str],
) -> dict[str, Any]:
    """What is packed: the same on every machine, for the same data and settings."""
    found, kinds = set(table["client"]), max(len(dataset.classes), int(strata.max()) + 1)
    protocol = dataset.protocol(settings.protocol)
    caption = dataset.protocols[protocol]
    if settings.training_images is not None:
        caption += f" Of each client about {settings.training_images} images are trained and validated on."
    return {
        "pack_format": PACK_FORMAT,
        "dataset": dataset.name,
        "title": dataset.title,
        "task": dataset.task,
        "classes": list(dataset.classes),
        "group_name": dataset.group_name,
        "clients": {
            client.id: {
                "name": client.name,
                **_counts(table, strata, (table["client"] == client.id).to_numpy(), kinds),
            }
            for client in dataset.clients
            if client.id in found
        },
        "missing_clients": [
            client.id for client in dataset.clients if client.id not in found and client.id not in origin["clients"]
        ],
        "image_size": settings.image_size,
        "resize": settings.resize,
        "protocol": protocol,
        "caption": caption,
        "licence": origin["licence"],
        "homepage": dataset.homepage,
        "source": {"fingerprint": origin["fingerprint"], "samples": origin["samples"]},
        "hashes": hashes,
    }


def _counts(
    table: pd.DataFrame, strata: npt.NDArray[np.int64], own: npt.NDArray[np.bool_], kinds: int
) -> dict[str, dict[str, Any]]:
    """Of every split of one client: images of each stratum (of each class, where there are), groups and cases."""
    rows = {split: np.flatnonzero(own & (table["split"] == split).to_numpy()) for split in SPLITS}
    return {
        "counts": {split: np.bincount(strata[part], minlength=kinds).tolist() for split, part in rows.items()},
        "groups": {split: int(table["group"].iloc[part].nunique()) for split, part in rows.items()},
        "cases": {split: len(cases(table.iloc[part])) for split, part in rows.items()},
    }


if __name__ == "__main__":
    raise SystemExit(run(pack))
