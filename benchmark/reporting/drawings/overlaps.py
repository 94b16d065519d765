"""How orthogonal global and personal adapters became, layer by layer."""

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from benchmark.evaluation.overlap import natural
from benchmark.reporting import style
from benchmark.reporting.drawings.panels import look
from benchmark.reporting.inputs import Results

_MEASURES = {
    "cosine": "mean |cos| of the rows of A",
    "product": "|cos| of the products BA",
    "subspace": "overlap of their columns",
}
_RANDOM: dict[str, Any] = {"color": "#777777", "linestyle": "--", "linewidth": 1}


def overlap(results: Results) -> tuple[Figure, pd.DataFrame]:
    """Each measure against the depth of the layer, one line per method that has both adapters."""
    table = results.overlap
    keys = ["federation", "method", "measure", "layer"]
    measured = table.astype({"value": float, "random": float})
    numbers = measured.groupby(keys, sort=False)[["value", "random"]].mean().reset_index()
    methods = [name for name in results.order if name in set(numbers["method"])]
    federations = [name for name in results.federations if name in set(numbers["federation"])]
    if not federations:
        return _empty(), numbers
    figure = Figure(figsize=(9.2, 2.8 * len(federations) + 0.3 + 0.2 * -(-(len(methods) + 1) // 5)))
    grid = figure.subplots(len(federations), len(_MEASURES), squeeze=False)
    for federation, line in zip(federations, grid, strict=True):
        here = numbers[numbers["federation"] == federation]
        for axes, (measure, text) in zip(line, _MEASURES.items(), strict=True):
            _lines(axes, results, here[here["measure"] == measure], methods)
            axes.set_ylabel(text)
        line[0].set_title(results.title(federation))
    handles = [Line2D([], [], label="random directions", **_RANDOM)]
    handles += style.handles([(results.methods[name].title, look(results, name)) for name in methods])
    figure.legend(handles=handles, loc="outside lower center", ncols=min(5, len(handles)))
    return figure, numbers


def _lines(axes: Axes, results: Results, table: pd.DataFrame, methods: list[str]) -> None:
    """A measure's lines, broken between projections: `blocks.0.attn.q` belongs to projection `attn.q`."""
    layers = pd.DataFrame({"layer": sorted(table["layer"].unique(), key=natural)})
    parts = layers["layer"].str.extract(r"^(?:blocks\.)?(?P<block>\d+)\.(?P<projection>.+)$")
    layers["projection"] = parts["projection"].fillna(layers["layer"])
    layers["block"] = parts["block"].fillna("")
    start, ticks = 0.0, list[tuple[float, str]]()
    for projection, own in layers.groupby("projection", sort=False):
        places = dict(zip(own["layer"], (start + i for i in range(len(own))), strict=True))
        inside = table[table["layer"].isin(places)]
        inside = inside.assign(x=inside["layer"].map(places))
        for name in methods:
            points = inside[inside["method"] == name].sort_values("x")
            axes.plot(points["x"], points["value"], linestyle=look(results, name).line, **look(results, name).mark)
        level = inside.groupby("x")["random"].mean()
        axes.hlines(level, level.index - 0.5, level.index + 0.5, **_RANDOM)
        ticks += zip(places.values(), own["block"], strict=True)
        axes.annotate(
            f"{projection}, block" if own["block"].iloc[0] else str(projection),
            (start + (len(own) - 1) / 2, 0),
            xycoords=("data", "axes fraction"),
            xytext=(0, -18),
            textcoords="offset points",
            ha="center",
            va="top",
            fontsize=8,
        )
        start += len(own) + 0.6
    shown = [tick for place, tick in enumerate(ticks) if place % -(-len(ticks) // 16) == 0]
    axes.set_xticks([place for place, _ in shown], [block for _, block in shown])
    axes.set_yscale("log")


def _empty() -> Figure:
    """A figure that says why there is nothing to see."""
    figure = Figure(figsize=(5, 1))
    figure.text(0.5, 0.5, "No method here has both a global and a personal adapter.", ha="center", va="center")
    return figure
