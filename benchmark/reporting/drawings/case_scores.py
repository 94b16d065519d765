"""How a method does case by case: what a client's mean hides."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmark.evaluation import cases
from benchmark.reporting.drawings.panels import look, multiples, stacked
from benchmark.reporting.inputs import Results

_COLUMNS = 3


def case_scores(results: Results) -> tuple[Figure, pd.DataFrame]:
    """The score of every test case of every client with every method, all seeds; the median as a line."""
    federations = results.of_task("case_scores")
    parts = [
        cases.scores(results.comparison, federation, method, seed)
        for federation in federations
        for method in results.order
        for seed in sorted({run["seed"] for run in results.runs_of(federation, method)})
    ]
    numbers = pd.concat(parts, ignore_index=True).drop(columns="sample")
    lines = {name: -(-len(results.sites(name)) // _COLUMNS) for name in federations}
    height = 0.6 + 0.2 * len(results.order)
    figure, panels = stacked(results, [0.5 + lines[name] * height for name in federations], 8.4, federations)
    for federation, part in panels.items():
        sites, own = results.sites(federation), numbers[numbers["federation"] == federation]
        for (client, title), axes in zip(sites.items(), multiples(part, len(sites), _COLUMNS), strict=True):
            axes.set_title(title, fontsize=8, fontweight="normal")
            _points(axes, results, own[own["client"] == client])
        part.supxlabel(f"test {results.score(federation)} of a case", fontsize=8)
    return figure, numbers


def _points(axes: Axes, results: Results, numbers: pd.DataFrame) -> None:
    """A row of points per method, spread by a fixed pattern so that equal scores are seen, and its median."""
    for row, method in enumerate(results.order):
        values = numbers.loc[numbers["method"] == method, "value"].to_numpy(dtype=float)
        shown = look(results, method)
        spread = 0.3 * (2 * ((np.arange(len(values)) * 0.618034) % 1) - 1)
        axes.plot(values, row + spread, ".", color=shown.colour, markersize=5, alpha=0.5, markeredgewidth=0)
        if np.isfinite(values).any():
            middle = float(np.nanmedian(values))
            axes.plot([middle, middle], [row - 0.4, row + 0.4], color="black", linewidth=1.2)
    axes.set_yticks(range(len(results.order)), [results.methods[name].title for name in results.order])
    axes.set_ylim(len(results.order) - 0.5, -0.5)
