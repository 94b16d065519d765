"""Job: what is committed of a comparison: numbers, where they are from, and figures; no weights."""

import shutil
from pathlib import Path
from typing import Any

import pandas as pd

from benchmark.files import replaced, write_json, write_text
from benchmark.job import GivenPath, run
from benchmark.reporting import selection
from benchmark.reporting.inputs import Results, load

_DIGITS = 6
"""Decimals kept: far below the noise of a test set, and enough to recompute every printed number."""


def costs(results: Results) -> pd.DataFrame:
    """What every run cost: federation, method, rate, seed, origin, diverged_round, and the entries of its `costs`."""
    rows = [
        {
            "federation": run["federation"],
            "method": run["method"]["name"],
            "rate": run["rate"],
            "seed": run["seed"],
            "origin": run["origin"],
            "diverged_round": run["diverged_round"],
            **run["costs"],
        }
        for run in results.runs
    ]
    return pd.DataFrame(rows).sort_values(["federation", "method", "rate", "seed"], ignore_index=True)


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


def main(comparison: GivenPath, command: str, output: Path, figures: tuple[Path, ...], drawn: Path) -> None:
    """Write what is committed of a comparison: numbers, where they are from, and figures; no weights.

    All of it replaces what is there at once, when it is whole: numbers and figures are of one run.

    Args:
        comparison: The comparison, `results/NAME/comparison.json`.
        command: The command that made the results.
        output: The folder that receives `clients.csv` (the tidy per-client table), `selected.csv` (every rate's
            validation score), `runs.csv` (what every run cost), `about.json` (command, hardware, versions, commit,
            settings), and copies of the leaderboard and the tables.
        figures: The figures' files.
        drawn: The folder that receives copies of them.
    """
    results = load(comparison)
    with replaced(output) as numbers, replaced(drawn) as pictures:
        _numbers(results, command, numbers)
        for file in figures:
            shutil.copyfile(file, pictures / file.name)


def _numbers(results: Results, command: str, output: Path) -> None:
    """Write all but the figures."""
    written = {"clients": results.metrics, "selected": selection.frame(results), "runs": costs(results)}
    for name, table in written.items():
        write_text(output / f"{name}.csv", table.round(_DIGITS).to_csv(index=False, lineterminator="\n"))
    write_json(output / "about.json", about(results, command))
    places = results.comparison.places
    names = [*results.tabled, *(["outside"] if results.comparison.families else [])]
    tables = [places.table(name, kind) for name in names for kind in ("csv", "md")]
    for file in (*tables, places.of("leaderboard.csv"), places.of("leaderboard.md")):
        write_text(output / Path(file).name, Path(file).read_text(encoding="utf-8"))


if __name__ == "__main__":
    raise SystemExit(run(main))
