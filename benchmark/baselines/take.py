"""Job: a row's files from an archive, at the paths where training, selection and testing would have written them.

    python -m benchmark.baselines.take --archive FILE --pack FILE --backbone FILE --results DIR --files FILE [FILE ...]

Refuses an archive whose images or weights are not those of PACK (the pack's manifest) and BACKBONE (the backbone's
`backbone.json`).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmark.archive import read
from benchmark.baselines.match import about
from benchmark.files import atomic, read_json
from benchmark.job import run


def other(kept: Mapping[str, Any], images: Mapping[str, str], backbone: str) -> str:
    """What an archive's row was made from and is not here.

    Args:
        kept: The archive's `about.json`.
        images: Hashes of the pack's files, by name.
        backbone: Hash of the weights.

    Returns:
        The first difference in a few words; "" where there is none.
    """
    for name in sorted({*kept["images"], *images}):
        was, is_ = kept["images"].get(name, "absent"), images.get(name, "absent")
        if was != is_:
            return f"other images: {name} was {was[:6]}, and is {is_[:6]} here"
    if kept["backbone"] != backbone:
        return f"other weights: the backbone was {kept['backbone'][:6]}, and is {backbone[:6]} here"
    return ""


def take(archive: Path, pack: Path, backbone: Path, results: Path, files: tuple[Path, ...]) -> None:
    """Write a kept row's files where training, selection and testing would have written them.

    Args:
        archive: The row's.
        pack: The pack's manifest.
        backbone: The backbone's `backbone.json`.
        results: The configuration's results.
        files: What is written, below `results`.

    Raises:
        ValueError: The row was made from other images or weights.
    """
    if fault := other(about(archive), read_json(pack)["hashes"], read_json(backbone)["sha256"]):
        raise ValueError(f"{archive}: made from {fault}; train without `baselines=reference`")
    names = {path.relative_to(results).as_posix(): path for path in files}
    for name, content in read(archive, *names).items():
        with atomic(names[name]) as path:
            path.write_bytes(content)


if __name__ == "__main__":
    raise SystemExit(run(take))
