"""The task contract: all that engine, evaluation and reports know of what is learned.

One module of `benchmark/tasks/` is one task: a subclass of `Task` named by the module's file. A task says what a target
is, how images and targets are changed together, what is minimised, and how a prediction is counted, scored and shown.
Nothing else in the project knows what a class or a label is.

A score is made in two steps. `counts` says of every sample what its prediction is worth, in numbers that may be added
up; `ratios` says of which sums the score is made. So a client's predictions are never held whole, and how sure a score
is follows from counts alone.

Reports know tasks too and should not wait for torch: a task's module imports it where it is used.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from benchmark.defined import the_one
from benchmark.entropy import entropy

if TYPE_CHECKING:
    import torch
    from PIL.Image import Image
    from torch import Tensor

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Metric = tuple[str, float, int]
"""A metric's name, its value, and the number of samples that it was measured on."""


@dataclass(frozen=True)
class Parts:
    """What a report shows of a score's parts (of each class, mostly).

    Attributes:
        metric: The metric that each part has: `recall`, where `metrics` names `recall[melanoma]`.
        title: What people call it.
        share: Whether it is the share of the part's samples that are right, and so k of n.
    """

    metric: str
    title: str
    share: bool


@dataclass(frozen=True)
class Decided:
    """What predictions are for, and how sure they are of it.

    Attributes:
        shares: Of each class, by its name, the share of images, or of their pixels, that are predicted as it.
        entropy: The mean over them of -sum_c p_c log p_c / ln C: 1 where all C classes are equally likely, 0 where one
            is certain. NaN where a prediction is not finite.
    """

    shares: Mapping[str, float]
    entropy: float


@dataclass(frozen=True)
class Task(ABC):
    """What is learned.

    Attributes:
        classes: Names of what is told apart; empty where nothing is.
        settings: The task's settings by name, over the defaults in `defaults`.
        name: The module's file name.
        score_name: The score that rates are selected by and methods are ranked by.
        higher_is_better: Its direction.
        bounds: The least and the largest score that one unit can have; None where there is none.
        counted: What `counts` counts, in the order of its last dimension.
        unit: What a score is made of: `case` where every case has a score of its own and these are averaged, `group`
            where the counts of all samples are added up first, whichever case they belong to.
        predicts: Whether a prediction is made of each image or of each of its pixels: a network says which it can make.
        figures: Names of the figures that only this task has.
        parts: What a report shows of every class's part of the score; None where the score has no parts.
        measures: The metrics, by name, that a report shows of every client beside its score, and what each says.
        defaults: The settings that there are, with their values where the configuration names none.
        published_as: What `published` is, as a column's heading; empty where there is no such number.
    """

    classes: Sequence[str]
    settings: Mapping[str, Any] = field(default_factory=dict)

    name: ClassVar[str]
    score_name: ClassVar[str]
    higher_is_better: ClassVar[bool] = True
    bounds: ClassVar[tuple[float, float] | None] = None
    counted: ClassVar[tuple[str, ...]]
    unit: ClassVar[str] = "group"
    predicts: ClassVar[Literal["images", "pixels"]] = "images"
    figures: ClassVar[tuple[str, ...]] = ()
    parts: ClassVar[Parts | None] = None
    measures: ClassVar[Mapping[str, str]] = {}
    defaults: ClassVar[Mapping[str, Any]] = {}
    published_as: ClassVar[str] = ""

    def setting(self, name: str) -> Any:
        """The value of one of the task's settings."""
        return {**self.defaults, **self.settings}[name]

    # What a target is.

    @abstractmethod
    def target(self, row: Mapping[str, Any], root: Path, fit: "Callable[[Image], npt.NDArray[Any]]") -> npt.ArrayLike:
        """One sample's target as it is packed.

        Args:
            row: The sample's row of the dataset's index.
            root: The folder that paths in it are relative to.
            fit: Brings a picture that belongs to the sample's image to the image's packed size and section, without
                making new values: for masks.

        Returns:
            A number or an array, of the same shape and dtype for all samples.
        """

    def strata(self, targets: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
        """What splits keep in proportion, (n,): one number for every sample; all equal where nothing is kept.

        Args:
            targets: As `target` returns them, stacked, (n, ...).

        Returns:
            Numbers from 0.
        """
        return np.zeros(len(targets), dtype=np.int64)

    @property
    def strata_names(self) -> Sequence[str]:
        """What strata are called, by their numbers; one without a name where nothing is kept in proportion."""
        return ("",)

    @property
    def perfect(self) -> float | None:
        """The score of a model that is always right; None where there is no such bound."""
        return None if self.bounds is None else self.bounds[self.higher_is_better]

    @property
    def part_names(self) -> Sequence[str]:
        """What the score is a mean of, by name: the parts of `ratios`."""
        return self.classes or ("",)

    # What is trained.

    @property
    @abstractmethod
    def outputs(self) -> int:
        """How many numbers a head predicts, for an image or for each of its pixels."""

    @abstractmethod
    def augment(
        self, images: "Tensor", targets: "Tensor", settings: Any, draws: "Tensor", dtype: "torch.dtype"
    ) -> "tuple[Tensor, Tensor]":
        """Randomly changed images, with the targets that belong to them.

        Args:
            images: (n, H, W, 3) uint8.
            targets: (n, ...) as they are packed.
            settings: `AugmentationSettings`.
            draws: The images' random numbers, (n, 5), in [0, 1).
            dtype: Floating-point type of the result.

        Returns:
            Images (n, 3, H, W) in [0, 1], and targets (n, ...).
        """

    def priors(self, targets: "Tensor") -> "dict[str, Tensor]":
        """What the loss wants to know of all training targets of a client, (n, ...); by name."""
        return {}

    @abstractmethod
    def loss(self, prediction: "Tensor", target: "Tensor", priors: "Mapping[str, Tensor]") -> "Tensor":
        """What is minimised.

        Args:
            prediction: Of n samples, (n, outputs, ...).
            target: Their targets, (n, ...).
            priors: As `priors` returns them for the client.

        Returns:
            A scalar: the mean over samples.
        """

    # How good a prediction is.

    @abstractmethod
    def counts(self, prediction: "Tensor", target: "Tensor") -> "Tensor":
        """What the score needs of every sample, additive over samples.

        Args:
            prediction: (..., n, outputs, ...); leading dimensions are lanes.
            target: (n, ...).

        Returns:
            Shape (..., n, C, F), float64: of each of C parts (of classes, mostly) the F numbers of `counted`. Of a
            sample whose prediction is not finite, NaN; but what is known of its target alone stays.
        """

    @abstractmethod
    def ratios(self, counts: Floats) -> tuple[Floats, Floats]:
        """What the score is a mean of: in each part (class, mostly) a ratio of sums over units.

        Args:
            counts: The units' counts, (..., U, C, F).

        Returns:
            Numerators and denominators, (..., U, P) each, of P parts. A unit that has nothing of a part has 0 below the
            line. Numerators are NaN where a count is; denominators depend on targets alone, and are never NaN.
        """

    def score(self, counts: Floats) -> Floats:
        """The score of a set of units: the mean, over the parts that they have, of summed numerators by denominators.

        Args:
            counts: The units' counts, (..., U, C, F).

        Returns:
            Shape (...); NaN where a numerator is.
        """
        above, below = (one.sum(-2) for one in self.ratios(counts))
        present = below > 0
        ratios = np.where(present, above, 0.0) / np.where(present, below, 1.0)
        # Without the parts that no unit has, so that they change no digit of the sum.
        shown = np.flatnonzero(present.reshape(-1, present.shape[-1]).any(0))
        scores: Floats = np.take(ratios, shown, axis=-1).sum(-1) / np.maximum(present.sum(-1), 1)
        # A diverged model's counts are NaN in every part, also in those that no unit has.
        return np.where(np.isnan(above).any(-1), np.nan, scores)

    def chance(self, counts: Floats) -> float | None:
        """The score of a prediction that looks at no image, from the units' counts (U, C, F); None where unknown."""
        return None

    def appearances(self, counts: Floats) -> tuple[Bools, Bools] | None:
        """Which units show each part of the score: in their targets, and in their predictions.

        Args:
            counts: The units' counts, (..., U, C, F).

        Returns:
            Shape (..., U, P) each, in the order of `part_names`; None where parts are nothing that can be shown. Of a
            prediction that is not finite, False.
        """
        return None

    def support(self, counts: Floats) -> npt.NDArray[np.int64] | None:
        """How many units show each part, (C,), from the units' counts (U, C, F); None where the score has no parts."""
        return None

    def confusion(self, counts: Floats) -> Floats | None:
        """How often each class (row) was taken for each (column), (C, C), from samples' counts (n, C, F).

        None where nothing can be taken for something else.
        """
        return None

    def kept(self, prediction: "Tensor", target: "Tensor") -> dict[str, npt.NDArray[Any]]:
        """What is kept of predictions beside their counts, by column; each of n entries.

        Args:
            prediction: Of n samples in one lane, (n, outputs, ...).
            target: Their targets, (n, ...).

        Returns:
            By default nothing.
        """
        return {}

    def decided(self, prediction: "Tensor") -> Decided | None:
        """What predictions (n, outputs, ...) of n samples in one lane are for, which needs no target.

        Returns:
            By default None: nothing is told apart, or it is not known how. `among` is what classes' logits say.
        """
        return None

    def pictured(self, counts: Floats) -> int:
        """Which of a case's samples a picture shows, from their counts (n, C, F): by default that in the middle."""
        return len(counts) // 2

    def shown(self, prediction: "Tensor") -> npt.NDArray[Any]:
        """What a picture shows of the predictions (n, outputs, ...) of n samples in one lane, (n, ...)."""
        raise NotImplementedError(f"{self.name} pictures no prediction")

    def metrics(self, counts: Floats, kept: pd.DataFrame) -> list[Metric]:
        """What stands beside the score in the table of clients.

        Args:
            counts: The counts of one client's n samples, (n, C, F).
            kept: What `kept` returned of them, row by row, beside the columns sample, client, group and case.

        Returns:
            Name, value and number of samples. A metric that is not defined here is left out; NaN is a model that
            diverged.
        """
        return []

    def published(self, counts: Floats) -> float:
        """What papers report of a hospital outside the federation in place of the score.

        Args:
            counts: The counts of its n samples in their order, (n, C, F).

        Returns:
            The number; NaN where there is none.
        """
        return float("nan")


def among(classes: Sequence[str], logits: "Tensor") -> Decided:
    """What logits (n, C, ...) of C classes decide for."""
    found = logits.argmax(1).flatten().bincount(minlength=len(classes)).double()
    return Decided(dict(zip(classes, (found / found.sum()).tolist(), strict=True)), float(entropy(logits.double())))


def names() -> list[str]:
    """The tasks that there are, found by file name: none is imported."""
    modules = {found.name for found in iter_modules(import_module("benchmark.tasks").__path__)}
    return sorted(name for name in modules - {"task"} if not name.startswith("_"))


def find(name: str) -> type[Task]:
    """The task of that name; a ValueError where there is none, or its module defines no task or several."""
    if name not in names():
        raise ValueError(f"there is no task {name!r}; there are: {', '.join(names())}")
    module = import_module(f"benchmark.tasks.{name}")
    found: type[Task] = the_one(module, Task, module.__file__)
    return found


def of(manifest: Mapping[str, Any], settings: Mapping[str, Any] | None = None) -> Task:
    """The task of a pack or federation, which its manifest names, with the configuration's settings.

    A ValueError says that there is no such task, or that it has no such setting.
    """
    kind = find(manifest["task"])
    given = dict(settings or {})
    if unknown := sorted(set(given) - set(kind.defaults)):
        allowed = ", ".join(kind.defaults) or "none"
        raise ValueError(f"task: {kind.name} has no setting {', '.join(unknown)}; allowed: {allowed}")
    return kind(tuple(manifest["classes"]), given)
