"""Job: the figure of overlays: what was outlined, and what every method outlines.

Rows are clients, with the median and the worst case of the reference row (`benchmark.evaluation.cases`); columns are
the image, its target and every method's prediction, whose score of the case stands below. A method whose row is taken
from the reference has no model here, and no column.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from matplotlib.lines import Line2D

from benchmark.evaluation import cases
from benchmark.job import GivenPath, run
from benchmark.reporting import style
from benchmark.reporting.drawings.panels import stacked
from benchmark.reporting.inputs import Results, load

_SIDE = 1.05
"""Of a picture, in inches."""


@dataclass(frozen=True)
class Shown:
    """What one method makes of the cases that are shown.

    Attributes:
        method: The method.
        samples: Names of the n samples.
        image: (n, S, S, channels) uint8.
        target: Maps of labels, (n, S, S).
        predicted: Likewise.
    """

    method: str
    samples: Sequence[str]
    image: npt.NDArray[Any]
    target: npt.NDArray[Any]
    predicted: npt.NDArray[Any]

    @classmethod
    def read(cls, path: Path, method: str) -> "Shown":
        """The content of a `shown.npz`."""
        with np.load(path) as held:
            arrays = {name: held[name] for name in ("image", "target", "predicted")}
            return cls(method, held["sample"].tolist(), **arrays)


def draw(results: Results, held: Mapping[str, Sequence[Shown]]) -> tuple[Figure, pd.DataFrame]:
    """One part per federation.

    Args:
        results: The results.
        held: By federation, what its methods make of the cases, in their order; of those that have models here.

    Returns:
        The figure, and what it shows: a row for each picture of a prediction.
    """
    federations = [name for name, own in held.items() if own]
    if not federations:
        figure = Figure(figsize=(8.4, 0.6))
        figure.text(0.01, 0.5, "All rows are taken from the reference, which keeps no models.", va="center")
        return figure, pd.DataFrame(columns=[*cases.SHOWN, "reference"])
    shown = {name: _scored(results, name, held[name]) for name in federations}
    heights = [0.7 + (_SIDE + 0.12) * shown[name]["sample"].nunique() for name in federations]
    width = 1.1 + _SIDE * (2 + max(len(held[name]) for name in federations))
    figure, parts = stacked(results, heights, max(width, 6.0), federations)
    for name, part in parts.items():
        _panels(part, results, name, held[name], shown[name])
    return figure, pd.concat(shown.values(), ignore_index=True)


def main(comparison: GivenPath, pdf: Path, svg: Path, csv: Path, shown: tuple[Path, ...] = ()) -> None:
    """Draw the overlays.

    Args:
        comparison: The comparison, `results/NAME/comparison.json`.
        pdf: Where the figure goes as PDF.
        svg: Where it goes as SVG.
        csv: Where its numbers go.
        shown: What every row's model makes of the cases, as `benchmark.evaluation.show` writes it.
    """
    results = load(comparison)
    places = results.comparison.places
    held = {
        federation: [
            Shown.read(path, method)
            for method in results.order
            if (path := Path(places.shown(federation, method))) in shown
        ]
        for federation in results.of_task("overlays")
    }
    with rc_context(style.RC):
        figure, numbers = draw(results, held)
        style.save(figure, numbers, pdf=pdf, svg=svg, csv=csv)


def _scored(results: Results, federation: str, held: Sequence[Shown]) -> pd.DataFrame:
    """Columns `SHOWN` and the reference row: of every case and method, the score."""
    chosen = cases.read(results.comparison, federation)
    chosen = chosen.rename(columns={"method": "reference"}).drop(columns="value")
    seed = results.comparison.seeds[0]
    scores = pd.concat([cases.scores(results.comparison, federation, own.method, seed) for own in held])
    return chosen.merge(scores[["client", "case", "method", "value"]], on=["client", "case"])[
        [*cases.SHOWN, "reference"]
    ]


def _panels(part: SubFigure, results: Results, federation: str, held: Sequence[Shown], table: pd.DataFrame) -> None:
    """The pictures of a federation."""
    rows = table.drop_duplicates(["client", "place"])
    grid = part.subplots(len(rows), 2 + len(held), squeeze=False)
    sites, reference = results.sites(federation), results.methods[table["reference"].iloc[0]].title
    for line, (client, place, sample) in zip(grid, rows[["client", "place", "sample"]].to_numpy(), strict=True):
        number = held[0].samples.index(sample)
        image, target = held[0].image[number], held[0].target[number]
        for axes in line:
            _picture(axes, image)
        line[0].set_ylabel(f"{sites[client]}\n{place}", fontsize=7)
        _outline(line[1], target)
        scored = table[(table["client"] == client) & (table["place"] == place)].set_index("method")["value"]
        for axes, own in zip(line[2:], held, strict=True):
            _outline(axes, own.predicted[own.samples.index(sample)])
            axes.set_xlabel(f"{scored[own.method]:.2f}", fontsize=7, labelpad=1)
    titles = ["image", "target", *(results.methods[own.method].title for own in held)]
    for axes, title in zip(grid[0], titles, strict=True):
        axes.set_title(title, fontsize=7.5, fontweight="normal")
    classes = enumerate(results.manifests[federation]["classes"][1:], 1)
    handles = [Line2D([], [], color=_colour(label), label=name) for label, name in classes]
    part.legend(handles=handles, loc="outside upper right", ncols=len(handles), fontsize=7.5, facecolor="#888888")
    part.supxlabel(f"{results.score(federation)} of the case; median and worst case of {reference}", fontsize=7.5)


def _picture(axes: Axes, image: npt.NDArray[Any]) -> None:
    """An image, without axes."""
    axes.imshow(image, cmap="grey", interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)


def _outline(axes: Axes, labels: npt.NDArray[Any]) -> None:
    """The outline of every class but the background, on the edges of pixels."""
    for label in range(1, int(labels.max()) + 1):
        mask = np.kron(labels == label, np.ones((4, 4)))
        places = (np.arange(len(mask)) + 0.5) / 4 - 0.5
        if mask.any() and not mask.all():
            axes.contour(places, places, mask, levels=[0.5], colors=[_colour(label)], linewidths=0.9)


def _colour(label: int) -> str:
    return _COLOURS[(label - 1) % len(_COLOURS)]


_COLOURS = ("#00E5FF", "#FFB000", "#FF4FA3", "#7CFF6B", "#FFFFFF")
"""Of outlines, class by class: seen on skin, retina and grey scans."""


if __name__ == "__main__":
    raise SystemExit(run(main))
