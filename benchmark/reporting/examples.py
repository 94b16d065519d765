"""Job: the figure of examples: training images of every client and stratum, and how many there are.

Strata are what the task keeps in proportion, classes mostly. Test images are never opened. The CSV file names the
samples that are shown and counts the client's training images of the stratum.
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
from matplotlib.figure import Figure

from benchmark.comparison import Comparison
from benchmark.data.packed import Split, open_training
from benchmark.files import atomic
from benchmark.job import GivenPath, run
from benchmark.reporting import style
from benchmark.tasks import task as tasks

# A strip has about this many images, none larger than so many pixels: the figure stays small.
_COLUMNS = 8
_PIXELS = 112
_GAP = 4


@dataclass(frozen=True)
class Shown:
    """Training images of a federation.

    Attributes:
        title: The federation's title.
        clients: What is known of each of its clients, by its id.
        kinds: Names of the strata, by their numbers.
        images: The pack's training and validation images, (N, S, S, channels) uint8.
        table: Their N rows: sample, client, split, and the place in `kinds` of each, `kind`.
    """

    title: str
    clients: Mapping[str, Mapping[str, Any]]
    kinds: Sequence[str]
    images: npt.NDArray[np.uint8]
    table: pd.DataFrame

    @classmethod
    def of(cls, title: str, manifest: Mapping[str, Any], split: Split) -> "Shown":
        """A federation's training images, from its manifest and its pack."""
        task = tasks.of(manifest)
        table = split.table.assign(client=split.table["client"].astype(str), kind=task.strata(split.targets))
        return cls(title, manifest["clients"], task.strata_names, split.images, table)

    @property
    def each(self) -> int:
        """Images per client and stratum."""
        return max(1, _COLUMNS // len(self.kinds))


def chosen(own: Shown) -> pd.DataFrame:
    """The images to show: the first ones of every client and stratum, in the order of the table, a row for each.

    Columns client, stratum, kind, place (0, 1, ... within the stratum), sample, row (in the pack) and images (how many
    training images of the stratum the client has).
    """
    train = own.table.assign(row=np.arange(len(own.table)))
    train = train[(train["split"] == "train") & train["client"].isin(own.clients)]
    grouped = train.groupby(["client", "kind"], sort=False)
    train = train.assign(place=grouped.cumcount(), images=grouped["sample"].transform("size"))
    shown = train[train["place"] < own.each]
    shown = shown.assign(stratum=shown["kind"].map(dict(enumerate(own.kinds))))
    return shown[["client", "stratum", "kind", "place", "sample", "row", "images"]].reset_index(drop=True)


def mosaic(own: Shown, shown: pd.DataFrame) -> npt.NDArray[np.uint8]:
    """All shown images in one, (height, width, channels): a row per client, strata side by side, white for none."""
    images, clients = own.images, list(own.clients)
    step = -(-images.shape[1] // _PIXELS)
    side = len(range(0, images.shape[1], step)) + _GAP
    shape = (side * len(clients), side * len(own.kinds) * own.each, images.shape[-1])
    canvas = np.full(shape, 255, dtype=np.uint8)
    for client, kind, place, row in shown[["client", "kind", "place", "row"]].itertuples(index=False, name=None):
        top, left = side * clients.index(client), side * (kind * own.each + place)
        canvas[top : top + side - _GAP, left : left + side - _GAP] = images[row, ::step, ::step]
    return canvas


def draw(federations: Mapping[str, Shown]) -> tuple[Figure, pd.DataFrame]:
    """One strip of images per client, one panel per federation."""
    heights = [len(own.clients) + 0.6 for own in federations.values()]
    figure = Figure(figsize=(8.4, 0.85 * sum(heights)))
    panels = figure.subplots(len(federations), squeeze=False, gridspec_kw={"height_ratios": heights})
    parts = []
    for axes, (federation, own) in zip(panels[:, 0], federations.items(), strict=True):
        shown = chosen(own)
        _strip(axes, mosaic(own, shown), own)
        parts.append(shown.assign(federation=federation))
    numbers = pd.concat(parts, ignore_index=True)
    return figure, numbers[["federation", "client", "stratum", "sample", "images"]]


def main(comparison: GivenPath, packs: tuple[Path, ...], pdf: Path, svg: Path, csv: Path, png: Path) -> None:
    """Draw example training images.

    Args:
        comparison: The comparison, `results/NAME/comparison.json`.
        packs: The folders of the packed images of its federations, in its order.
        pdf: Where the figure goes as PDF.
        svg: Where it goes as SVG.
        csv: Where the names of the shown images go.
        png: Where the figure goes as PNG.
    """
    held = Comparison.read(comparison)
    if len(packs) != len(held.federations):
        raise ValueError(f"--packs: {len(packs)} folders for {len(held.federations)} federations: give one for each")
    federations = {
        name: Shown.of(held.manifests[name]["title"], held.manifests[name], open_training(folder))
        for name, folder in zip(held.federations, packs, strict=True)
    }
    with rc_context(style.RC):
        figure, numbers = draw(federations)
        style.save(figure, numbers, pdf=pdf, svg=svg, csv=csv)
        with atomic(png) as temporary:
            figure.savefig(temporary, format="png", dpi=200, metadata={"Software": None})


def _strip(axes: Axes, image: npt.NDArray[np.uint8], own: Shown) -> None:
    """Show a federation's images with the names of clients and strata beside them."""
    row, column = image.shape[0] / len(own.clients), image.shape[1] / len(own.kinds)
    axes.imshow(image, interpolation="none", cmap="grey")
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labeltop=True, labelbottom=False)
    axes.set_xticks([(place + 0.5) * column - _GAP / 2 for place in range(len(own.kinds))], own.kinds)
    labels = [f"{c} {about['name']}\n{sum(about['counts']['train'])} images" for c, about in own.clients.items()]
    axes.set_yticks([(place + 0.5) * row - _GAP / 2 for place in range(len(own.clients))], labels)
    axes.set_title(own.title)


if __name__ == "__main__":
    raise SystemExit(run(main))
