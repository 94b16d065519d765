"""One look for all figures: sizes, a colour and a marker for each method, and how figures are saved.

A method looks the same in every figure and every configuration: its look depends on its name alone. Colours
can be told apart by colour-blind readers; markers and line styles carry the same information in grey.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from benchmark.files import atomic, write_text

RC: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#888888",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "xtick.color": "#444444",
    "ytick.color": "#444444",
    "legend.frameon": False,
    "lines.linewidth": 1.4,
    "lines.markersize": 5,
    "figure.constrained_layout.use": True,
    "figure.constrained_layout.w_pad": 0.08,
    "pdf.fonttype": 42,
    "svg.hashsalt": "federated-lora-benchmark",  # Identifiers in SVG files are random without it.
}

# Okabe and Ito's palette without black and yellow, and two of Tol's muted colours.
_COLOURS = {
    "fedit": "#0072B2",
    "ffa_lora": "#D55E00",
    "fedsa_lora": "#009E73",
    "feddpa_t": "#CC79A7",
    "fedpal": "#E69F00",
    "fedopal_w": "#56B4E9",
    "fedopal_r": "#882255",
    "feddpa_f": "#332288",
}
_NEW_COLOURS = ["#000000", "#7A5C00", "#6E6EFF"]
_MARKERS = ["o", "s", "^", "D", "v", "P", "X", "<", ">"]
_LINES = ["-", (0, (5, 1.5)), (0, (2, 1)), (0, (5, 1, 1, 1))]
_CONTROLS = {"local": ("#8A8A8A", "*"), "pooled": ("#555555", "h")}

# Inches that a method takes in a legend: its mark with the space around it, and each letter of its title.
_MARK_WIDTH, _LETTER_WIDTH = 0.55, 0.085


@dataclass(frozen=True)
class Look:
    """How a method is drawn: colour, marker and line style."""

    colour: str
    marker: str
    line: Any


def look(method: str, *, control: bool) -> Look:
    """How a method is drawn.

    Args:
        method: The method's name.
        control: Whether it is a control: grey and dotted.

    Returns:
        Its look.
    """
    if control:
        colour, marker = _CONTROLS.get(method, ("#AAAAAA", "p"))
        return Look(colour, marker, (0, (1, 1.2)))
    if method in _COLOURS:
        place, colour = list(_COLOURS).index(method), _COLOURS[method]
    else:
        place = zlib.crc32(method.encode())
        colour = _NEW_COLOURS[place % len(_NEW_COLOURS)]
    return Look(colour, _MARKERS[place % len(_MARKERS)], _LINES[place % len(_LINES)])


def legend_columns(width: float, titles: Sequence[str]) -> int:
    """How many titles of methods, five at most, fit beside each other below a figure of this width in inches."""
    longest = _MARK_WIDTH + _LETTER_WIDTH * max(map(len, titles), default=0)
    return max(1, min(5, len(titles), int(width / longest)))


def legend(figure: Figure, looks: Sequence[tuple[str, Look]]) -> None:
    """One legend of methods below all panels.

    Args:
        figure: The figure.
        looks: Title and look of each method.
    """
    handles = [
        Line2D([], [], color=shown.colour, marker=shown.marker, linestyle=shown.line, label=title)
        for title, shown in looks
    ]
    columns = legend_columns(figure.get_figwidth(), [title for title, _ in looks])
    figure.legend(handles=handles, loc="outside lower center", ncols=columns)


def save(figure: Figure, numbers: pd.DataFrame, *, pdf: Path, svg: Path, csv: Path) -> None:
    """Save a figure and what it shows. Equal figures give equal files: no dates are written.

    Args:
        figure: The figure.
        numbers: The plotted numbers.
        pdf: Where the figure goes as PDF.
        svg: Where it goes as SVG.
        csv: Where the numbers go.
    """
    with atomic(pdf) as temporary:
        figure.savefig(temporary, format="pdf", metadata={"CreationDate": None})
    with atomic(svg) as temporary:
        figure.savefig(temporary, format="svg", metadata={"Date": None})
    write_text(csv, numbers.to_csv(index=False))
