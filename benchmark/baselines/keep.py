"""Job: keep a finished row as one archive. Equal rows are equal archives, to the byte."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmark import archive
from benchmark.baselines.match import ABOUT, FORMAT
from benchmark.files import digest, json_bytes, read_json
from benchmark.job import AnyJson, run


def content(results: Path, files: Sequence[Path], about: Mapping[str, Any]) -> dict[str, bytes]:
    """What the archive holds, bytes by name, of a row's files below `results`, and of what `about.json` says.

    A run says that it is from the reference: wherever it is read again, it is. A ValueError says that one was trained
    with another engine or method than `about` names.
    """
    held = {ABOUT: json_bytes({**about, "format": FORMAT})}
    for path in files:
        name = path.relative_to(results).as_posix()
        held[name] = path.read_bytes()
        if name.startswith("gathered/") and path.suffix == ".json":
            held[name] = json_bytes([_marked(run, about["decides"], path) for run in read_json(path)])
    return held


def _marked(run: Mapping[str, Any], decides: Mapping[str, str], path: Path) -> dict[str, Any]:
    """A run as the archive keeps it."""
    own = {
        "engine": run["hashes"]["engine"],
        "method": digest([run["hashes"]["method"], run["method"]["settings"]]),
    }
    if other := [part for part, value in own.items() if value != decides[part]]:
        raise ValueError(f"{path}: trained with another {other[0]} than the present one; run `snakemake all`")
    return {**run, "origin": "reference"}


def keep(results: Path, files: tuple[Path, ...], pack: Path, backbone: Path, decides: AnyJson, output: Path) -> None:
    """Keep a finished row as one archive.

    Args:
        results: The configuration's results.
        files: The row's files, below `results`: they keep their names from there.
        pack: The pack's manifest.
        backbone: The backbone's `backbone.json`.
        decides: Hashes of what decides the row.
        output: The archive.
    """
    about = {"decides": decides, "images": read_json(pack)["hashes"], "backbone": read_json(backbone)["sha256"]}
    archive.write(output, content(results, files, about))


if __name__ == "__main__":
    raise SystemExit(run(keep))
