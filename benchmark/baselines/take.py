"""Job: a row that is kept with the project; trained here where it was made from other images or weights.

It writes all that reports need of the row: the files of the archive, or, where the pack or the backbone is another one,
what training, selection and testing make. Nobody can say which before both are here, so one job does either. All of it
takes the old files' place together, at the end: a step that fails leaves no new selection beside old tests.
"""

import sys
from pathlib import Path
from typing import Annotated

from tyro.conf import OmitArgPrefixes

from benchmark.archive import read
from benchmark.baselines.match import about, found, other
from benchmark.comparison import Places
from benchmark.config import RunningSettings
from benchmark.evaluation import evaluate, select
from benchmark.federation.job import Inputs
from benchmark.federation.progress import LOCK
from benchmark.federation.train import train
from benchmark.files import atomic, replaced
from benchmark.job import as_json, run
from benchmark.lock import held


def take(
    archive: Path,
    files: tuple[Path, ...],
    inputs: OmitArgPrefixes[Inputs],
    store: Path,
    results: Path,
    running: Annotated[RunningSettings, as_json(RunningSettings)] = RunningSettings(),  # noqa: B008
    last_rounds: int = 1,
) -> None:
    """Write what reports need of a kept row, from its archive or from training.

    Args:
        archive: The row's.
        files: What is written, below `results`.
        inputs: What the row is computed from.
        store: The folder of finished lanes and checkpoints.
        results: The configuration's results.
        running: How a training runs, which decides no result.
        last_rounds: How many of the last evaluated rounds a selection averages.
    """
    row = inputs.settings.federation, inputs.settings.method
    names = [path.relative_to(results).as_posix() for path in files]
    runs = Path(Places(results.as_posix()).runs(*row))
    trained = Path(Places(results.as_posix()).run(*row, "*", "*")).relative_to(results).as_posix()
    with (
        held(runs / LOCK, f"the folder {runs}"),  # As a training's: a folder of the row's own, for one job at a time.
        replaced(results, trained, *names, new=".new-{}-{}".format(*row)) as new,
    ):
        if not (fault := other(about(archive), *found(inputs.pack, inputs.backbone))):
            for name, content in read(archive, *names).items():
                with atomic(new / name) as path:
                    path.write_bytes(content)
            return
        print(f"{row[1]} on {row[0]} is trained: {archive} was made from {fault}", file=sys.stderr)
        _make(inputs, store, Places(new.as_posix()), running, last_rounds)


def _make(inputs: Inputs, store: Path, places: Places, running: RunningSettings, last_rounds: int) -> None:
    """Train, select and test the row, into a folder of results."""
    settings = inputs.settings
    row = settings.federation, settings.method
    runs, selected = Path(places.runs(*row)), Path(places.selected(*row))
    gathered = Path(places.gathered(*row, "json")), Path(places.gathered(*row, "parquet"))
    train(inputs, store, runs, running)
    overlaps = Path(places.overlap(*row))
    select.main(runs, selected, gathered, overlaps, settings.rates, settings.seeds, last_rounds)
    tests = Path(places.tests(*row))
    evaluate.main(runs, inputs, selected, tests, store / "tested", device=running.device)


if __name__ == "__main__":
    raise SystemExit(run(take))
