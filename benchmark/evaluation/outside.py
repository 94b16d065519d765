"""Job: test what a row's models predict of a hospital outside the federation, as each adaptation serves it.

It alone opens the hospital's targets, after `benchmark.evaluation.adapt` has ended. For every adaptation and seed it
writes, into `OUTPUT/{adaptation}/seed={seed}/`:

* `counts.parquet` and `predictions.parquet`, as `benchmark.evaluation.evaluate` does for clients, with one more column:
  `model`, the mixture that predicts. An adaptation has one, an oracle several.
* `adapted.json`: title, paper and all settings of the adaptation as they were in force, `batch_size` and `rate` among
  them, whoever set them; whether it is an oracle; images adapted to and tested; seconds of adapting; and of every model
  the weights of its experts, whether it diverged, and what the task says that predictions are for
  (`benchmark.tasks.task.Decided`): their `entropy` and the share of images, or pixels, predicted as each class
  (`predicted`), both `before` and `after` adapting. What is no number, or unknown to the task, is null.

Where the task pictures predictions, `OUTPUT/shown.npz` holds the n cases that `benchmark.evaluation.pictured` chooses
with `none` and the first seed, as each of A adaptations that are no oracle serves them: `place`, `case`, `sample`,
`image` and `target` as they are packed, (n, ...); `adaptation` and `title`, (A,); `predicted`, (A, n, ...), and the
case's score, `value`, (A, n). No other prediction is kept. Without `none` there is no such file.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
import torch
from tyro.conf import OmitArgPrefixes

from benchmark.adaptation import Adaptation
from benchmark.comparison import NONE
from benchmark.config import ServingJob
from benchmark.counted import ABOUT, frame
from benchmark.data.packed import Split, open_test, open_training
from benchmark.evaluation.adapt import ADAPTED
from benchmark.evaluation.counts import FILE, KEPT
from benchmark.evaluation.pictured import Case, chosen, scored
from benchmark.evaluation.reading import DESCRIBED
from benchmark.evaluation.serving import Learned, Outside, Pictures, file_of
from benchmark.evaluation.testing import Worth
from benchmark.federation import fault
from benchmark.federation.adapting import Bank, Mixture, at_once, mixed
from benchmark.federation.job import Inputs
from benchmark.files import atomic, write_json
from benchmark.job import GivenPath, JobError, as_json, run
from benchmark.tasks.task import Decided, Task

SHOWN = "shown.npz"
OF_ALL = ("batch_statistics", "passes", "rate", "batch_size")
"""The settings that every adaptation has, be they fields of its own or not."""


@dataclass(frozen=True)
class Predicted:
    """What a mixture predicts of a hospital's images.

    Attributes:
        worth: What every prediction is worth.
        entropy: Their mean entropy; None where it is no number, or the task knows of none.
        shares: The share of images or pixels predicted as each class, by its name; None likewise.
        shown: What pictures show of the predictions that were asked for, k arrays, in the order of their images.
    """

    worth: Worth
    entropy: float | None
    shares: dict[str, float] | None
    shown: list[npt.NDArray[Any]]


def predict(
    mixture: Mixture, pictures: Pictures, targets: torch.Tensor, chunk: int, wanted: npt.NDArray[np.bool_]
) -> Predicted:
    """Predict n images, so many at once, and count what is right; no more predictions than these are held.

    Args:
        mixture: What predicts.
        pictures: The images.
        targets: Their targets, (n, ...).
        chunk: How many are predicted at once.
        wanted: Whether to keep what a picture shows of an image's prediction, (n,).

    Returns:
        What the predictions are worth, and how decided they are.
    """
    task, worth = mixture.model.task, Worth(mixture.model.task)
    decided, shown = list[tuple[float, Decided]](), list[npt.NDArray[Any]]()
    for which, prediction in mixture.predictions(pictures.images, chunk, pictures.cases):
        worth.add(prediction, targets[which].to(prediction.device))
        if wanted[which].any():
            shown.extend(task.shown(prediction)[wanted[which]])
        if (found := task.decided(prediction)) is not None:
            decided.append(((which.stop - which.start) / len(pictures.images), found))
    entropy = sum(weight * own.entropy for weight, own in decided)
    known = bool(decided) and math.isfinite(entropy)
    names = decided[0][1].shares if known else ()
    shares = {name: sum(weight * own.shares[name] for weight, own in decided) for name in names}
    return Predicted(worth, entropy if known else None, shares if known else None, shown)


def in_force(adaptation: Adaptation) -> dict[str, Any]:
    """All settings of an adaptation, by name: those that every adaptation has, and the fields of its own class."""
    own: list[str] = [one.name for one in fields(adaptation)] if is_dataclass(adaptation) else []
    return {name: getattr(adaptation, name) for name in dict.fromkeys((*OF_ALL, *own))}


def of_adaptation(
    outside: Outside,
    file: str,
    learned: Learned,
    bank: Bank,
    pictures: Pictures,
    targets: torch.Tensor,
    wanted: npt.NDArray[np.bool_],
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any], Predicted]:
    """What an adaptation's models make of a hospital's images.

    Args:
        outside: The hospital and the row's models.
        file: The adaptation's file.
        learned: What it has learned.
        bank: The experts.
        pictures: n images.
        targets: Their targets, (n, ...).
        wanted: As `predict` has it.

    Returns:
        The rows of `counts.parquet` and those of `predictions.parquet`, the content of `adapted.json`, and what the
        model predicts; of an oracle's models the last one.
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
        before = predict(mixture, pictures, targets, chunk, wanted)
        after = before if there is mixture else predict(there, pictures, targets, chunk, wanted)
        counted.append(frame(about, after.worth.counts, outside.model.task.counted).assign(model=name))
        kept.append(about.assign(**after.worth.kept, model=name))
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
            "settings": in_force(adaptation),
        },
        "adapting": outside.serving.adapting,
        "images": {"adapted": learned.about["images"] if adaptation.passes else 0, "tested": len(about)},
        "seconds": learned.about["seconds"],
        "models": models,
    }
    return pd.concat(counted, ignore_index=True), pd.concat(kept, ignore_index=True), described, after


@dataclass
class Shown:
    """The cases of a hospital that are shown, as one adaptation after the other serves them.

    Attributes:
        table: The rows of the hospital's n images: sample and case.
        task: What is learned.
        cases: By place, the cases; none until the first adaptation has said which they are.
        columns: Of every adaptation its name and title, its predictions of `rows`, and the cases' scores.
    """

    table: pd.DataFrame
    task: Task
    cases: dict[str, Case] = field(default_factory=dict)
    columns: list[tuple[str, str, list[npt.NDArray[Any]], list[float]]] = field(default_factory=list)

    @property
    def rows(self) -> list[int]:
        """Which image each case is pictured by."""
        samples = list(self.table["sample"])
        return [samples.index(one.sample) for one in self.cases.values()]

    @property
    def wanted(self) -> npt.NDArray[np.bool_]:
        """The images whose predictions the next adaptation has to keep, (n,): all, until it is known which."""
        everything = np.ones(len(self.table), dtype=np.bool_)
        return np.isin(np.arange(len(self.table)), self.rows) if self.cases else everything

    def add(self, name: str, title: str, predicted: Predicted) -> None:
        """What an adaptation's model predicts, having kept what is `wanted`."""
        kept, scores = np.flatnonzero(self.wanted), scored(self.table, predicted.worth.counts, self.task)
        self.cases = self.cases or chosen(scores, self.task)
        shown = [predicted.shown[np.searchsorted(kept, row)] for row in self.rows]
        values = {one.case: one.value for one in scores}
        self.columns.append((name, title, shown, [values[one.case] for one in self.cases.values()]))

    def write(self, path: Path, packed: Sequence[tuple[Split, int]]) -> None:
        """Write `shown.npz`; `packed` says of each of the n images where it is packed."""
        pictured = [packed[row] for row in self.rows]
        cases, (names, titles, shown, values) = self.cases.values(), zip(*self.columns, strict=True)
        with atomic(path) as temporary, temporary.open("wb") as stream:
            np.savez_compressed(
                stream,
                place=list(self.cases),
                case=[one.case for one in cases],
                sample=[one.sample for one in cases],
                image=[split.images[row] for split, row in pictured],
                target=[split.targets[row] for split, row in pictured],
                adaptation=names,
                title=titles,
                predicted=shown,
                value=values,
            )


def main(
    runs: GivenPath,
    inputs: OmitArgPrefixes[Inputs],
    serving: Annotated[ServingJob, as_json(ServingJob)],
    selected: Path,
    output: Path,
    device: Literal["auto", "cpu", "cuda"] = "auto",
) -> None:
    """Test a row's models on a hospital outside; runs after they were adapted to it.

    Args:
        runs: The folder of the row's runs, `results/NAME/runs/FEDERATION/METHOD`.
        inputs: What the row is computed from.
        serving: The hospital and the adaptations, a ServingJob.
        selected: The row's selection.
        output: The folder with `{adaptation}/seed={seed}/adapted.safetensors`, which receives the tests beside, and
            the cases that are shown.
        device: Where to compute.
    """
    torch.set_num_threads(1)
    blamed = inputs.method
    try:
        outside = Outside.of(runs, inputs, serving, selected, device)
        pictures = outside.tested
        opened = {"train": open_training, "test": open_test}
        packed = [(opened[name](inputs.pack), places) for name, places in pictures.places.items()]
        targets = torch.from_numpy(np.concatenate([split.targets[places] for split, places in packed]))
        # The first adaptation chooses the cases that are shown.
        files = sorted(serving.adaptations, key=lambda file: Path(file).stem != NONE)
        task, nothing = outside.model.task, np.zeros(len(targets), dtype=np.bool_)
        pictured = "overlays" in task.figures and Path(files[0]).stem == NONE
        shown = Shown(pictures.table, task) if pictured else None
        for seed in inputs.settings.seeds:
            bank = outside.bank(seed)
            for file in files:
                blamed = Path(file)
                learned = Learned.read(file_of(output, file, seed, ADAPTED))
                wanted = nothing if shown is None else shown.wanted
                counted, kept, described, predicted = of_adaptation(
                    outside, file, learned, bank, pictures, targets, wanted
                )
                for name, table in ((FILE, counted), (KEPT, kept)):
                    with atomic(file_of(output, file, seed, name)) as temporary:
                        table.to_parquet(temporary, index=False)
                write_json(file_of(output, file, seed, DESCRIBED), described)
                about = described["adaptation"]
                if shown is not None and not about["oracle"]:
                    shown.add(about["name"], about["title"], predicted)
            if shown is not None:
                shown.write(output / SHOWN, [(split, row) for split, places in packed for row in places])
                shown = None  # Of the first seed alone.
    except Exception as error:
        raise JobError(fault.report(error, blamed)) from error


if __name__ == "__main__":
    raise SystemExit(run(main))
