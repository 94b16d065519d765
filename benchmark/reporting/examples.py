"""The figure of examples: training images of every client and class, and how many there are.

    python -m benchmark.reporting.examples --packs [NAME=]FOLDER ... --pdf FILE --svg FILE --csv FILE [--png
    FILE]

FOLDER holds a packed dataset: `manifest.json`, `train.npy`, `train.parquet`. NAME is the federation's name,
where that is not its dataset's. Test images are never opened. The CSV file names the samples that are shown
and counts the client's training images of the class.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmark.data.packed import Split, open_training
from benchmark.evaluation.collect import read_manifests
from benchmark.files import atomic
from benchmark.reporting import style

# A strip has about this many images, none larger than so many pixels: the figure stays small.
_COLUMNS = 8
_PIXELS = 112
_GAP = 4


def chosen(table: pd.DataFrame, manifest: Mapping[str, Any]) -> pd.DataFrame:
    """The images to show: the first ones of every client and class, in the order of the table.

    Args:
        table: The pack's table of training and validation images: sample, client, label, split.
        manifest: The pack's manifest.

    Returns:
        One row per shown image: client, class, place (0, 1, ... within the class), sample, row (in the pack)
        and images (how many training images of the class the client has).
    """
    train = table.assign(row=np.arange(len(table)), client=table["client"].astype(str))
    train = train[train["split"] == "train"]
    grouped = train.groupby(["client", "label"], sort=False)
    train = train.assign(place=grouped.cumcount(), images=grouped["sample"].transform("size"))
    shown = train[train["place"] < _per_class(manifest)]
    shown = shown.assign(**{"class": shown["label"].map(dict(enumerate(manifest["classes"])))})
    return shown[["client", "class", "place", "sample", "row", "images"]].reset_index(drop=True)


def mosaic(images: npt.NDArray[np.uint8], shown: pd.DataFrame, manifest: Mapping[str, Any]) -> npt.NDArray[np.uint8]:
    """All shown images in one: a row per client, the classes side by side, white where a client has none.

    Args:
        images: The pack's images, `(N, S, S, 3)`.
        shown: The images to show, as `chosen` returns them.
        manifest: The pack's manifest.

    Returns:
        The image, `(height, width, 3)`.
    """
    step = -(-images.shape[1] // _PIXELS)
    side = len(range(0, images.shape[1], step)) + _GAP
    clients, classes, each = list(manifest["clients"]), list(manifest["classes"]), _per_class(manifest)
    canvas = np.full((side * len(clients), side * len(classes) * each, 3), 255, dtype=np.uint8)
    for image in shown.itertuples(index=False, name=None):
        client, label, place, _, row, _ = image
        top, left = side * clients.index(client), side * (classes.index(label) * each + place)
        canvas[top : top + side - _GAP, left : left + side - _GAP] = images[row, ::step, ::step]
    return canvas


def draw(packs: Mapping[str, tuple[Split, Mapping[str, Any]]]) -> tuple[Figure, pd.DataFrame]:
    """One strip of images per client, one panel per dataset.

    Args:
        packs: By dataset, its training images and its manifest.

    Returns:
        The figure, and what it shows.
    """
    heights = [len(manifest["clients"]) + 0.6 for _, manifest in packs.values()]
    figure = Figure(figsize=(8.4, 0.85 * sum(heights)))
    panels = figure.subplots(len(packs), squeeze=False, gridspec_kw={"height_ratios": heights})
    parts = []
    for axes, (dataset, (split, manifest)) in zip(panels[:, 0], packs.items(), strict=True):
        shown = chosen(split.table, manifest)
        _strip(axes, mosaic(split.images, shown, manifest), manifest)
        parts.append(shown.drop(columns=["row", "place"]).assign(dataset=dataset))
    numbers = pd.concat(parts, ignore_index=True)
    return figure, numbers[["dataset", "client", "class", "sample", "images"]]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job; see the module's text for its arguments."""
    parser = argparse.ArgumentParser(prog="examples", description="Draw example training images.")
    parser.add_argument("--packs", nargs="+", required=True, help="packed datasets: [NAME=]FOLDER")
    for kind in ("pdf", "svg", "csv"):
        parser.add_argument(f"--{kind}", type=Path, required=True)
    parser.add_argument("--png", type=Path)
    arguments = parser.parse_args(argv)
    try:
        manifests = read_manifests(f"{pack}/manifest.json" for pack in arguments.packs)
        folders = (Path(pack.rpartition("=")[2]) for pack in arguments.packs)
        packs = {
            name: (open_training(folder), manifest)
            for (name, manifest), folder in zip(manifests.items(), folders, strict=True)
        }
        with rc_context(style.RC):
            figure, numbers = draw(packs)
            style.save(figure, numbers, pdf=arguments.pdf, svg=arguments.svg, csv=arguments.csv)
            if arguments.png:
                with atomic(arguments.png) as temporary:
                    figure.savefig(temporary, format="png", dpi=200, metadata={"Software": None})
    except (OSError, ValueError) as error:
        print(f"examples: {error}", file=sys.stderr)
        return 1
    return 0


def _per_class(manifest: Mapping[str, Any]) -> int:
    """Images per client and class."""
    return max(1, _COLUMNS // len(manifest["classes"]))


def _strip(axes: Axes, image: npt.NDArray[np.uint8], manifest: Mapping[str, Any]) -> None:
    """Show a dataset's images with the names of clients and classes beside them."""
    clients, classes = manifest["clients"], manifest["classes"]
    row, column = image.shape[0] / len(clients), image.shape[1] / len(classes)
    axes.imshow(image, interpolation="none")
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labeltop=True, labelbottom=False)
    axes.set_xticks([(place + 0.5) * column - _GAP / 2 for place in range(len(classes))], classes)
    labels = [f"{client} {about['name']}\n{sum(about['counts']['train'])} images" for client, about in clients.items()]
    axes.set_yticks([(place + 0.5) * row - _GAP / 2 for place in range(len(clients))], labels)
    axes.set_title(manifest["title"])


if __name__ == "__main__":
    sys.exit(main())
