"""Camelyon17-WILDS from a copy on Hugging Face's hub, for when WILDS' own host is down.

The copy holds a row for each patch, in Parquet files of one revision. What arrives of each file is verified by the hash
that the hub keeps of it; then its rows become WILDS' folder, and the file is deleted. Whether its PNG files are WILDS'
own to the byte could not be verified. That every hospital has its published patches is (`Camelyon17.prepare`).
"""

import shutil
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from tqdm import tqdm

from benchmark.data import hub
from benchmark.data.dataset import DataError
from benchmark.data.download import download
from benchmark.errors import one_line
from benchmark.files import write_text

REPOSITORY = "wltjr1007/Camelyon17-WILDS"
REVISION = "d784d5344ba6c967f83f9f3d9b2f1e2a4d6eb78f"
COLUMNS = {
    "patient": ("patient",),
    "node": ("node",),
    "x_coord": ("x_coord", "x"),
    "y_coord": ("y_coord", "y"),
    "tumor": ("tumor", "label"),
    "slide": ("slide",),
    "center": ("center", "centre", "hospital"),
}
"""WILDS' names of a patch's columns, and those that a copy may have."""
SIGNATURE = b"\x89PNG\r\n\x1a\n"


def fetch(target: Path, patches: int) -> None:
    """Bring the copy, as WILDS' folder; a call that was interrupted goes on with the file that it had come to.

    The target, `camelyon17_v1.0`, appears once all of it is there: so many patches. A DataError says that the hub does
    not give the copy, or that it is not what it should be.
    """
    unfinished = target.with_name(f".{target.name}.hub")
    files = {Path(path).stem: wanted for path, wanted in hub.listed(REPOSITORY, REVISION, "data", ".parquet").items()}
    for name, wanted in tqdm(files.items(), desc=f"unpack {REPOSITORY}", unit="files", mininterval=5):
        if not (unfinished / f"{name}.csv").is_file():
            parquet = download(wanted, target.with_name(f"{name}.parquet"))
            rows = _unpack(parquet, unfinished)
            # Of WILDS' own split, 1 marks the validation patches of the hospitals that it trains on.
            write_text(unfinished / f"{name}.csv", rows.assign(split=int("validation" in name)).to_csv(index=False))
            parquet.unlink()
    parts = [unfinished / f"{name}.csv" for name in files]
    rows = pd.concat([pd.read_csv(part, dtype={"patient": str}) for part in parts], ignore_index=True)
    if len(rows) != patches or rows.duplicated(["patient", "node", "x_coord", "y_coord"]).any():
        shutil.rmtree(unfinished)
        raise DataError(f"{REPOSITORY}: holds {len(rows)} patches, expected {patches}, each once")
    write_text(unfinished / "metadata.csv", rows.to_csv())
    for part in parts:
        part.unlink()
    unfinished.replace(target)


def _unpack(parquet: Path, folder: Path) -> pd.DataFrame:
    """Write a file's patches where WILDS has them; returns the patches' rows of WILDS' metadata."""
    try:
        with pq.ParquetFile(parquet) as file:
            names = _named(file.schema_arrow.names)
            columns = [names[name] for name in COLUMNS]
            batches = [
                _write(batch, columns, folder)
                for batch in file.iter_batches(1024, columns=["image", *columns])  # Some 25 MB at a time.
            ]
    except (pa.ArrowException, KeyError, TypeError, ValueError) as error:
        parquet.unlink()
        raise DataError(f"{REPOSITORY}: {parquet.name} is not as expected: {one_line(error, 300)}") from None
    return pd.concat(batches, ignore_index=True)


def _named(found: Sequence[str]) -> dict[str, str]:
    """The copy's names of WILDS' columns."""
    names = {name: next((other for other in others if other in found), "") for name, others in COLUMNS.items()}
    lacking = [name for name, other in {**names, "image": "image" if "image" in found else ""}.items() if not other]
    if lacking:
        raise ValueError(f"no column {', '.join(lacking)}, but {', '.join(found)}")
    return names


def _write(batch: pa.RecordBatch, columns: Sequence[str], folder: Path) -> pd.DataFrame:
    """Write a batch's patches; returns their rows."""
    found = {name: batch.column(other).to_pylist() for name, other in zip(COLUMNS, columns, strict=True)}
    rows = pd.DataFrame({name: [int(value) for value in values] for name, values in found.items()})
    rows["patient"] = [f"{patient:03}" for patient in rows["patient"]]
    places = zip(rows["patient"], rows["node"], rows["x_coord"], rows["y_coord"], strict=True)
    for (patient, node, x, y), image in zip(places, batch.column("image").to_pylist(), strict=True):
        _save(f"patient_{patient}_node_{node}", f"_x_{x}_y_{y}", image["bytes"], folder)
    return rows


def _save(slide: str, place: str, image: bytes, folder: Path) -> None:
    name = f"patch_{slide}{place}.png"
    if not image.startswith(SIGNATURE):
        raise ValueError(f"{name} is no PNG file")
    (folder / "patches" / slide).mkdir(parents=True, exist_ok=True)
    (folder / "patches" / slide / name).write_bytes(image)
