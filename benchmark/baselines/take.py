"""Job: a row's files from an archive, at the paths where training, selection and testing would have written them.

    python -m benchmark.baselines.take --archive FILE --pack FILE --backbone FILE [--drawn] --results DIR
        --files FILE [FILE ...]

Refuses an archive whose images or weights are not those of PACK (the pack's manifest) and BACKBONE (the backbone's
`backbone.json`). `--drawn` says that the project pretrained the backbone itself: its weights then differ in their last
bits from machine to machine, and are not compared.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmark.archive import read
from benchmark.baselines.match import about
from benchmark.files import atomic, read_json
from benchmark.job import run


def other(kept: Mapping[str, Any], images: Mapping[str, str], backbone: str | None) -> str:
    """What an archive's row was made from and is not here.

    Args:
        kept: The archive's `about.json`.
        images: Hashes of the pack's files, by name.
        backbone: Hash of the weights; None where they are not compared.

    Returns:
        The first difference in a few words; "" where there is none.
    """
    for name in sorted({*kept["images"], *images}):
        was, is_ = kept["images"].get(name, "absent"), images.get(name, "absent")
        if was != is_:
            return f"other images: {name} was {was[:6]}, and is {is_[:6]} here"
    if backbone is not None and kept["backbone"] != backbone:
        return f"other weights: the backbone was {kept['backbone'][:6]}, and is {backbone[:6]} here"
    return ""


def take(
    archive: Path, pack: Path, backbone: Path, results: Path, files: tuple[Path, ...], drawn: bool = False
) -> None:
    """Write a kept row's files where training, selection and testing would have written them.

    Args:
        archive: The row's.
        pack: The pack's manifest.
        backbone: The backbone's `backbone.json`.
        results: The configuration's results.
        files: What is written, below `results`.
        drawn: Whether the project pretrained the backbone itself.

    Raises:
        ValueError: The row was made from other images or weights.
    """
    weights = None if drawn else read_json(backbone)["sha256"]
    if fault := other(about(archive), read_json(pack)["hashes"], weights):
        raise ValueError(f"{archive}: made from {fault}; train without `baselines=reference`")
    names = {path.relative_to(results).as_posix(): path for path in files}
    for name, content in read(archive, *names).items():
        with atomic(names[name]) as path:
            path.write_bytes(content)


if __name__ == "__main__":
    raise SystemExit(run(take))
