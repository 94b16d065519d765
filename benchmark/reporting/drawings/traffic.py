"""What a score costs to send: test scores against bytes."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from benchmark.disk import readable
from benchmark.reporting.costs import bytes_of_training
from benchmark.reporting.drawings.panels import legend, look, per_federation
from benchmark.reporting.inputs import Results
from benchmark.reporting.measure import over_seeds


def bytes_sent(results: Results) -> tuple[Figure, pd.DataFrame]:
    """The mean test score against the bytes that a client sends and receives over the whole training.

    The front is that of the ranked methods: a control is a level to compare with, not a way to share.
    """
    runs = {(run["federation"], run["method"]["name"]): run for run in results.runs}
    rows = []
    for federation in results.federations:
        for method in results.order:
            if (federation, method) in runs:
                measure = over_seeds(results.cells_of(federation, method))
                rows.append(
                    (federation, method, sum(bytes_of_training(runs[federation, method])), measure.mean, measure.sd)
                )
    numbers = pd.DataFrame(rows, columns=["federation", "method", "bytes", "value", "sd"])
    numbers["front"] = False
    figure, panels = per_federation(results, columns=2, width=4.4, height=3.4)
    for federation, axes in panels.items():
        here = numbers[numbers["federation"] == federation]
        ranked = here[~here["method"].isin(results.controls)]
        best = front(ranked, higher_is_better=results.best(federation) == "max")
        numbers.loc[best.index, "front"] = True
        _scatter(axes, results, here, best)
        axes.set_xlabel("bytes sent and received by one client in all rounds")
        axes.set_ylabel(f"test {results.score(federation)}")
    legend(figure, results)
    return figure, numbers


def front(points: pd.DataFrame, *, higher_is_better: bool) -> pd.DataFrame:
    """The Pareto front: the points that no other point equals or betters in both bytes and score.

    Args:
        points: bytes and value; those without a value are never on the front.
        higher_is_better: Direction of the score.

    Returns:
        The rows on the front, by rising bytes. Points that are equal in both are all on it.
    """
    gain = points["value"] if higher_is_better else -points["value"]
    keep = [
        not (((points["bytes"] <= size) & (gain >= own)) & ((points["bytes"] < size) | (gain > own))).any()
        for size, own in zip(points["bytes"], gain, strict=True)
    ]
    return points[pd.Series(keep, index=points.index, dtype=bool) & gain.notna()].sort_values("bytes", kind="stable")


def _scatter(axes: Axes, results: Results, points: pd.DataFrame, best: pd.DataFrame) -> None:
    """The points on a logarithmic axis, with a place for zero at its left end; the front as steps."""
    sizes = points.loc[points["bytes"] > 0, "bytes"]
    low, high = (sizes.min(), sizes.max()) if len(sizes) else (1.0, 1.0)
    zero, left, right = low / 2.2, low / 1.45, high * 1.25
    axes.set_xscale("log")
    if (points["bytes"] == 0).any():
        axes.axvspan(low / 3, left, color="#f5f5f5", zorder=0)
    steps = [*best["bytes"].clip(lower=zero), right]
    axes.step(steps, [*best["value"], *best["value"].tail(1)], where="post", color="#444444", linewidth=1, zorder=1)
    for name, size, height in points[["method", "bytes", "value"]].itertuples(index=False, name=None):
        axes.plot(max(size, zero), height, markersize=6.5, **look(results, name).mark)
        if results.methods[name].control:
            axes.axhline(height, color="#999999", linestyle=":", linewidth=0.9, zorder=0.9)
    for size, height, name in best[["bytes", "value", "method"]].itertuples(index=False, name=None):
        axes.annotate(
            results.methods[name].title,
            (max(size, zero), height),
            xytext=(-2, 7),
            textcoords="offset points",
            ha="right",
            fontsize=7.5,
            path_effects=[withStroke(linewidth=2.5, foreground="white")],
        )
    ticks = _ticks(left, right)
    axes.set_xticks([zero, *ticks], ["0", *map(readable, ticks)])
    axes.minorticks_off()
    axes.set_xlim(low / 3, right)


def _ticks(left: float, right: float) -> list[float]:
    """Round numbers of bytes on a logarithmic axis: the coarsest set that has two or more, six at most."""
    for steps in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 7)):
        ticks = [step * 10**decade for decade in range(16) for step in steps]
        ticks = [tick for tick in ticks if left <= tick <= right]
        if len(ticks) > 1:
            break
    return ticks[:: -(-len(ticks) // 6)] if ticks else []
