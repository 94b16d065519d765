"""The figure of stability: places with drawn scores, ranks by draw of the split, and rates by other evidence."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from benchmark.evaluation.statistics import ALL
from benchmark.reporting.inputs import Results

# A cell is white where all agrees, and darker the less it does.
_AGREES = LinearSegmentedColormap.from_list("agrees", ["#ffffff", "#f4a742"])
_SHARE = LinearSegmentedColormap.from_list("share", ["#ffffff", "#2f7fb8"])
_ROW, _COLUMN = 0.25, 0.52


def draw(results: Results) -> tuple[Figure, pd.DataFrame]:
    """A panel of places over all federations, one of ranks for each split with draws, one of rates per federation."""
    table = results.statistics.stability
    ranked = [name for name in results.order if not results.methods[name].control]
    drawn = results.drawn
    heights = [len(ranked) + 1.6] * (1 + len(drawn)) + [len(results.order) + 1.6] * len(results.federations)
    figure = Figure(figsize=(8.4, _ROW * (sum(heights) + 1) + 0.3 * len(heights)))
    panels = figure.subplots(len(heights), squeeze=False, gridspec_kw={"height_ratios": heights})[:, 0]
    places = (table["quantity"] == "place") & (table["federation"] == ALL)
    shown = table[(table["quantity"] == "rate") | places | (table["varied"] == "draws")]
    _places(panels[0], results, ranked)
    for axes, name in zip(panels[1:], drawn, strict=False):
        _draws(axes, results, name)
    for axes, federation in zip(panels[1 + len(drawn) :], results.federations, strict=True):
        _rates(axes, results, federation)
    return figure, shown.reset_index(drop=True)


def _places(axes: Axes, results: Results, ranked: Sequence[str]) -> None:
    """Shares of places, in per cent."""
    table = results.statistics.places()
    shares = table.reindex([name for name in ranked if name in table.index])
    axes.set_title(f"How often, in %, each place of {len(ranked)}, with scores as other test sets may give them")
    _matrix(axes, shares.to_numpy(float), _SHARE)
    for (row, column), share in np.ndenumerate(shares.to_numpy(float)):
        if round(100 * share):
            axes.annotate(f"{100 * share:.0f}", (column, row), ha="center", va="center", fontsize=7.5)
    axes.set_xticks(range(shares.shape[1]), [str(place) for place in shares.columns])
    axes.set_yticks(range(len(shares)), [results.methods[name].title for name in shares.index])


def _draws(axes: Axes, results: Results, name: str) -> None:
    """Average ranks on every draw of a split alone; coloured where they are far from the mean over draws."""
    table = results.statistics.by_draw(name)
    ranks = table.reindex([method for method in results.order if method in table.index])
    values = ranks.to_numpy(float)
    axes.set_title(f"{results.title(name)}: average rank by draw of the split")
    _matrix(axes, np.abs(values - values.mean(axis=1, keepdims=True)) / max(len(ranks) - 1, 1), _AGREES)
    for (row, column), rank in np.ndenumerate(values):
        axes.annotate("" if np.isnan(rank) else f"{rank:.2f}", (column, row), ha="center", va="center", fontsize=7.5)
    axes.set_xticks(range(values.shape[1]), [f"draw {number + 1}" for number in range(values.shape[1])])
    axes.set_yticks(range(len(ranks)), [results.methods[method].title for method in ranks.index])


def _rates(axes: Axes, results: Results, federation: str) -> None:
    """What each window, each seed and resampled clients would choose; coloured where it is not what was chosen."""
    methods = [name for name in results.order if (federation, name) in results.selected]
    windows = sorted({int(k) for name in methods for k in results.statistics.rates_by("rounds", federation, name)})
    seeds = [str(seed) for seed in results.seeds] if len(results.seeds) > 1 else []
    heads = ["chosen", *(f"k={k}" for k in windows), *(f"seed {seed}" for seed in seeds), "clients"]
    differs, texts = np.zeros((len(methods), len(heads))), []
    for row, method in enumerate(methods):
        rate = results.selected[federation, method]["rate"]
        by_window, by_seed = (results.statistics.rates_by(varied, federation, method) for varied in ("rounds", "seeds"))
        others = [*(by_window.get(str(k), "") for k in windows), *(by_seed.get(seed, "") for seed in seeds)]
        share = results.statistics.agreement(federation, method, rate)
        differs[row, 1:] = [*(float(other != rate) for other in others), 1 - share]
        texts.append([rate, *others, f"{100 * share:.0f} %"])
    axes.set_title(
        f"{results.title(federation)}: rate by last k rounds, {'by seed, ' if seeds else ''}and agreement of clients"
    )
    _matrix(axes, differs, _AGREES)
    for row, line in enumerate(texts):
        for column, text in enumerate(line):
            weight = "bold" if column == 0 else "normal"
            axes.annotate(text, (column, row), ha="center", va="center", fontsize=7.5, fontweight=weight)
    axes.set_xticks(range(len(heads)), heads)
    axes.set_yticks(range(len(methods)), [results.methods[name].title for name in methods])


def _matrix(axes: Axes, values: npt.NDArray[np.float64], colours: LinearSegmentedColormap) -> None:
    """Cells without a grid, headed at the top."""
    if values.size:
        axes.imshow(values, cmap=colours, vmin=0, vmax=1, aspect="auto")
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labeltop=True, labelbottom=False)
