"""Job: the figure of overlays: what was outlined, and what every method outlines.

Rows are clients, with the median and the worst case of the reference row (`benchmark.evaluation.cases`); columns are
the image, its target and every method's prediction, whose score of the case stands below. A method whose row is taken
from the reference has no model here, and no column.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill
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
_LETTERS = 15
"""Of a column's title, as many as a picture is wide."""
_LINE = 0.13
"""Of a title of several lines, in inches."""


@dataclass(frozen=True)
class Shown:
    """What one method makes of the cases that are shown; of a hospital outside, one adaptation.

    Attributes:
        name: The method, or the adaptation.
        samples: Names of the n samples.
        image: (n, S, S, channels) uint8.
        target: Maps of labels, (n, S, S).
        predicted: Likewise.
    """

    name: str
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


@dataclass(frozen=True)
class Sheet:
    """The pictures of one federation: two rows per client, and a column for each prediction.

    Attributes:
        held: The columns after those of image and target.
        titles: What each of them is called.
        sites: What each client is called.
        table: A row for each picture of a prediction: client, place, sample, value, and the column's name in `by`.
        by: `method`, or `adaptation`.
        note: What stands below.
    """

    held: Sequence[Shown]
    titles: Sequence[str]
    sites: Mapping[str, str]
    table: pd.DataFrame
    by: str
    note: str

    @property
    def heads(self) -> list[str]:
        """The titles of all columns, in lines that are no wider than a picture."""
        return [fill(title, _LETTERS, break_on_hyphens=False) for title in ("image", "target", *self.titles)]

    @property
    def height(self) -> float:
        """Of all pictures with what stands above and below them, in inches."""
        lines = 1 + max(head.count("\n") for head in self.heads)
        return 0.7 + _LINE * (lines - 1) + (_SIDE + 0.12) * self.table["sample"].nunique()


def draw(results: Results, held: Mapping[str, Sequence[Shown]]) -> tuple[Figure, pd.DataFrame]:
    """One part per federation.

    Args:
        results: The results.
        held: By federation, what its methods make of the cases, in their order; of those that have models here.

    Returns:
        The figure, and what it shows: a row for each picture of a prediction.
    """
    sheets = {}
    for name, own in held.items():
        if own:
            table, titles = _scored(results, name, own), [results.methods[one.name].title for one in own]
            reference = results.methods[table["reference"].iloc[0]].title
            note = f"{results.score(name)} of the case; median and worst case of {reference}"
            sheets[name] = Sheet(own, titles, results.sites(name), table, "method", note)
    if not sheets:
        figure = Figure(figsize=(8.4, 0.6))
        figure.text(0.01, 0.5, "All rows are taken from the reference, which keeps no models.", va="center")
        return figure, pd.DataFrame(columns=[*cases.SHOWN, "reference"])
    return drawn(results, sheets)


def drawn(results: Results, sheets: Mapping[str, Sheet]) -> tuple[Figure, pd.DataFrame]:
    """The sheets of federations below each other, and their tables, one after the other."""
    heights = [sheet.height for sheet in sheets.values()]
    width = 1.1 + _SIDE * (2 + max(len(sheet.held) for sheet in sheets.values()))
    figure, parts = stacked(results, heights, max(width, 6.0), list(sheets))
    for name, part in parts.items():
        _panels(part, sheets[name], results.manifests[name]["classes"])
    return figure, pd.concat([sheet.table for sheet in sheets.values()], ignore_index=True)


def main(comparison: GivenPath, pdf: Path, svg: Path, csv: Path, jpg: Path) -> None:
    """Draw the overlays, of the rows that have a model here.

    Args:
        comparison: The comparison, `results/NAME/comparison.json`.
        pdf: Where the figure goes as PDF.
        svg: Where it goes as SVG.
        csv: Where its numbers go.
        jpg: Where it goes as JPEG.
    """
    results = load(comparison)
    own = results.comparison
    rows = {*own.rows} - {*own.taken}
    held = {
        federation: [
            Shown.read(Path(own.places.shown(federation, method)), method)
            for method in results.order
            if (federation, method) in rows
        ]
        for federation in results.of_task("overlays")
    }
    with rc_context(style.RC):
        figure, numbers = draw(results, held)
        style.save(figure, numbers, pdf=pdf, svg=svg, csv=csv, jpg=jpg)


def _scored(results: Results, federation: str, held: Sequence[Shown]) -> pd.DataFrame:
    """Columns `SHOWN` and the reference row: of every case and method, the score."""
    chosen = cases.read(results.comparison, federation)
    chosen = chosen.rename(columns={"method": "reference"}).drop(columns="value")
    seed = results.comparison.seeds[0]
    scores = pd.concat([cases.scores(results.comparison, federation, own.name, seed) for own in held])
    return chosen.merge(scores[["client", "case", "method", "value"]], on=["client", "case"])[
        [*cases.SHOWN, "reference"]
    ]


def _panels(part: SubFigure, sheet: Sheet, classes: Sequence[str]) -> None:
    """The pictures of a federation."""
    held, rows = sheet.held, sheet.table.drop_duplicates(["client", "place"])
    grid = part.subplots(len(rows), 2 + len(held), squeeze=False)
    for line, (client, place, sample) in zip(grid, rows[["client", "place", "sample"]].to_numpy(), strict=True):
        number = held[0].samples.index(sample)
        image, target = held[0].image[number], held[0].target[number]
        for axes in line:
            _picture(axes, image)
        line[0].set_ylabel(f"{sheet.sites[client]}\n{place}", fontsize=7)
        _outline(line[1], target)
        own = sheet.table[(sheet.table["client"] == client) & (sheet.table["place"] == place)]
        scored = own.set_index(sheet.by)["value"]
        for axes, one in zip(line[2:], held, strict=True):
            _outline(axes, one.predicted[one.samples.index(sample)])
            axes.set_xlabel(f"{scored[one.name]:.2f}", fontsize=7, labelpad=1)
    for axes, head in zip(grid[0], sheet.heads, strict=True):
        axes.set_title(head, fontsize=7.5, fontweight="normal")
    handles = [Line2D([], [], color=_colour(label), label=name) for label, name in enumerate(classes[1:], 1)]
    part.legend(handles=handles, loc="outside upper right", ncols=len(handles), fontsize=7.5, facecolor="#888888")
    part.supxlabel(sheet.note, fontsize=7.5)


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
            drawn = axes.contour(places, places, mask, levels=[0.5], colors=[_colour(label)], linewidths=0.7)
            drawn.set_rasterized(True)  # As paths, those of vessels make the file eight times as large.


def _colour(label: int) -> str:
    return _COLOURS[(label - 1) % len(_COLOURS)]


_COLOURS = ("#00E5FF", "#FFB000", "#FF4FA3", "#7CFF6B", "#FFFFFF")
"""Of outlines, class by class: seen on skin, retina and grey scans."""


if __name__ == "__main__":
    raise SystemExit(run(main))
