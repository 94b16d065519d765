"""What the best method takes images for: confusion matrices, pooled over clients and for each of them."""

from textwrap import fill

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmark.evaluation.ranks import best_ranked
from benchmark.reporting.drawings.panels import multiples, stacked
from benchmark.reporting.inputs import Results
from benchmark.reporting.tested import confusions

_WIDTH = 9.2
_ALL = "all clients"


def confusion(results: Results) -> tuple[Figure, pd.DataFrame]:
    """The share of each class's test images that the best ranked method takes for each class, over all seeds."""
    federations = results.of_task("confusion")
    parts_of = {federation: _counts(results, federation) for federation in federations}
    numbers = pd.concat(parts_of.values(), ignore_index=True)
    shapes = {federation: _shape(results, federation) for federation in federations}
    heights = [0.6 + lines * height for _, lines, height in shapes.values()]
    figure, parts = stacked(results, heights, _WIDTH, federations)
    for federation, part in parts.items():
        table, classes = parts_of[federation], results.manifests[federation]["classes"]
        best = results.methods[table["method"].iloc[0]].title
        part.suptitle(f"{results.title(federation)}: {best}", x=0.01, ha="left", fontsize=10, fontweight="bold")
        titles = {_ALL: _ALL, **results.sites(federation)}
        panels = multiples(part, len(titles), shapes[federation][0])
        for (client, title), axes in zip(titles.items(), panels, strict=True):
            axes.set_title(fill(title, 18), fontsize=8, fontweight="normal", pad=3)
            _matrix(axes, table[table["client"] == client], classes)
        part.supxlabel("predicted class, by its number", fontsize=8)
        part.supylabel("true class", fontsize=8)
    return figure, numbers


def best_method(results: Results, federation: str) -> str:
    """The method with the best average rank on a federation; the leaderboard's first where none has one."""
    return best_ranked(results.ranks, federation) or results.order[0]


def _counts(results: Results, federation: str) -> pd.DataFrame:
    """Images of every client, true class and predicted class, and of all clients together; zeros too."""
    method, classes = best_method(results, federation), results.manifests[federation]["classes"]
    nothing = np.zeros((len(classes), len(classes)))
    counted = {**dict.fromkeys(results.sites(federation), nothing), **confusions(results, federation, method)}
    rows = [
        (federation, method, client, classes[label], classes[guess], int(n))
        for client, table in {_ALL: sum(counted.values()), **counted}.items()
        for (label, guess), n in np.ndenumerate(table)
    ]
    return pd.DataFrame(rows, columns=["federation", "method", "client", "label", "predicted", "n"])


def _shape(results: Results, federation: str) -> tuple[int, int, float]:
    """Panels in a row, rows, and the height of a row in inches: many classes need large panels."""
    count, classes = 1 + len(results.sites(federation)), results.manifests[federation]["classes"]
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
