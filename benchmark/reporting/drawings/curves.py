"""Curves of validation scores, a small panel for each method: against the rate, and against the round."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from benchmark.reporting.drawings.panels import look, multiples, stacked
from benchmark.reporting.inputs import Results

_COLUMNS = 6
_BAND, _MIDDLE = "#ebebeb", "#9a9a9a"


def rate_curves(results: Results) -> tuple[Figure, pd.DataFrame]:
    """The validation score against the rate; the chosen rates are ringed."""
    rows = [
        (federation, method, rate, seed, score, rate == choice["rate"])
        for (federation, method), choice in results.selected.items()
        for rate, details in choice["scores"].items()
        for seed, score in details["per_seed"].items()
    ]
    numbers = pd.DataFrame(rows, columns=["federation", "method", "rate", "seed", "value", "chosen"])
    figure, panels = _curves(results, numbers.astype({"rate": float, "value": float}), "rate", "learning rate")
    for (federation, method), axes in panels.items():
        here = numbers[numbers["federation"] == federation].astype({"value": float})
        chosen = here[here["chosen"] & (here["method"] == method)].groupby("rate")["value"].mean()
        axes.plot(
            chosen.index.astype(float),
            chosen.to_numpy(),
            linestyle="",
            marker="o",
            markersize=10,
            markerfacecolor="none",
            markeredgecolor="black",
            markeredgewidth=1,
            clip_on=False,
        )
        rates = sorted(here["rate"].unique(), key=float)
        axes.set_xscale("log")
        labels = [rate if place % -(-len(rates) // 3) == 0 else "" for place, rate in enumerate(rates)]
        axes.set_xticks([float(rate) for rate in rates], labels)
        axes.minorticks_off()
        axes.margins(x=0.15, y=0.12)
    return figure, numbers


def learning_curves(results: Results) -> tuple[Figure, pd.DataFrame]:
    """The validation score against the round at the chosen rate."""
    keys = ["federation", "method", "rate"]
    chosen = pd.DataFrame([(*row, choice["rate"]) for row, choice in results.selected.items()], columns=keys)
    shown = chosen.merge(results.validation, on=keys)
    rounds = shown.groupby(["federation", "method", "seed", "round"], sort=False)["value"]
    numbers = rounds.mean(skipna=False).reset_index()
    figure, panels = _curves(results, numbers, "round", "round")
    for axes in panels.values():
        axes.xaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
    return figure, numbers


def _curves(results: Results, numbers: pd.DataFrame, x: str, label: str) -> tuple[Figure, dict[tuple[str, str], Axes]]:
    """Every method's curve over what all ranked methods reach: from the worst to the best, and the middle."""
    names = results.order
    columns = min(_COLUMNS, len(names))
    lines = -(-len(names) // columns)
    figure, parts = stacked(results, [0.75 + 1.25 * lines] * len(results.federations), max(3.2, 0.4 + 1.5 * columns))
    panels = {}
    for federation, part in parts.items():
        tables = {
            name: table.pivot(index=x, columns="seed", values="value").sort_index()
            for name, table in numbers[numbers["federation"] == federation].groupby("method")
        }
        ranked = pd.DataFrame(
            {name: table.mean(axis=1, skipna=False) for name, table in tables.items() if name not in results.controls}
        )
        for name, axes in zip(names, multiples(part, len(names), columns), strict=True):
            panels[federation, name] = axes
            axes.set_title(results.methods[name].title, fontsize=8, fontweight="normal", pad=3)
            if not ranked.empty:
                axes.fill_between(ranked.index, ranked.min(axis=1), ranked.max(axis=1), color=_BAND, linewidth=0)
                axes.plot(ranked.index, ranked.median(axis=1), color=_MIDDLE, linewidth=0.8)
            if name in tables:
                _curve(axes, results, name, tables[name], marks=x == "rate")
        part.supxlabel(label, fontsize=8)
        part.supylabel(f"validation {results.score(federation)}", fontsize=8)
    return figure, panels


def _curve(axes: Axes, results: Results, method: str, table: pd.DataFrame, *, marks: bool) -> None:
    """The mean over seeds, in a band from the lowest to the highest seed; a diverged seed ends both."""
    shown, mean = look(results, method), table.mean(axis=1, skipna=False)
    axes.plot(mean.index, mean, linewidth=1.6, **(shown.mark if marks else {"color": shown.colour}))
    if table.shape[1] > 1:
        whole = table.dropna()
        axes.fill_between(
            whole.index, whole.min(axis=1), whole.max(axis=1), color=shown.colour, alpha=0.25, linewidth=0
        )
