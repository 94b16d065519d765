"""What the best method takes images for: confusion matrices, pooled over clients and for each of them."""

from textwrap import fill

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmark.evaluation.ranks import dataset_ranks
from benchmark.reporting.drawings.panels import multiples, order, stacked
from benchmark.reporting.inputs import Results

_COLUMNS = 4
_PANEL = 2.1
_ALL = "all clients"


def confusion(results: Results) -> tuple[Figure, pd.DataFrame]:
    """The share of each class's test images that the best ranked method takes for each class, over all seeds."""
    parts_of = {dataset: _counts(results, dataset) for dataset in results.datasets}
    numbers = pd.concat(parts_of.values(), ignore_index=True)
    counts = [1 + len(results.sites(dataset)) for dataset in results.datasets]
    heights = [0.7 + _PANEL * 1.1 * -(-count // _COLUMNS) for count in counts]
    figure, parts = stacked(results, heights, 0.9 + _PANEL * min(_COLUMNS, max(counts)))
    for (dataset, part), count in zip(parts.items(), counts, strict=True):
        table = parts_of[dataset]
        best = results.methods[table["method"].iloc[0]].title
        part.suptitle(f"{results.title(dataset)}: {best}", x=0.01, ha="left", fontsize=10, fontweight="bold")
        titles = {_ALL: _ALL, **results.sites(dataset)}
        for (client, title), axes in zip(titles.items(), multiples(part, count, min(_COLUMNS, count)), strict=True):
            axes.set_title(fill(title, 26), fontsize=8, fontweight="normal", pad=3)
            _matrix(axes, table[table["client"] == client], results.manifests[dataset]["classes"])
        part.supxlabel("predicted", fontsize=8)
        part.supylabel("true class", fontsize=8)
    return figure, numbers


def best_method(results: Results, dataset: str) -> str:
    """The method with the best average rank on a dataset; the leaderboard's first where none has one."""
    ranks = dataset_ranks(results.ranks).get(dataset)
    known = pd.Series(dtype=float) if ranks is None else ranks["average_rank"].dropna()
    return str(known.idxmin()) if len(known) else order(results)[0]


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


def _matrix(axes: Axes, table: pd.DataFrame, classes: list[str]) -> None:
    """A matrix whose rows sum to one, in per cent; the row of a class without images stays empty."""
    counts = table["n"].to_numpy(float).reshape(len(classes), len(classes))
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.full_like(counts, np.nan), where=totals > 0)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.grid(visible=False)
    for (row, column), share in np.ndenumerate(shares):
        if share >= 0.005:
            colour = "white" if share > 0.55 else "#222222"
            axes.text(column, row, f"{100 * share:.0f}", ha="center", va="center", fontsize=6, color=colour)
    axes.set_xticks(range(len(classes)), classes, rotation=90)
    axes.set_yticks(range(len(classes)), classes)
    axes.tick_params(length=0)
