"""Whether a kept row may stand for a training: everything that decides it is as it was.

A row is kept as an archive: its files, and `about.json` with the hashes of what decides them. Those of `DECIDES` are
known before anything is downloaded; those of images and weights once they are here.
"""

import json
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from benchmark import archive
from benchmark.files import read_json

ABOUT = "about.json"
FORMAT = 2
DECIDES = {
    "protocol": "the protocol (settings of training, packing, backbone or selection) has",
    "method": "the method (its file or its settings) has",
    "engine": "the engine has",
    "evaluation": "the code that selects and tests has",
}
"""What decides a row, and what is said where it has changed."""


def about(path: Path) -> dict[str, Any]:
    """What an archive says of its row, in its `about.json`; a ValueError where it is no archive of a row."""
    said = json.loads(archive.read(path, ABOUT)[ABOUT])
    if not isinstance(said, dict) or said.get("format") != FORMAT:
        raise ValueError(f"{path}: made by another version of the project; make it anew with `snakemake reference`")
    return said


def found(pack: Path, backbone: Path) -> tuple[dict[str, str], str]:
    """What a row would be made from here: hashes of the pack's files, by name, and the weights' hash.

    Both folders are given; an OSError says that one of the files is not here.
    """
    images = read_json(pack / "manifest.json")["hashes"]
    return images, read_json(backbone / "backbone.json")["sha256"]


def other(kept: Mapping[str, Any], images: Mapping[str, str], backbone: str) -> str:
    """The first thing that a kept row was made from and is not here, in a few words; "" where there is none.

    `kept` is the archive's `about.json`; images are hashes of the pack's files, by name.
    """
    for name in sorted({*kept["images"], *images}):
        was, is_ = kept["images"].get(name, "absent"), images.get(name, "absent")
        if was != is_:
            return f"other images: {name} was {was[:6]}, and is {is_[:6]} here"
    if kept["backbone"] != backbone:
        return f"other weights: the backbone was {kept['backbone'][:6]}, and is {backbone[:6]} here"
    return ""


def fault(path: Path, decides: Mapping[str, str], files: Iterable[str]) -> str:
    """Why a kept row cannot be used, in a few words; "" where it can be.

    `decides` are the present hashes of what decides it, by the names in `DECIDES`; `files` what the archive must hold.
    """
    if not path.is_file():
        return f"there is no {path}"
    try:
        kept = about(path)["decides"]
        with zipfile.ZipFile(path) as opened:
            absent = sorted(set(files) - set(opened.namelist()))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        return str(error)
    for name, changed in DECIDES.items():
        if kept.get(name) != decides[name]:
            return f"{changed} changed since {path} ({str(kept.get(name))[:6]} != {decides[name][:6]})"
    return f"{path} lacks {', '.join(absent)}" if absent else ""
