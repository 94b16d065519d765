"""The figures: a table of numbers, and its drawing.

    python -m benchmark.reporting.figures NAME RESULTS --pdf FILE --svg FILE --csv FILE

NAME is `rate_curves`, `clients`, `average_rank` or `learning_curves`; RESULTS are the arguments of
`benchmark.reporting.inputs`. The CSV file holds the plotted numbers. What a figure shows stands in
`report/NAME.rst`, which the report reads too.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from textwrap import fill

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from benchmark.evaluation.ranks import dataset_ranks, overall_ranks
from benchmark.reporting import style
from benchmark.reporting.inputs import Results, add_arguments, load
from benchmark.reporting.measure import over_seeds

Drawing = Callable[[Results], tuple[Figure, pd.DataFrame]]


def rate_curves(results: Results) -> tuple[Figure, pd.DataFrame]:
    """The validation score against the rate, one panel per dataset; the chosen rates are ringed."""
    rows = [
        (dataset, method, rate, seed, score, rate == choice["rate"])
        for (dataset, method), choice in results.selected.items()
        for rate, details in choice["scores"].items()
        for seed, score in details["per_seed"].items()
    ]
    numbers = pd.DataFrame(rows, columns=["dataset", "method", "rate", "seed", "value", "chosen"])
    figure, panels = _panels(results, columns=2, width=4.2, height=3.2)
    for dataset, axes in panels.items():
        here = numbers[numbers["dataset"] == dataset]
        for method in _order(results):
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
                markeredgecolor=_look(results, method).colour,
                markeredgewidth=1.2,
            )
        rates = sorted(here["rate"].unique(), key=float)
        axes.set_xscale("log")
        axes.set_xticks([float(rate) for rate in rates], rates)
        axes.minorticks_off()
        axes.set_xlabel("learning rate")
        axes.set_ylabel(f"validation {results.score}")
    _legend(figure, results)
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
    figure, panels = _panels(results, columns=2, width=4.2, height=3.2)
    for dataset, axes in panels.items():
        here = numbers[numbers["dataset"] == dataset]
        for method in _order(results):
            _curve(axes, results, method, here[here["method"] == method], "round")
        axes.set_xlabel("round")
        axes.set_ylabel(f"validation {results.score}")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _legend(figure, results)
    return figure, numbers


def clients(results: Results) -> tuple[Figure, pd.DataFrame]:
    """Every method's test score on every client, one panel per dataset; the last place is the mean."""
    rows = []
    for dataset in results.datasets:
        for method in _order(results):
            for client in results.sites(dataset):
                measure = over_seeds(results.cells_of(dataset, method, client))
                rows.append((dataset, method, client, measure.mean, measure.sd))
            measure = over_seeds(results.cells_of(dataset, method))
            rows.append((dataset, method, "mean", measure.mean, measure.sd))
    numbers = pd.DataFrame(rows, columns=["dataset", "method", "client", "value", "sd"])
    figure, panels = _panels(results, columns=1, width=8.4, height=2.9)
    for dataset, axes in panels.items():
        here = numbers[numbers["dataset"] == dataset]
        places = {client: place for place, client in enumerate([*results.sites(dataset), "mean"])}
        offsets = np.linspace(-0.34, 0.34, len(results.methods))
        for offset, method in zip(offsets, _order(results), strict=True):
            dots, shown = here[here["method"] == method], _look(results, method)
            axes.errorbar(
                dots["client"].map(places) + offset,
                dots["value"],
                yerr=dots["sd"].fillna(0),
                linestyle="",
                color=shown.colour,
                marker=shown.marker,
                elinewidth=0.9,
            )
        _chance(axes, results, dataset, places)
        for place in range(0, len(places), 2):
            axes.axvspan(place - 0.5, place + 0.5, color="#f5f5f5", zorder=0)
        labels = [*results.sites(dataset).values(), "mean"]
        axes.set_xticks(list(places.values()), [fill(label, 16) for label in labels])
        axes.grid(axis="x", visible=False)
        axes.set_xlim(-0.5, len(places) - 0.5)
        axes.set_ylabel(f"test {results.score}")
    _legend(figure, results)
    return figure, numbers


def average_rank(results: Results) -> tuple[Figure, pd.DataFrame]:
    """The average rank of every ranked method with its interval; small marks are single datasets."""
    overall = overall_ranks(results.ranks)
    parts = {"all": overall, **dataset_ranks(results.ranks)}
    numbers = pd.concat(parts, names=["dataset"]).reset_index()
    numbers = numbers[["dataset", "method", "average_rank", "low", "high"]]
    names = list(overall.sort_values("average_rank", kind="stable").index)
    figure = Figure(figsize=(6.4, 1.1 + 0.32 * len(names)))
    axes = figure.add_subplot()
    for place, name in enumerate(names):
        shown, rank = _look(results, name), overall.loc[name]
        axes.plot([rank["low"], rank["high"]], [place, place], color=shown.colour, linewidth=2.4, alpha=0.35)
        axes.plot(rank["average_rank"], place, color=shown.colour, marker=shown.marker, markersize=8)
        axes.annotate(
            f"{rank['average_rank']:.2f}",
            (rank["average_rank"], place),
            xytext=(0, 7),
            textcoords="offset points",
            ha="center",
            fontsize=7.5,
        )
        single = numbers[(numbers["method"] == name) & (numbers["dataset"] != "all")]
        if len(single) > 1:
            axes.plot(
                single["average_rank"],
                [place] * len(single),
                linestyle="",
                marker="|",
                color="#444444",
                markersize=7,
            )
    axes.set_yticks(range(len(names)), [results.methods[name].title for name in names])
    axes.set_ylim(len(names) - 0.4, -0.7)
    axes.set_xlim(0.8, len(names) + 0.2)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("average rank (1 is best), with 95 % bootstrap interval over clients")
    return figure, numbers


FIGURES: dict[str, Drawing] = {
    "rate_curves": rate_curves,
    "clients": clients,
    "average_rank": average_rank,
    "learning_curves": learning_curves,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job; see the module's text for its arguments."""
    parser = argparse.ArgumentParser(prog="figures", description="Draw one figure.")
    parser.add_argument("name", choices=sorted(FIGURES))
    add_arguments(parser)
    for kind in ("pdf", "svg", "csv"):
        parser.add_argument(f"--{kind}", type=Path, required=True)
    arguments = parser.parse_args(argv)
    try:
        with rc_context(style.RC):
            figure, numbers = FIGURES[arguments.name](load(arguments))
            style.save(figure, numbers, pdf=arguments.pdf, svg=arguments.svg, csv=arguments.csv)
    except (OSError, ValueError) as error:
        print(f"figures: {error}", file=sys.stderr)
        return 1
    return 0


def _panels(results: Results, *, columns: int, width: float, height: float) -> tuple[Figure, dict[str, Axes]]:
    """A figure with one panel of `width` by `height` inches per dataset, and room for a legend below."""
    columns = min(columns, len(results.datasets))
    lines = -(-len(results.datasets) // columns)
    titles = [method.title for method in results.methods.values()]
    rows = -(-len(titles) // style.legend_columns(columns * width, titles))
    figure = Figure(figsize=(columns * width, lines * height + 0.25 + 0.2 * rows))
    panels = {}
    for place, dataset in enumerate(results.datasets):
        panels[dataset] = figure.add_subplot(lines, columns, place + 1)
        panels[dataset].set_title(results.title(dataset))
    return figure, panels


def _order(results: Results) -> list[str]:
    """The methods in the leaderboard's order, controls last."""
    ranks = overall_ranks(results.ranks)["average_rank"].sort_values(kind="stable")
    return [*(str(name) for name in ranks.index), *results.controls]


def _look(results: Results, method: str) -> style.Look:
    return style.look(method, control=results.methods[method].control)


def _legend(figure: Figure, results: Results) -> None:
    style.legend(figure, [(results.methods[name].title, _look(results, name)) for name in _order(results)])


def _curve(axes: Axes, results: Results, method: str, lines: pd.DataFrame, x: str) -> None:
    """The mean over seeds, in a band from the lowest to the highest seed; a diverged seed ends both."""
    shown = _look(results, method)
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


def _chance(axes: Axes, results: Results, dataset: str, places: dict[str, int]) -> None:
    """A dashed line at each client's chance level."""
    metrics = results.metrics
    rows = metrics[(metrics["dataset"] == dataset) & (metrics["metric"] == "chance")]
    for client, chance in rows.groupby("client")["value"].mean().items():
        place = places[str(client)]
        axes.hlines(chance, place - 0.45, place + 0.45, color="#999999", linestyle="--", linewidth=0.9)


if __name__ == "__main__":
    sys.exit(main())
