"""Test scores of every method on every client: a row for each method, a panel for each client."""

from textwrap import fill
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from benchmark.reporting.drawings.panels import look, multiples, stacked
from benchmark.reporting.inputs import Results

_COLUMNS = 7
_CHANCE: dict[str, Any] = {"color": "#999999", "linestyle": "--", "linewidth": 0.9}
_ALONE: dict[str, Any] = {"color": "#555555", "linestyle": ":", "linewidth": 1.1}
_BEST: dict[str, Any] = {
    "marker": "o",
    "markersize": 9,
    "markerfacecolor": "none",
    "markeredgecolor": "black",
    "linestyle": "",
    "clip_on": False,
}


def clients(results: Results) -> tuple[Figure, pd.DataFrame]:
    """Every method's test score on every client; the last panel is the mean."""
    names, rows = results.order, []
    for federation in results.federations:
        for method in names:
            for client in results.sites(federation):
                measure = results.score_of(federation, method, client)
                rows.append((federation, method, client, measure.mean, measure.sd))
            measure = results.mean(federation, method)
            rows.append((federation, method, "mean", measure.mean, measure.sd))
    numbers = pd.DataFrame(rows, columns=["federation", "method", "client", "value", "sd"])
    titles = {d: {**results.sites(d), "mean": "mean over clients"} for d in results.federations}
    columns = min(_COLUMNS, max(map(len, titles.values())))
    heights = [-(-len(t) // columns) * (0.75 + 0.165 * len(names)) + 0.3 for t in titles.values()]
    figure, parts = stacked(results, heights, max(4.5, 1.3 + 1.12 * columns))
    for federation, part in parts.items():
        here = numbers[numbers["federation"] == federation]
        panels = multiples(part, len(titles[federation]), columns)
        for (client, title), axes in zip(titles[federation].items(), panels, strict=True):
            axes.set_title(fill(title, 15), fontsize=8, fontweight="normal", pad=3)
            _dots(axes, results, federation, here[here["client"] == client].set_index("method"))
            _reference(axes, results, federation, client)
        part.supxlabel(f"test {results.score(federation)}", fontsize=8)
    handles = [
        Line2D([], [], label="best ranked method", **_BEST),
        Line2D([], [], label="chance", **_CHANCE),
    ]
    if "local" in results.methods:
        handles.insert(1, Line2D([], [], label="training alone", **_ALONE))
    figure.legend(handles=handles, loc="outside upper right", ncols=len(handles), fontsize=7.5)
    return figure, numbers


def _dots(axes: Axes, results: Results, federation: str, table: pd.DataFrame) -> None:
    """One client's scores, the best ranked method ringed, controls below a line."""
    names = results.order
    values, spreads = table["value"].astype(float), table["sd"].astype(float).fillna(0)
    for place, name in enumerate(names):
        axes.errorbar(values[name], place, xerr=spreads[name], elinewidth=0.9, **look(results, name).mark)
    ranked = values.drop(results.controls)
    best = ranked.max() if results.best(federation) == "max" else ranked.min()
    for name in ranked.index[ranked == best]:
        axes.plot(best, names.index(str(name)), **_BEST)
    if results.controls:
        axes.axhline(len(ranked) - 0.5, color="#bbbbbb", linewidth=0.7)
    axes.set_yticks(range(len(names)), [results.methods[name].title for name in names])
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=3))
    axes.margins(x=0.12)
    if "local" in values.index:
        axes.axvline(values["local"], zorder=0.9, **_ALONE)


def _reference(axes: Axes, results: Results, federation: str, client: str) -> None:
    """A dashed line at the client's chance level, or the mean of all clients'."""
    metrics = results.metrics
    chance = metrics[(metrics["federation"] == federation) & (metrics["metric"] == "chance")]
    chance = chance if client == "mean" else chance[chance["client"] == client]
    if len(chance):
        axes.axvline(chance.groupby("client")["value"].mean().mean(), zorder=0.9, **_CHANCE)
