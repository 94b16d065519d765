"""What drawings share: panels, how a method looks, and the legend."""

from collections.abc import Iterator, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure

from benchmark.reporting import style
from benchmark.reporting.inputs import Results


def per_federation(results: Results, *, columns: int, width: float, height: float) -> tuple[Figure, dict[str, Axes]]:
    """A figure with one panel of `width` by `height` inches per federation, and room for a legend below."""
    columns = min(columns, len(results.federations))
    lines = -(-len(results.federations) // columns)
    titles = [method.title for method in results.methods.values()]
    rows = -(-len(titles) // style.legend_columns(columns * width, titles))
    figure = Figure(figsize=(columns * width, lines * height + 0.25 + 0.2 * rows))
    panels = {}
    for place, federation in enumerate(results.federations):
        panels[federation] = figure.add_subplot(lines, columns, place + 1)
        panels[federation].set_title(results.title(federation))
    return figure, panels


def stacked(
    results: Results, heights: Sequence[float], width: float, federations: Sequence[str] | None = None
) -> tuple[Figure, dict[str, SubFigure]]:
    """A figure with one part per federation, below each other, of the given heights in inches, each with its title."""
    figure = Figure(figsize=(width, sum(heights)))
    parts = figure.subfigures(len(heights), 1, squeeze=False, height_ratios=list(heights))[:, 0]
    found = dict(zip(federations or results.federations, parts, strict=True))
    for federation, part in found.items():
        part.suptitle(results.title(federation), x=0.01, ha="left", fontsize=10, fontweight="bold")
    return figure, found


def multiples(part: SubFigure, count: int, columns: int) -> Iterator[Axes]:
    """Small panels that share both axes, `columns` in a row; only the outer ones carry numbers."""
    lines = -(-count // columns)
    grid = part.subplots(lines, columns, sharex=True, sharey=True, squeeze=False)
    for place, axes in enumerate(grid.flat):
        if place >= count:
            axes.set_visible(False)
            continue
        axes.tick_params(labelsize=7, labelbottom=place + columns >= count, labelleft=place % columns == 0)
        yield axes


def look(results: Results, method: str) -> style.Look:
    """How a method is drawn."""
    return style.look(method, control=results.methods[method].control)


def legend(figure: Figure, results: Results) -> None:
    """One legend of all methods below all panels."""
    style.legend(figure, [(results.methods[name].title, look(results, name)) for name in results.order])
