"""Job: keep a finished row as one archive.

    python -m benchmark.baselines.keep --results DIR --files FILE [FILE ...] --pack FILE --backbone FILE
        --decides JSON --output FILE

The files stand below DIR and keep their names from there. PACK is the pack's manifest, BACKBONE the backbone's
`backbone.json`; DECIDES are the hashes of `benchmark.baselines.match`. Equal rows are equal archives, to the byte.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmark import archive
from benchmark.baselines.match import ABOUT, FORMAT
from benchmark.files import digest, json_bytes, read_json


def content(results: Path, files: Sequence[Path], about: Mapping[str, Any]) -> dict[str, bytes]:
    """What the archive holds.

    Args:
        results: The folder that the files' names begin at.
        files: The row's files.
        about: What `about.json` says.

    Returns:
        Bytes by name. A run says that it is from the reference: wherever it is read again, it is.

    Raises:
        ValueError: A run was trained with another engine or method than `about` names.
    """
    held = {ABOUT: json_bytes({**about, "format": FORMAT})}
    for path in files:
        name = path.relative_to(results).as_posix()
        held[name] = path.read_bytes()
        if path.name == "run.json":
            run = read_json(path)
            own = {
                "engine": run["hashes"]["engine"],
                "method": digest([run["hashes"]["method"], run["method"]["settings"]]),
            }
            if other := [part for part, value in own.items() if value != about["decides"][part]]:
                raise ValueError(f"{path}: trained with another {other[0]} than the present one; run `snakemake all`")
            held[name] = json_bytes({**run, "origin": "reference"})
    return held


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job; 0 where the archive was written."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, required=True, help="the configuration's results")
    parser.add_argument("--files", type=Path, nargs="+", required=True, help="the row's files")
    parser.add_argument("--pack", type=Path, required=True, help="the pack's manifest")
    parser.add_argument("--backbone", type=Path, required=True, help="the backbone's backbone.json")
    parser.add_argument("--decides", type=json.loads, required=True, help="hashes of what decides the row, JSON")
    parser.add_argument("--output", type=Path, required=True, help="the archive")
    arguments = parser.parse_args(argv)
    about = {
        "decides": arguments.decides,
        "images": read_json(arguments.pack)["hashes"],
        "backbone": read_json(arguments.backbone)["sha256"],
    }
    try:
        archive.write(arguments.output, content(arguments.results, arguments.files, about))
    except (OSError, ValueError) as error:
        print(f"keep: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
