"""The critical-difference diagram: average ranks over clients, and which of them Nemenyi's test cannot tell apart."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmark.reporting.drawings.panels import look
from benchmark.reporting.inputs import Results

_COLUMNS = ["method", "average_rank", "cliques", "critical_difference", "p_value"]
# Distances below the axis, in lines of text: of the first bar, between bars, and from the last bar to the first label.
_FIRST, _BAR, _LABEL = 0.55, 0.42, 0.8


def draw(results: Results) -> tuple[Figure, pd.DataFrame]:
    """The diagram, or one line that says why there is none; `cliques` are numbers of the bars that a method is on."""
    test = results.statistics.significance
    if not test["computed"]:
        return _reason(test["reason"]), pd.DataFrame(columns=_COLUMNS)
    numbers = _numbers(test)
    bars, lines = len(test["cliques"]), -(-len(numbers) // 2)
    top = _FIRST + _BAR * bars + _LABEL
    figure = Figure(figsize=(7.6, 0.27 * (top + lines + 3.2)))
    axes = figure.add_subplot()
    _scale(axes, len(numbers), test)
    for bar, clique in enumerate(test["cliques"]):
        ranks = [test["average_ranks"][method] for method in clique]
        height = _FIRST + _BAR * bar
        axes.plot([min(ranks) - 0.04, max(ranks) + 0.04], [height, height], color="#333333", linewidth=3.2)
    for place, row in enumerate(numbers.itertuples()):
        left = place < lines
        height = top + (place if left else len(numbers) - 1 - place)
        _leader(axes, results, str(row.method), float(str(row.average_rank)), height, left, len(numbers))
    axes.set_ylim(top + lines - 0.4, -2.9)
    return figure, numbers


def _numbers(test: Mapping[str, Any]) -> pd.DataFrame:
    """One row per method, the best first."""
    rows = [
        (
            method,
            rank,
            " ".join(str(bar) for bar, clique in enumerate(test["cliques"], 1) if method in clique),
            test["critical_difference"],
            test["p_value"],
        )
        for method, rank in sorted(test["average_ranks"].items(), key=lambda item: (item[1], item[0]))
    ]
    return pd.DataFrame(rows, columns=_COLUMNS)


def _scale(axes: Axes, methods: int, test: Mapping[str, Any]) -> None:
    """The axis of ranks on top, and above it the critical difference as a ruler."""
    axes.set_xlim(1 - 0.42 * methods, methods + 0.42 * methods)
    axes.axis("off")
    axes.plot([1, methods], [0, 0], color="#444444", linewidth=1)
    for rank in range(1, methods + 1):
        axes.plot([rank, rank], [-0.2, 0], color="#444444", linewidth=1)
        axes.annotate(str(rank), (rank, -0.35), ha="center", va="bottom", fontsize=8)
    difference = test["critical_difference"]
    end = 1 + difference
    axes.plot([1, end], [-1.75, -1.75], color="#444444", linewidth=1)
    for at in (1, end):
        axes.plot([at, at], [-1.95, -1.55], color="#444444", linewidth=1)
    axes.annotate(f"critical difference {difference:.2f}", (1, -2.05), ha="left", va="bottom", fontsize=8)
    friedman = f"Friedman's test: p = {test['p_value']:.2g}; {methods} methods, {len(test['blocks'])} clients"
    axes.annotate(friedman, (1.4 * methods, -2.05), ha="right", va="bottom", fontsize=8)


def _leader(axes: Axes, results: Results, method: str, rank: float, height: float, left: bool, methods: int) -> None:
    """A method's mark on the axis, and the line from it to its title."""
    shown = look(results, method)
    side = 1 - 0.04 * methods if left else 1.04 * methods
    axes.plot([rank, rank, side], [0, height, height], color=shown.colour, linewidth=1)
    axes.plot(rank, 0, color=shown.colour, marker=shown.marker, markersize=4.5)
    title, align = results.methods[method].title, "right" if left else "left"
    text = f"{title}  {rank:.2f}" if left else f"{rank:.2f}  {title}"
    axes.annotate(
        text, (side, height), xytext=(-4 if left else 4, 0), textcoords="offset points", ha=align, va="center"
    )


def _reason(text: str) -> Figure:
    """A figure of one line."""
    figure = Figure(figsize=(7.6, 0.8))
    axes = figure.add_subplot()
    axes.axis("off")
    axes.annotate(f"Not computed: {text}.", (0.5, 0.5), xycoords="axes fraction", ha="center", va="center", wrap=True)
    return figure
