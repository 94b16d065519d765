"""Job: test what a row's models predict of a hospital outside the federation, as each adaptation serves it.

It alone opens the hospital's targets, after `benchmark.evaluation.adapt` has ended. For every adaptation and seed it
writes, into `OUTPUT/{adaptation}/seed={seed}/`:

* `counts.parquet` and `predictions.parquet`, as `benchmark.evaluation.evaluate` does for clients, with one more column:
  `model`, the mixture that predicts. An adaptation has one, an oracle several.
* `adapted.json`: title, paper and settings of the adaptation, whether it is an oracle; images adapted to and tested;
  seconds of adapting; and of every model the weights of its experts, whether it diverged, and its `entropy` (see
  `benchmark.adaptation.entropy`) and the share of images, or pixels, predicted as each class (`predicted`), both
  `before` and `after` adapting. What is no number, or unknown to the task, is null.
"""

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch

from benchmark.adaptation import entropy
from benchmark.config import ServingJob, TrainingJob
from benchmark.counted import ABOUT, frame
from benchmark.data.packed import open_test, open_training
from benchmark.evaluation.adapt import ADAPTED
from benchmark.evaluation.adapting import Bank, Mixture, at_once, mixed
from benchmark.evaluation.counts import FILE, KEPT
from benchmark.evaluation.serving import Learned, Outside, Pictures, file_of
from benchmark.federation import fault
from benchmark.files import atomic, write_json
from benchmark.job import GivenPath, JobError, as_json, run
from benchmark.tasks.task import Floats

DESCRIBED = "adapted.json"


@dataclass(frozen=True)
class Predicted:
    """What a mixture predicts of a hospital's images.

    Attributes:
        counts: What every prediction is worth, (n, C, F).
        kept: What the task keeps of predictions beside, n values for each column.
        entropy: Their mean entropy; None where it is no number, or the task has no classes.
        shares: The share of images or pixels predicted as each class, by its name; None likewise.
    """

    counts: Floats
    kept: dict[str, npt.NDArray[Any]]
    entropy: float | None
    shares: dict[str, float] | None


def predict(mixture: Mixture, pictures: Pictures, targets: torch.Tensor, chunk: int) -> Predicted:
    """Predict n images, so many at once, and count what is right; no more predictions than these are held.

    Args:
        mixture: What predicts.
        pictures: The images.
        targets: Their targets, (n, ...).
        chunk: How many are predicted at once.

    Returns:
        What the predictions are worth, and how decided they are.
    """
    task, counts, kept = mixture.model.task, list[Floats](), list[dict[str, npt.NDArray[Any]]]()
    undecided, classes = 0.0, torch.zeros(len(task.classes), dtype=torch.float64)
    for which, prediction in mixture.predictions(pictures.images, chunk, pictures.cases):
        own = targets[which].to(prediction.device)
        counts.append(task.counts(prediction, own).cpu().numpy())
        kept.append(task.kept(prediction, own))
        if task.classes:
            share = (which.stop - which.start) / len(pictures.images)
            undecided += share * float(entropy(prediction.double()))
            found = torch.bincount(prediction.argmax(1).flatten().cpu(), minlength=len(task.classes))
            classes += share * found / found.sum()
    known = bool(task.classes) and math.isfinite(undecided)
    return Predicted(
        np.concatenate(counts),
        {name: np.concatenate([part[name] for part in kept]) for name in kept[0]},
        undecided if known else None,
        dict(zip(task.classes, classes.tolist(), strict=True)) if known else None,
    )


def of_adaptation(
    outside: Outside, file: str, learned: Learned, bank: Bank, pictures: Pictures, targets: torch.Tensor
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    """What an adaptation's models make of a hospital's images.

    Args:
        outside: The hospital and the row's models.
        file: The adaptation's file.
        learned: What it has learned.
        bank: The experts.
        pictures: n images.
        targets: Their targets, (n, ...).

    Returns:
        The rows of `counts.parquet` and those of `predictions.parquet`, and the content of `adapted.json`.
    """
    adaptation, about = outside.adaptation(file), pictures.table[ABOUT]
    weights = adaptation.mixtures(list(bank.experts))
    counted, kept, models = list[pd.DataFrame](), list[pd.DataFrame](), dict[str, Any]()
    for name, mixture in mixed(adaptation, outside.model, bank).items():
        diverged = name in learned.about["diverged"]
        there = mixture.restored(adaptation, learned.leaves.get(name, {}))
        if diverged:
            there = replace(there, params={leaf: own * torch.nan for leaf, own in there.params.items()})
        chunk = at_once(adaptation, there)
        before = predict(mixture, pictures, targets, chunk)
        after = before if there is mixture else predict(there, pictures, targets, chunk)
        counted.append(frame(about, after.counts, outside.model.task.counted).assign(model=name))
        kept.append(about.assign(**after.kept, model=name))
        models[name] = {
            "weights": dict(weights[name]),
            "diverged": diverged,
            "entropy": {"before": before.entropy, "after": after.entropy},
            "predicted": {"before": before.shares, "after": after.shares},
        }
    described = {
        "adaptation": {
            "name": Path(file).stem,
            "title": adaptation.title,
            "paper": adaptation.paper,
            "oracle": adaptation.oracle,
            "settings": outside.serving.adaptations[file],
        },
        "adapting": outside.serving.adapting,
        "images": {"adapted": learned.about["images"] if adaptation.passes else 0, "tested": len(about)},
        "seconds": learned.about["seconds"],
        "models": models,
    }
    return pd.concat(counted, ignore_index=True), pd.concat(kept, ignore_index=True), described


def main(
    runs: GivenPath,
    pack: Path,
    backbone: Path,
    method: Path,
    settings: Annotated[TrainingJob, as_json(TrainingJob)],
    serving: Annotated[ServingJob, as_json(ServingJob)],
    selected: Path,
    output: Path,
    device: Literal["auto", "cpu", "cuda"] = "auto",
) -> None:
    """Test a row's models on a hospital outside; runs after they were adapted to it.

    Args:
        runs: The folder of the row's runs, `results/NAME/runs/FEDERATION/METHOD`.
        pack: The folder of the federation's packed images.
        backbone: The folder of the pretrained weights.
        method: The method's file.
        settings: What was trained, a TrainingJob.
        serving: The hospital and the adaptations, a ServingJob.
        selected: The row's selection.
        output: The folder with `{adaptation}/seed={seed}/adapted.safetensors`, which receives the tests beside.
        device: Where to compute.
    """
    torch.set_num_threads(1)
    blamed = method
    try:
        outside = Outside.of(runs, pack, backbone, method, settings, serving, selected, device)
        pictures = outside.tested
        opened = {"train": open_training, "test": open_test}
        parts = [opened[name](pack).targets[places] for name, places in pictures.places.items()]
        targets = torch.from_numpy(np.concatenate(parts))
        for seed in settings.seeds:
            bank = outside.bank(seed)
            for file in serving.adaptations:
                blamed = Path(file)
                learned = Learned.read(file_of(output, file, seed, ADAPTED))
                counted, kept, described = of_adaptation(outside, file, learned, bank, pictures, targets)
                for name, table in ((FILE, counted), (KEPT, kept)):
                    with atomic(file_of(output, file, seed, name)) as temporary:
                        table.to_parquet(temporary, index=False)
                write_json(file_of(output, file, seed, DESCRIBED), described)
    except Exception as error:
        raise JobError(fault.report(error, blamed)) from error


if __name__ == "__main__":
    raise SystemExit(run(main))
