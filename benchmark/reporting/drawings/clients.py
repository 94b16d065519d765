"""Test scores of every method on every client."""

from textwrap import fill

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmark.reporting.drawings.panels import legend, look, order, per_dataset
from benchmark.reporting.inputs import Results
from benchmark.reporting.measure import over_seeds


def clients(results: Results) -> tuple[Figure, pd.DataFrame]:
    """Every method's test score on every client, one panel per dataset; the last place is the mean."""
    rows = []
    for dataset in results.datasets:
        for method in order(results):
            for client in results.sites(dataset):
                measure = over_seeds(results.cells_of(dataset, method, client))
                rows.append((dataset, method, client, measure.mean, measure.sd))
            measure = over_seeds(results.cells_of(dataset, method))
            rows.append((dataset, method, "mean", measure.mean, measure.sd))
    numbers = pd.DataFrame(rows, columns=["dataset", "method", "client", "value", "sd"])
    figure, panels = per_dataset(results, columns=1, width=8.4, height=2.9)
    for dataset, axes in panels.items():
        here = numbers[numbers["dataset"] == dataset]
        places = {client: place for place, client in enumerate([*results.sites(dataset), "mean"])}
        offsets = np.linspace(-0.34, 0.34, len(results.methods))
        for offset, method in zip(offsets, order(results), strict=True):
            dots, shown = here[here["method"] == method], look(results, method)
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
    legend(figure, results)
    return figure, numbers


def _chance(axes: Axes, results: Results, dataset: str, places: dict[str, int]) -> None:
    """A dashed line at each client's chance level."""
    metrics = results.metrics
    rows = metrics[(metrics["dataset"] == dataset) & (metrics["metric"] == "chance")]
    for client, chance in rows.groupby("client")["value"].mean().items():
        place = places[str(client)]
        axes.hlines(chance, place - 0.45, place + 0.45, color="#999999", linestyle="--", linewidth=0.9)
