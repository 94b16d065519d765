"""Curves of validation scores: against the rate, and against the round."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from benchmark.reporting.drawings.panels import legend, look, order, per_dataset
from benchmark.reporting.inputs import Results


def rate_curves(results: Results) -> tuple[Figure, pd.DataFrame]:
    """The validation score against the rate, one panel per dataset; the chosen rates are ringed."""
    rows = [
        (dataset, method, rate, seed, score, rate == choice["rate"])
        for (dataset, method), choice in results.selected.items()
        for rate, details in choice["scores"].items()
        for seed, score in details["per_seed"].items()
    ]
    numbers = pd.DataFrame(rows, columns=["dataset", "method", "rate", "seed", "value", "chosen"])
    figure, panels = per_dataset(results, columns=2, width=4.2, height=3.2)
    for dataset, axes in panels.items():
        here = numbers[numbers["dataset"] == dataset]
        for method in order(results):
            lines = here[here["method"] == method].astype({"rate": float, "value": float})
            _curve(axes, results, method, lines, "rate")
            chosen = lines[lines["chosen"]].groupby("rate")["value"].mean()
            axes.plot(
                chosen.index,
                chosen.to_numpy(),
                linestyle="",
                marker="o",
                markersize=11,
                markerfacecolor="none",
                markeredgecolor=look(results, method).colour,
                markeredgewidth=1.2,
            )
        rates = sorted(here["rate"].unique(), key=float)
        axes.set_xscale("log")
        axes.set_xticks([float(rate) for rate in rates], rates)
        axes.minorticks_off()
        axes.set_xlabel("learning rate")
        axes.set_ylabel(f"validation {results.score}")
    legend(figure, results)
    return figure, numbers


def learning_curves(results: Results) -> tuple[Figure, pd.DataFrame]:
    """The validation score against the round at the chosen rate, one panel per dataset."""
    parts = []
    for run in results.runs:
        key = (run["federation"], run["method"]["name"])
        if key in results.selected and run["rate"] == results.selected[key]["rate"]:
            metrics = pd.read_parquet(run["folder"] / "metrics.parquet")
            shown = (metrics["split"] == "validation") & (metrics["metric"] == run["task"]["score"])
            per_round = metrics[shown].pivot(index="round", columns="client", values="value").mean(axis=1, skipna=False)
            parts.append(
                per_round.rename("value").reset_index().assign(dataset=key[0], method=key[1], seed=run["seed"])
            )
    numbers = pd.concat(parts, ignore_index=True)[["dataset", "method", "seed", "round", "value"]]
    figure, panels = per_dataset(results, columns=2, width=4.2, height=3.2)
    for dataset, axes in panels.items():
        here = numbers[numbers["dataset"] == dataset]
        for method in order(results):
            _curve(axes, results, method, here[here["method"] == method], "round")
        axes.set_xlabel("round")
        axes.set_ylabel(f"validation {results.score}")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    legend(figure, results)
    return figure, numbers


def _curve(axes: Axes, results: Results, method: str, lines: pd.DataFrame, x: str) -> None:
    """The mean over seeds, in a band from the lowest to the highest seed; a diverged seed ends both."""
    shown = look(results, method)
    table = lines.pivot(index=x, columns="seed", values="value").sort_index()
    mean = table.mean(axis=1, skipna=False)
    marks = None if x == "rate" else max(1, len(mean) // 6)
    axes.plot(
        mean.index,
        mean,
        color=shown.colour,
        marker=shown.marker,
        linestyle=shown.line,
        markevery=marks,
        alpha=0.9,
    )
    if table.shape[1] > 1:
        whole = table.dropna()
        axes.fill_between(
            whole.index, whole.min(axis=1), whole.max(axis=1), color=shown.colour, alpha=0.12, linewidth=0
        )
