"""What drawings share: panels, the order of the methods, how a method looks, and the legend."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmark.evaluation.ranks import overall_ranks
from benchmark.reporting import style
from benchmark.reporting.inputs import Results


def per_dataset(results: Results, *, columns: int, width: float, height: float) -> tuple[Figure, dict[str, Axes]]:
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


def order(results: Results) -> list[str]:
    """The methods in the leaderboard's order, controls last."""
    ranks = overall_ranks(results.ranks)["average_rank"].sort_values(kind="stable")
    return [*(str(name) for name in ranks.index), *results.controls]


def look(results: Results, method: str) -> style.Look:
    """How a method is drawn."""
    return style.look(method, control=results.methods[method].control)


def legend(figure: Figure, results: Results) -> None:
    """One legend of all methods below all panels."""
    style.legend(figure, [(results.methods[name].title, look(results, name)) for name in order(results)])
