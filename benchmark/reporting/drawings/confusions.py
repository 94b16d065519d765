"""What the best method takes images for: confusion matrices, pooled over clients and for each of them."""

from textwrap import fill

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmark.evaluation.ranks import dataset_ranks
from benchmark.reporting.drawings.panels import multiples, stacked
from benchmark.reporting.inputs import Results

_WIDTH = 9.2
_ALL = "all clients"


def confusion(results: Results) -> tuple[Figure, pd.DataFrame]:
    """The share of each class's test images that the best ranked method takes for each class, over all seeds."""
    parts_of = {dataset: _counts(results, dataset) for dataset in results.datasets}
    numbers = pd.concat(parts_of.values(), ignore_index=True)
    shapes = {dataset: _shape(results, dataset) for dataset in results.datasets}
    figure, parts = stacked(results, [0.6 + lines * height for _, lines, height in shapes.values()], _WIDTH)
    for dataset, part in parts.items():
        table, classes = parts_of[dataset], results.manifests[dataset]["classes"]
        best = results.methods[table["method"].iloc[0]].title
        part.suptitle(f"{results.title(dataset)}: {best}", x=0.01, ha="left", fontsize=10, fontweight="bold")
        titles = {_ALL: _ALL, **results.sites(dataset)}
        panels = multiples(part, len(titles), shapes[dataset][0])
        for (client, title), axes in zip(titles.items(), panels, strict=True):
            axes.set_title(fill(title, 18), fontsize=8, fontweight="normal", pad=3)
            _matrix(axes, table[table["client"] == client], classes)
        part.supxlabel("predicted class, by its number", fontsize=8)
        part.supylabel("true class", fontsize=8)
    return figure, numbers


def best_method(results: Results, dataset: str) -> str:
    """The method with the best average rank on a dataset; the leaderboard's first where none has one."""
    known = dataset_ranks(results.ranks).T.get(dataset, pd.Series(dtype=float)).dropna()
    return str(known.idxmin()) if len(known) else results.order[0]


def _counts(results: Results, dataset: str) -> pd.DataFrame:
    """Images of every client, true class and predicted class, and of all clients together; zeros too."""
    method, classes = best_method(results, dataset), results.manifests[dataset]["classes"]
    table = results.confusion
    own = table[(table["dataset"] == dataset) & (table["method"] == method)]
    pooled = pd.concat([own.assign(client=_ALL), own])
    every = pd.MultiIndex.from_product(
        [[_ALL, *results.sites(dataset)], range(len(classes)), range(len(classes))],
        names=["client", "label", "predicted"],
    )
    found = pooled.groupby(["client", "label", "predicted"])["n"].sum().reindex(every, fill_value=0).reset_index()
    named = {column: found[column].map(dict(enumerate(classes))) for column in ("label", "predicted")}
    return found.assign(dataset=dataset, method=method, **named)[
        ["dataset", "method", "client", "label", "predicted", "n"]
    ]


def _shape(results: Results, dataset: str) -> tuple[int, int, float]:
    """Panels in a row, rows, and the height of a row in inches: many classes need large panels."""
    count, classes = 1 + len(results.sites(dataset)), results.manifests[dataset]["classes"]
    side = min(2.1, max(1.1, 0.24 * len(classes)))
    labels = 0.3 + 0.08 * max(map(len, classes))
    columns = min(count, int((_WIDTH - labels) / side))
    return columns, -(-count // columns), side + 0.45


def _matrix(axes: Axes, table: pd.DataFrame, classes: list[str]) -> None:
    """A matrix whose rows sum to one, in per cent; the row of a class without images stays empty."""
    counts = table["n"].to_numpy(float).reshape(len(classes), len(classes))
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.full_like(counts, np.nan), where=totals > 0)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.grid(visible=False)
    axes.set_facecolor("#eeeeee")
    for (row, column), share in np.ndenumerate(shares):
        if share >= 0.005:
            colour = "white" if share > 0.55 else "#222222"
            axes.text(column, row, f"{100 * share:.0f}", ha="center", va="center", fontsize=6, color=colour)
    numbers = [str(number) for number in range(1, len(classes) + 1)]
    axes.set_xticks(range(len(classes)), numbers)
    axes.set_yticks(range(len(classes)), [f"{name}  {n}" for name, n in zip(classes, numbers, strict=True)])
    axes.tick_params(length=0)
