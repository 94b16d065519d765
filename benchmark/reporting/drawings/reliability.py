"""Whether what a model says of itself can be believed: its confidence against how often it is right, by hospital."""

from textwrap import fill
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter

from benchmark.comparison import LOCAL
from benchmark.reporting.drawings.confusions import best_method
from benchmark.reporting.drawings.panels import look, multiples, stacked
from benchmark.reporting.inputs import Results
from benchmark.reporting.tested import stated

_COLUMNS = 6
_BINS = 10
_KEY = ["federation", "method", "client"]
_EXACT: dict[str, Any] = {"color": "#999999", "linestyle": "--", "linewidth": 0.9}


def reliability(results: Results) -> tuple[Figure, pd.DataFrame]:
    """Of the best ranked method and of training alone, by tenths of confidence, the share that is right.

    The expected calibration error beside it is that of the page's other tables: the mean over seeds.
    """
    federations = results.of_task("reliability")
    parts = [_bins(results, name, method) for name in federations for method in _shown(results, name)]
    numbers = pd.concat(parts, ignore_index=True)
    columns = min(_COLUMNS, max(len(results.sites(name)) for name in federations))
    heights = [0.75 + 2.0 * -(-len(results.sites(name)) // columns) for name in federations]
    figure, drawn = stacked(results, heights, max(5.6, 0.6 + 1.4 * columns), federations)
    for federation, part in drawn.items():
        sites, here = results.sites(federation), numbers[numbers["federation"] == federation]
        for (client, title), axes in zip(sites.items(), multiples(part, len(sites), columns), strict=True):
            axes.set_title(fill(title, 18), fontsize=8, fontweight="normal", pad=3)
            _panel(axes, results, here[here["client"] == client])
        names = dict.fromkeys(here["method"])
        handles = [_line(results, name, results.methods[name].title) for name in names]
        handles.append(Line2D([], [], label="as often as stated", **_EXACT))
        part.legend(handles=handles, loc="outside upper right", ncols=len(handles), fontsize=7.5)
        part.supxlabel("confidence: the probability of what is predicted", fontsize=8)
        part.supylabel("share that is right", fontsize=8)
    return figure, numbers


def _shown(results: Results, federation: str) -> list[str]:
    """The best ranked method, and training alone where it is there."""
    return list(dict.fromkeys([best_method(results, federation), *({LOCAL} & results.trained(federation))]))


def _bins(results: Results, federation: str, method: str) -> pd.DataFrame:
    """Of every client and tenth of confidence that predictions of the method fall into: how many, and how right.

    A prediction counts once for each seed; `images` are those of the client, each once. A model that diverged states
    nothing, and has one row without numbers.
    """
    metrics = results.metrics
    own = metrics[(metrics["federation"] == federation) & (metrics["method"] == method)]
    own = own[own["metric"] == "calibration_error"].groupby("client").agg(value=("value", "mean"), n=("n", "first"))
    rows = []
    for client, said in stated(results, federation, method).items():
        about = (federation, method, client, int(own["n"][client]), float(own["value"][client]))
        known = said[np.isfinite(said).all(1)]
        place = np.minimum((known[:, 0] * _BINS).astype(np.int64), _BINS - 1)
        found = [
            (*about, tenth, int((place == tenth).sum()), *known[place == tenth].mean(0)) for tenth in np.unique(place)
        ]
        rows += found or [(*about, None, 0, np.nan, np.nan)]
    columns = [*_KEY, "images", "calibration_error", "tenth", "predictions", "confidence", "right"]
    return pd.DataFrame(rows, columns=columns).astype({"tenth": "Int64"})


def _panel(axes: Axes, results: Results, numbers: pd.DataFrame) -> None:
    """A line per method through its tenths, whose points are as large as the share of predictions in them."""
    axes.plot([0, 1], [0, 1], zorder=0.9, **_EXACT)
    errors = []
    for method, own in numbers.groupby("method", sort=False):
        shown = look(results, str(method))
        axes.plot(own["confidence"], own["right"], color=shown.colour, linewidth=1, linestyle=shown.line)
        size = 70 * own["predictions"] / max(own["predictions"].sum(), 1)
        axes.scatter(own["confidence"], own["right"], s=4 + size, color=shown.colour, alpha=0.8, linewidths=0, zorder=3)
        error = own["calibration_error"].iloc[0]
        errors.append(f"{results.methods[str(method)].title} {'diverged' if np.isnan(error) else f'{error:.2f}'}")
    images = numbers["images"].iloc[0] if len(numbers) else 0
    axes.set_xlabel("\n".join([f"{images} images", *errors]), fontsize=7, labelpad=1)
    axes.set_xlim(0, 1)
    axes.set_ylim(-0.04, 1.04)
    axes.set_xticks([0, 0.5, 1])
    axes.set_yticks([0, 0.5, 1])
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1))


def _line(results: Results, method: str, title: str) -> Line2D:
    shown = look(results, method)
    return Line2D([], [], label=title, color=shown.colour, linestyle=shown.line, marker="o", markeredgewidth=0)
