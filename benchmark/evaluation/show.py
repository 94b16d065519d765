"""Job: what one model makes of the test cases that are shown.

`shown.npz` holds, for the samples that `benchmark.evaluation.cases` chooses and no others, images and targets as they
are packed, and the predictions of the first seed's model at the selected rate.
"""

from pathlib import Path
from typing import Literal

import numpy as np
import torch
from tyro.conf import OmitArgPrefixes

from benchmark.comparison import Comparison
from benchmark.data.packed import open_test
from benchmark.evaluation import cases
from benchmark.evaluation.testing import every_client
from benchmark.federation import fault
from benchmark.federation.job import Inputs, Job
from benchmark.files import atomic, read_json
from benchmark.job import GivenPath, JobError, run


def main(
    comparison: GivenPath,
    inputs: OmitArgPrefixes[Inputs],
    output: Path,
    device: Literal["auto", "cpu", "cuda"] = "auto",
) -> None:
    """Predict the cases that are shown; runs after they are chosen.

    Args:
        comparison: The comparison, `results/NAME/comparison.json`.
        inputs: What the row is computed from.
        output: The file to write.
        device: Where to compute.
    """
    torch.set_num_threads(1)
    held = Comparison.read(comparison)
    row, seed = (inputs.settings.federation, inputs.settings.method), held.seeds[0]
    wanted = cases.read(held, inputs.settings.federation)["sample"]
    rate = read_json(Path(held.places.selected(*row)))["rate"]
    try:
        job = Job.of(inputs, device, resident=False)
        test = open_test(inputs.pack)
        state = Path(held.places.run(*row, rate, seed, "state.safetensors"))
        found = list(every_client(job, test, [state], shown=set(wanted)))
    except Exception as error:
        raise JobError(fault.report(error, inputs.method)) from error
    order = np.concatenate([tested.rows.index for tested in found])
    with atomic(output) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(
            stream,
            sample=test.table["sample"].loc[order].to_numpy(dtype=str),
            image=test.images[order],
            target=test.targets[order],
            predicted=np.concatenate([tested.shown[0] for tested in found]),
        )


if __name__ == "__main__":
    raise SystemExit(run(main))
