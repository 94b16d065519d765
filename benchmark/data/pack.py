"""Job: decode every image once, into arrays of one size that are memory-mapped ever after.

python -m benchmark.data.pack --settings JSON --source source.json --output DIR
"""

import argparse
import hashlib
import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image

from benchmark.config import FederationSettings
from benchmark.data.dataset import SPLITS, DataError, Dataset, checked_index, find, fingerprint, some
from benchmark.data.disk import require_space
from benchmark.data.parallel import cores, in_batches
from benchmark.data.prepare import read_settings, run
from benchmark.data.splits import cut
from benchmark.files import atomic, read_json, sha256, write_json

PACK_FORMAT = 1
BATCH = 32 << 20  # bytes of decoded images held in memory at a time


def pack(settings: FederationSettings, source: Path, output: Path, threads: int = 1) -> None:
    """Write `train.npy`, `train.parquet`, `test.npy`, `test.parquet` and, last, `manifest.json`.

    Row i of a table describes image i of its array. Validation images stand among the training images; test
    images stand in files of their own, so that training never opens them.

    Args:
        settings: The federation's settings.
        source: What `benchmark.data.prepare` wrote.
        output: The folder to write into.
        threads: How many images are decoded at the same time.

    Raises:
        DataError: The data has changed or is unreadable, or a client is left without images of a split, or the disk
            is too small.
    """
    origin = read_json(source)
    dataset, root = find(origin["dataset"]), Path(origin["root"])
    table = checked_index(dataset, root, settings.protocol, settings.split_seed)
    if fingerprint(table) != origin["fingerprint"]:
        raise DataError(f"{root}: the data has changed since it was prepared; delete {source} and run again")
    (output / "manifest.json").unlink(missing_ok=True)  # It vouches for the other files, which are about to change.
    table = with_validation(_chosen(table, settings, dataset), settings.validation, settings.split_seed)
    _check_splits(table, dataset)
    output.mkdir(parents=True, exist_ok=True)
    require_space(output, 3 * settings.image_size**2 * len(table), f"the pack of {dataset.name}")
    failed: list[str] = []
    hashes: dict[str, str] = {}
    for name, part in (("train", table[table["split"] != "test"]), ("test", table[table["split"] == "test"])):
        images, rows = output / f"{name}.npy", output / f"{name}.parquet"
        paths = [root / name for name in part["path"]]
        hashes[images.name], broken = _write_images(images, paths, settings.image_size, settings.resize, threads)
        failed += [str(path.relative_to(root)) for path in broken]
        with atomic(rows) as path:
            part.drop(columns="path").to_parquet(path, index=False)
        hashes[rows.name] = sha256(rows)
    if failed:
        for file in hashes:
            (output / file).unlink()
        raise DataError(
            f"{dataset.name}: {len(failed)} images below {root} cannot be read: {some(failed)}; fetch them "
            "again or restore them from a copy, then run again"
        )
    write_json(output / "manifest.json", _manifest(table, settings, dataset, origin, hashes))


def with_validation(table: pd.DataFrame, fraction: float, seed: int) -> pd.DataFrame:
    """The table with a part of every client's training images, whole groups, marked `validation`.

    Args:
        table: An index. Clients of which it says itself which images are for validation stay as they are.
        fraction: Share of the training images.
        seed: See `splits.cut`.

    Returns:
        A copy of `table` with three values of `split`.
    """
    split = table["split"].to_numpy(dtype=object, copy=True)
    own = set(table.loc[table["split"] == "validation", "client"])
    for client in sorted(set(table["client"]) - own):
        rows = np.flatnonzero((table["client"] == client).to_numpy() & (split == "train"))
        held = cut(table["group"].to_numpy()[rows], table["label"].to_numpy()[rows], fraction, seed)
        split[rows[held]] = "validation"
    return table.assign(split=split.astype(str))


def decode(path: Path, size: int, resize: Literal["crop", "squash"]) -> npt.NDArray[np.uint8]:
    """Read an image and bring it to `size` x `size` pixels.

    Args:
        path: A JPEG or PNG file.
        size: Side of the result in pixels.
        resize: `crop` scales the short side to `size` and cuts the centre; `squash` scales both sides.

    Returns:
        (size, size, 3) uint8, RGB. Pillow's errors pass: OSError, ValueError or SyntaxError.
    """
    with Image.open(path) as picture:
        # A JPEG can be decoded at a half, a quarter or an eighth; twice the size leaves the filter enough to
        # work on.
        picture.draft("RGB", (2 * size, 2 * size))
        image = picture.convert("RGB")
    if resize == "squash":
        return np.asarray(image.resize((size, size), Image.Resampling.BICUBIC))
    ratio = size / min(image.size)
    width, height = (max(size, round(side * ratio)) for side in image.size)
    left, top = (width - size) // 2, (height - size) // 2
    whole = image.resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(whole.crop((left, top, left + size, top + size)))


def _write_images(
    target: Path, files: Sequence[Path], size: int, resize: Literal["crop", "squash"], threads: int
) -> tuple[str, list[Path]]:
    """Decode images into an array on disk, which is hashed as it is written and never held in memory.

    Returns the SHA-256 of the array's file, and the image files that cannot be read.
    """

    def one(file: Path) -> npt.NDArray[np.uint8] | None:
        try:
            return decode(file, size, resize)
        except (OSError, ValueError, SyntaxError):  # Pillow's three ways to say that a file is broken.
            return None

    failed: list[Path] = []
    found = hashlib.sha256()
    header = io.BytesIO()
    shape = {"descr": "|u1", "fortran_order": False, "shape": (len(files), size, size, 3)}
    np.lib.format.write_array_header_1_0(header, shape)
    batch = max(BATCH // (3 * size * size), threads)
    with atomic(target) as path, path.open("wb") as stream:
        found.update(header.getvalue())
        stream.write(header.getvalue())
        done = 0
        for images in in_batches(one, files, threads, batch, f"pack {target.stem}"):
            failed += [file for file, image in zip(files[done:], images, strict=False) if image is None]
            done += len(images)
            if not failed:  # An array that lacks an image is not kept; the rest is read to name all that is broken.
                block = np.stack([image for image in images if image is not None]).data
                found.update(block)
                stream.write(block)
    return found.hexdigest(), failed


def _chosen(table: pd.DataFrame, settings: FederationSettings, dataset: Dataset) -> pd.DataFrame:
    """The rows of the federation's clients."""
    if settings.clients is None:
        return table
    found = sorted(set(table["client"]))
    if absent := [client for client in settings.clients if client not in found]:
        raise DataError(f"{dataset.name}: no images of client {', '.join(absent)}; there are: {', '.join(found)}")
    return table[table["client"].isin(settings.clients)].reset_index(drop=True)


def _check_splits(table: pd.DataFrame, dataset: Dataset) -> None:
    """Every client needs images to train on, to choose a rate on, and to be judged on."""
    for client, rows in table.groupby("client"):
        if lacking := [split for split in SPLITS if split not in set(rows["split"])]:
            raise DataError(
                f"{dataset.name}: client {client} has {len(rows)} images, none for {' and '.join(lacking)}: "
                "take another protocol, or leave it out with the federation's `clients`"
            )


def _manifest(
    table: pd.DataFrame,
    settings: FederationSettings,
    dataset: Dataset,
    origin: dict[str, Any],
    hashes: dict[str, str],
) -> dict[str, Any]:
    """What is packed: the same on every machine, for the same data and settings."""
    found = set(table["client"])
    protocol = dataset.protocol(settings.protocol)
    return {
        "pack_format": PACK_FORMAT,
        "dataset": dataset.name,
        "title": dataset.title,
        "task": dataset.task,
        "classes": list(dataset.classes),
        "clients": {
            client.id: {
                "name": client.name,
                **_counts(table[table["client"] == client.id], len(dataset.classes)),
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
        "caption": dataset.protocols[protocol],
        "licence": origin["licence"],
        "homepage": dataset.homepage,
        "source": {"fingerprint": origin["fingerprint"], "samples": origin["samples"]},
        "hashes": hashes,
    }


def _counts(rows: pd.DataFrame, classes: int) -> dict[str, dict[str, Any]]:
    """Images per class, and groups, of every split of one client."""
    parts = {split: rows[rows["split"] == split] for split in SPLITS}
    return {
        "counts": {split: np.bincount(part["label"], minlength=classes).tolist() for split, part in parts.items()},
        "groups": {split: int(part["group"].nunique()) for split, part in parts.items()},
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(description="Pack a dataset's images into arrays.")
    parser.add_argument("--settings", required=True, help="JSON: federation; or a file of it")
    parser.add_argument("--source", required=True, type=Path, help="what benchmark.data.prepare wrote")
    parser.add_argument("--output", required=True, type=Path, help="the folder to write into")
    parser.add_argument("--threads", type=int, default=cores(), help="images decoded at the same time")
    given = parser.parse_args(arguments)
    return run(lambda: pack(read_settings(given.settings)["federation"], given.source, given.output, given.threads))


if __name__ == "__main__":
    sys.exit(main())
