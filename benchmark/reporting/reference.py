"""What is committed of a run of the whole comparison: numbers and where they are from; no images, no weights.

    python -m benchmark.reporting.reference RESULTS --command TEXT --copy FILE [FILE ...] --output DIR

RESULTS are the arguments of `benchmark.reporting.inputs`. DIR receives `clients.csv` (the tidy per-client table),
`selected.csv` (every rate's validation score), `runs.csv` (what every run cost), `about.json` (command, hardware,
versions, commit, settings), and copies of the given files: leaderboard, tables.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from benchmark.files import write_json, write_text
from benchmark.reporting import selection
from benchmark.reporting.inputs import Results, add_arguments, load

_DIGITS = 6
"""Decimals kept: far below the noise of a test set, and enough to recompute every printed number."""


def costs(results: Results) -> pd.DataFrame:
    """What every run cost: dataset, method, rate, seed, origin, diverged_round, and the entries of its `costs`."""
    rows = [
        {
            "dataset": run["federation"],
            "method": run["method"]["name"],
            "rate": run["rate"],
            "seed": run["seed"],
            "origin": run["origin"],
            "diverged_round": run["diverged_round"],
            **run["costs"],
        }
        for run in results.runs
    ]
    return pd.DataFrame(rows).sort_values(["dataset", "method", "rate", "seed"], ignore_index=True)


def about(results: Results, command: str) -> dict[str, Any]:
    """Where the numbers are from."""
    first = results.runs[0]
    settings = {k: v for k, v in first["settings"].items() if k not in ("federation", "method", "method_settings")}
    return {
        "command": command,
        "hardware": sorted({run["device"] for run in results.runs}),
        "commits": sorted({run["commit"] for run in results.runs}),
        "versions": first["versions"],
        "settings": settings,
        "data": {name: manifest["source"] for name, manifest in results.manifests.items()},
        "hashes": {key: first["hashes"][key] for key in ("backbone", "engine")},
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job; 0 where everything was written."""
    parser = argparse.ArgumentParser(prog="reference", description="Gather what is committed of a comparison.")
    add_arguments(parser)
    parser.add_argument("--command", required=True, help="the command that made the results")
    parser.add_argument("--copy", type=Path, nargs="*", default=[], help="files to copy")
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args(argv)
    try:
        results = load(arguments)
        tables = {"clients": results.metrics, "selected": selection.frame(results), "runs": costs(results)}
        for name, table in tables.items():
            write_text(arguments.output / f"{name}.csv", table.round(_DIGITS).to_csv(index=False, lineterminator="\n"))
        write_json(arguments.output / "about.json", about(results, arguments.command))
        for file in arguments.copy:
            write_text(arguments.output / file.name, file.read_text(encoding="utf-8"))
    except (OSError, ValueError, KeyError) as error:
        print(f"reference: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
