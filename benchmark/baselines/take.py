"""Job: a row's files from an archive, at the paths where training, selection and testing would have written them.

    python -m benchmark.baselines.take --archive FILE --pack FILE --backbone FILE [--drawn] --results DIR
        --files FILE [FILE ...]

Refuses an archive whose images or weights are not those of PACK (the pack's manifest) and BACKBONE (the backbone's
`backbone.json`). `--drawn` says that the project pretrained the backbone itself: its weights then differ in their last
bits from machine to machine, and are not compared.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmark import archive
from benchmark.baselines.match import about
from benchmark.files import atomic, read_json


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


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job; 0 where every file was written."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--archive", type=Path, required=True)
    parser.add_argument("--pack", type=Path, required=True, help="the pack's manifest")
    parser.add_argument("--backbone", type=Path, required=True, help="the backbone's backbone.json")
    parser.add_argument("--drawn", action="store_true", help="the project pretrained the backbone itself")
    parser.add_argument("--results", type=Path, required=True, help="the configuration's results")
    parser.add_argument("--files", type=Path, nargs="+", required=True, help="what is written, below --results")
    arguments = parser.parse_args(argv)
    try:
        weights = None if arguments.drawn else read_json(arguments.backbone)["sha256"]
        if fault := other(about(arguments.archive), read_json(arguments.pack)["hashes"], weights):
            raise ValueError(f"{arguments.archive}: made from {fault}; train without `baselines=reference`")
        names = {path.relative_to(arguments.results).as_posix(): path for path in arguments.files}
        for name, content in archive.read(arguments.archive, *names).items():
            with atomic(names[name]) as path:
                path.write_bytes(content)
    except (OSError, ValueError) as error:
        print(f"baseline: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
