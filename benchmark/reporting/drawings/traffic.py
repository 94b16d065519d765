"""What a score costs to send: test scores against bytes."""

from collections.abc import Callable
from functools import partial

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from benchmark.disk import readable
from benchmark.reporting.costs import bytes_of_training
from benchmark.reporting.drawings.panels import legend, look, per_federation
from benchmark.reporting.inputs import Results


def bytes_sent(results: Results) -> tuple[Figure, pd.DataFrame]:
    """The mean test score, with its interval, against the bytes that a client sends and receives in all rounds.

    The front is that of the ranked methods: a control is a level to compare with, not a way to share. What costs more
    bytes is on it only where it is reliably better than all that costs less.
    """
    runs = {(run["federation"], run["method"]["name"]): run for run in results.runs}
    rows = []
    for federation in results.federations:
        for method in results.order:
            if (federation, method) in runs:
                measure = results.mean(federation, method)
                size = sum(bytes_of_training(runs[federation, method]))
                rows.append((federation, method, size, measure.mean, measure.sd, measure.low, measure.high))
    numbers = pd.DataFrame(rows, columns=["federation", "method", "bytes", "value", "sd", "low", "high"])
    numbers["front"] = False
    figure, panels = per_federation(results, columns=2, width=4.4, height=3.4)
    for federation, axes in panels.items():
        here = numbers[numbers["federation"] == federation]
        ranked = here[~here["method"].isin(results.controls)]
        higher = results.task(federation).higher_is_better
        best = front(ranked, partial(_gain, results, federation), higher_is_better=higher)
        numbers.loc[best.index, "front"] = True
        _scatter(axes, results, here, best)
        axes.set_xlabel("bytes sent and received by one client in all rounds")
        axes.set_ylabel(f"test {results.score(federation)}")
    legend(figure, results)
    return figure, numbers


def front(points: pd.DataFrame, gain: Callable[[str, str], int], *, higher_is_better: bool) -> pd.DataFrame:
    """The Pareto front: no other point is as good with as few bytes, and each is reliably better than all cheaper ones.

    Points have the columns method, bytes and value; those without a value are never on the front. `gain` says whether a
    method is reliably better (1) than another one, or not (0, -1). The front's rows are by rising bytes; points that
    are equal in both are all on it.
    """
    merit = points["value"] if higher_is_better else -points["value"]
    keep = []
    for method, size, own in zip(points["method"], points["bytes"], merit, strict=True):
        beaten = (points["bytes"] <= size) & (merit >= own) & ((points["bytes"] < size) | (merit > own))
        cheaper = points.loc[(points["bytes"] < size) & merit.notna(), "method"]
        keep.append(not beaten.any() and all(gain(method, other) > 0 for other in cheaper))
    return points[pd.Series(keep, index=points.index, dtype=bool) & merit.notna()].sort_values("bytes", kind="stable")


def _gain(results: Results, federation: str, method: str, other: str) -> int:
    """Whether a method's mean is reliably better than another one's; it counts as so where nothing is known of that."""
    difference = results.difference(method, other, "mean", federation)
    return 1 if difference is None else difference.sign


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
    shown = points[["method", "bytes", "value", "low", "high"]]
    for name, size, height, bottom, top in shown.itertuples(index=False, name=None):
        mark = look(results, name).mark
        axes.plot([max(size, zero)] * 2, [bottom, top], color=mark["color"], linewidth=1, alpha=0.45)
        axes.plot(max(size, zero), height, markersize=6.5, **mark)
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
