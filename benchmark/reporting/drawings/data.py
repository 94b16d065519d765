"""What the clients of a classification hold: the classes of their images."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmark.reporting import style
from benchmark.reporting.drawings.panels import stacked
from benchmark.reporting.inputs import Results

_SPLITS = ("train", "validation", "test")
_HEIGHT = 0.25


def labels(results: Results) -> tuple[Figure, pd.DataFrame]:
    """The share of each class in every client's training, validation and test images."""
    federations = results.of_task("labels")
    rows = [
        (federation, client, split, name, count)
        for federation in federations
        for client in results.sites(federation)
        for split in _SPLITS
        for name, count in zip(
            results.manifests[federation]["classes"],
            results.manifests[federation]["clients"][client]["counts"][split],
            strict=True,
        )
    ]
    numbers = pd.DataFrame(rows, columns=["federation", "client", "split", "class", "images"])
    heights = [0.95 + 0.55 * len(results.sites(federation)) for federation in federations]
    figure, parts = stacked(results, heights, 8.4, federations)
    for federation, part in parts.items():
        axes = part.subplots()
        _bars(axes, results, federation, numbers[numbers["federation"] == federation])
        classes = results.manifests[federation]["classes"]
        handles, names = axes.get_legend_handles_labels()
        columns = style.legend_columns(7.4, classes, most=8)
        part.legend(handles, names, loc="outside upper right", ncols=columns, fontsize=7.5)
    return figure, numbers


def _bars(axes: Axes, results: Results, federation: str, numbers: pd.DataFrame) -> None:
    """Three bars per client, the training images' on top, with the number of images at the end."""
    sites, classes = results.sites(federation), results.manifests[federation]["classes"]
    colours = style.class_colours(len(classes))
    for row, client in enumerate(sites):
        for place, split in enumerate(_SPLITS):
            counts = numbers[(numbers["client"] == client) & (numbers["split"] == split)].set_index("class")["images"]
            total, left, y = counts.sum(), 0.0, row + (place - 1) * _HEIGHT
            for name, colour in zip(classes, colours, strict=True):
                share = counts[name] / total if total else 0.0
                label = name if (row, place) == (0, 0) else None
                axes.barh(
                    y, share, _HEIGHT * 0.86, left=left, color=colour, edgecolor="white", linewidth=0.4, label=label
                )
                left += share
            axes.text(1.01, y, f"{total} {split}", va="center", fontsize=6.5, color="#444444")
    axes.set_yticks(range(len(sites)), list(sites.values()))
    axes.set_ylim(len(sites) - 0.5, -0.5)
    axes.set_xlim(0, 1)
    axes.grid(visible=False)
    axes.xaxis.set_major_formatter(lambda share, _: f"{100 * share:.0f} %")
