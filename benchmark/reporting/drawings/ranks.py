"""Ranks: which methods stand where, and how sure that is."""

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from benchmark.evaluation.statistics import ALL
from benchmark.reporting.drawings.panels import look
from benchmark.reporting.inputs import Results


def average_rank(results: Results) -> tuple[Figure, pd.DataFrame]:
    """The average rank of every ranked method with its interval; small marks are single federations."""
    overall, averages = results.overall, results.federation_ranks
    parts = {ALL: overall, **{name: averages.loc[name] for name in results.counted if name in averages.index}}
    interval = results.statistics.interval
    numbers = pd.DataFrame(
        [
            (federation, method, rank, *interval(str(method), "average_rank", federation))
            for federation, averages in parts.items()
            for method, rank in averages.items()
        ],
        columns=["federation", "method", "average_rank", "low", "high"],
    )
    names = results.order[: len(overall)]
    figure = Figure(figsize=(6.4, 1.1 + 0.32 * len(names)))
    axes = figure.add_subplot()
    ranks = numbers[numbers["federation"] == ALL].set_index("method")
    for place, name in enumerate(names):
        shown, rank = look(results, name), ranks.loc[name]
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
        single = numbers[(numbers["method"] == name) & (numbers["federation"] != ALL)]
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
    axes.set_xlabel(f"average rank among {len(names)} methods (1 is best), with 95 % interval")
    return figure, numbers
