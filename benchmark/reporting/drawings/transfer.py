"""Whose model does well where: every hospital's own model, tested at every hospital."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from benchmark.reporting.drawings.panels import multiples, stacked
from benchmark.reporting.inputs import Results

COLUMNS = ["family", "method", "expert", "client", "inside", "value"]
_WIDTH, _LETTERS = 9.2, 18


def transfer(results: Results) -> tuple[Figure, pd.DataFrame]:
    """The score of every expert that an oracle serves (row) at every client (column), a panel for each method."""
    parts = [scores(results, name) for name in results.comparison.families]
    numbers = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=COLUMNS)
    shown = {str(name): own for name, own in numbers.groupby("family", sort=False) if len(told_apart(own))}
    if not shown:
        figure = Figure(figsize=(8.4, 0.6))
        figure.text(0.01, 0.5, "No method has models of single hospitals that were tested at others.", va="center")
        return figure, numbers
    sides = {name: 1.1 + 0.42 * own["client"].nunique() for name, own in shown.items()}
    columns = {name: max(1, int(_WIDTH / (sides[name] + 0.3))) for name in shown}
    lines = {name: -(-len(told_apart(own)) // columns[name]) for name, own in shown.items()}
    heights = [0.6 + lines[name] * (1.2 + 0.3 * own["expert"].nunique()) for name, own in shown.items()]
    figure, places = stacked(results, heights, _WIDTH, list(shown))
    for name, own in shown.items():
        methods, joined = told_apart(own), results.comparison.families[name]
        titles = {client: title for federation in joined for client, title in results.sites(federation).items()}
        for method, axes in zip(methods, multiples(places[name], len(methods), columns[name]), strict=True):
            axes.set_title(results.methods[method].title, fontsize=8, fontweight="normal", pad=3)
            of_method, higher = own[own["method"] == method], results.task(name).higher_is_better
            _matrix(axes, of_method, titles, own["value"], higher=higher)
        places[name].supxlabel(f"{results.score(name)} at this hospital", fontsize=8)
        places[name].supylabel("model of", fontsize=8)
    return figure, numbers


def scores(results: Results, family: str) -> pd.DataFrame:
    """Columns `COLUMNS`: what experts score at clients outside, and every client's own model at the client itself."""
    table, federations = results.outside, results.comparison.families[family]
    own = table[(table["family"] == family) & table["oracle"] & (table["quantity"] == "score")]
    own = own[own["adaptation"] == own["adaptation"].min()].dropna(subset="value")
    rows = [(family, row.method, row.model, row.client, False, row.value) for row in own.itertuples()]
    taking_part: dict[str, list[str]] = {}
    for federation in federations:
        for client in results.sites(federation):
            taking_part.setdefault(client, []).append(federation)
    for method in dict.fromkeys(own["method"]):
        for client, joined in taking_part.items():
            values = [results.score_of(federation, method, client).mean for federation in joined]
            rows.append((family, method, client, client, True, float(np.mean(values))))
    return pd.DataFrame(rows, columns=COLUMNS)


def told_apart(numbers: pd.DataFrame) -> list[str]:
    """The methods of a family whose experts do not all score the same: a shared model is no hospital's own."""
    outside = numbers[~numbers["inside"]]
    spread = outside.groupby(["method", "client"], sort=False)["value"].nunique().groupby(level=0, sort=False).max()
    return [str(method) for method in spread.index[spread > 1]]


def _matrix(
    axes: Axes, numbers: pd.DataFrame, titles: Mapping[str, str], scale: "pd.Series[float]", *, higher: bool
) -> None:
    """One method's experts and clients; those of clients first, in the same order."""
    clients = list(dict.fromkeys(numbers["client"]))
    experts = sorted(dict.fromkeys(numbers["expert"]), key=lambda name: [*clients, name].index(name))
    table = numbers.pivot(index="expert", columns="client", values="value").reindex(experts)[clients]
    values = table.to_numpy(dtype=float)
    norm = Normalize(scale.min(), scale.max())
    axes.imshow(values, cmap="Blues" if higher else "Blues_r", norm=norm, aspect="auto")
    axes.set_facecolor("#eeeeee")
    axes.grid(visible=False)
    axes.tick_params(length=0, labelsize=7)
    for (row, column), value in np.ndenumerate(values):
        dark = (float(norm(value)) > 0.55) is higher
        text = "" if np.isnan(value) else f"{value:.2f}"
        axes.text(column, row, text, ha="center", va="center", fontsize=7, color="white" if dark else "#222222")
    inside = numbers[numbers["inside"]]
    for expert, client in zip(inside["expert"], inside["client"], strict=True):
        corner = clients.index(client) - 0.5, experts.index(expert) - 0.5
        axes.add_patch(Rectangle(corner, 1, 1, fill=False, edgecolor="#222222", linewidth=1.2))
    shown = {name: _short(titles.get(name, name)) for name in (*clients, *experts)}
    axes.set_xticks(range(len(clients)), [shown[name] for name in clients], rotation=30, ha="right")
    axes.set_yticks(range(len(experts)), [shown[name] for name in experts])


def _short(title: str) -> str:
    return title if len(title) <= _LETTERS else f"{title[: _LETTERS - 1]}…"
