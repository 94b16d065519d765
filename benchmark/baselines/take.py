"""Job: a row that is kept with the project; trained here where it was made from other images or weights.

It writes all that reports need of the row: the files of the archive, or, where the pack or the backbone is another one,
what training, selection and testing make. Nobody can say which before both are here, so one job does either.
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
from benchmark.federation.train import train
from benchmark.files import atomic
from benchmark.job import as_json, run


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
    settings = inputs.settings
    if not (fault := other(about(archive), *found(inputs.pack, inputs.backbone))):
        names = {path.relative_to(results).as_posix(): path for path in files}
        for name, content in read(archive, *names).items():
            with atomic(names[name]) as path:
                path.write_bytes(content)
        return
    print(f"{settings.method} on {settings.federation} is trained: {archive} was made from {fault}", file=sys.stderr)
    places, row = Places(results.as_posix()), (settings.federation, settings.method)
    runs, selected = Path(places.runs(*row)), Path(places.selected(*row))
    gathered = Path(places.gathered(*row, "json")), Path(places.gathered(*row, "parquet"))
    train(inputs, store, runs, running)
    overlaps = Path(places.overlap(*row))
    select.main(runs, selected, gathered, overlaps, settings.rates, settings.seeds, last_rounds)
    tests = Path(places.tests(*row))
    evaluate.main(runs, inputs, selected, tests, store / "tested", device=running.device)


if __name__ == "__main__":
    raise SystemExit(run(take))
