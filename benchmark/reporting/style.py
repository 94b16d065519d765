"""One look for all figures: sizes, a colour and a marker for each method, and how figures are saved.

A method looks the same in every figure and every configuration: its look depends on its name alone. Colours
can be told apart by colour-blind readers; markers, filled or hollow, carry the same information in grey. Known
methods have a colour and a marker of their own. New ones share four colours and eight markers that no known method
has: two new methods may look alike.
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

# Okabe and Ito's palette without black and yellow, and two of Tol's muted colours; then hues as far from these and from
# each other as the eye of a deuteranope sees them. A test measures the distances.
_COLOURS = {
    "fedit": "#0072B2",
    "ffa_lora": "#D55E00",
    "fedsa_lora": "#009E73",
    "feddpa_t": "#CC79A7",
    "fedpal": "#E69F00",
    "fedopal_w": "#56B4E9",
    "fedopal_r": "#882255",
    "feddpa_f": "#332288",
    "fedavg_ft": "#0000FF",
    "fedprox": "#445500",
    "scaffold": "#9955FF",
    "ditto": "#EE9977",
    "fedper": "#443366",
    "fedrep": "#BB1199",
    "apfl": "#2200BB",
    "fedex_lora": "#997733",
    "flora": "#662222",
    "flexlora": "#7799FF",
    "rolora": "#0055EE",
}
_MARKERS: list[Any] = ["o", "s", "^", "D", "v", "P", "X", "<", ">", (4, 1, 0)]
_NEW_COLOURS = ["#000000", "#AA3344", "#99BB44", "#FF8899"]
_NEW_MARKERS: list[Any] = ["d", "8", "H", (3, 1, 0)]
_LINES: list[Any] = ["-", (0, (5, 1.5)), (0, (2, 1)), (0, (5, 1, 1, 1))]
_CONTROLS: dict[str, tuple[str, Any]] = {
    "local": ("#8A8A8A", "*"),
    "pooled": ("#555555", "h"),
    "head_shared": ("#707070", (6, 1, 0)),
    "head_personal": ("#9C9C9C", (4, 1, 45)),
}

# Of Tol's light palette what is far apart, then a purple and a brown: light, so that classes never look like methods.
_CLASSES = ["#77AADD", "#EE8866", "#EEDD88", "#44BB99", "#FFAABB", "#BBCC33", "#99DDFF", "#A8789E", "#8C6D46"]

# Inches that a method takes in a legend: its mark with the space around it, and each letter of its title.
_MARK_WIDTH, _LETTER_WIDTH = 0.55, 0.085


@dataclass(frozen=True)
class Look:
    """How a method is drawn.

    Attributes:
        colour: Of lines and markers.
        marker: As matplotlib names it.
        line: The line's dashes.
        hollow: Whether the marker is an outline.
    """

    colour: str
    marker: Any
    line: Any
    hollow: bool = False

    @property
    def mark(self) -> dict[str, Any]:
        """Colour and marker as arguments of matplotlib."""
        face = "white" if self.hollow else self.colour
        return {"color": self.colour, "marker": self.marker, "markerfacecolor": face}


def look(method: str, *, control: bool) -> Look:
    """How a method is drawn; a control is grey and dotted."""
    if control:
        return Look(*_CONTROLS.get(method, ("#AAAAAA", "p")), line=(0, (1, 1.2)))
    if method in _COLOURS:
        place = list(_COLOURS).index(method)
        hollow, shape = divmod(place, len(_MARKERS))
        return Look(_COLOURS[method], _MARKERS[shape], _LINES[place % len(_LINES)], bool(hollow))
    number = zlib.crc32(method.encode())
    number, colour = divmod(number, len(_NEW_COLOURS))
    number, shape = divmod(number, len(_NEW_MARKERS))
    number, line = divmod(number, len(_LINES))
    return Look(_NEW_COLOURS[colour], _NEW_MARKERS[shape], _LINES[line], bool(number % 2))


def class_colours(count: int) -> list[str]:
    """A colour for each of so many classes; those of neighbours are never equal."""
    return [_CLASSES[place % len(_CLASSES)] for place in range(count)]


def legend_columns(width: float, titles: Sequence[str], most: int = 5) -> int:
    """How many titles, `most` at most, fit beside each other in a legend of this width in inches."""
    longest = _MARK_WIDTH + _LETTER_WIDTH * max(map(len, titles), default=0)
    return max(1, min(most, len(titles), int(width / longest)))


def handles(looks: Sequence[tuple[str, Look]]) -> list[Line2D]:
    """A legend's entries: the title and the look of each method."""
    return [Line2D([], [], linestyle=shown.line, label=title, **shown.mark) for title, shown in looks]


def legend(figure: Figure, looks: Sequence[tuple[str, Look]]) -> None:
    """One legend of methods below all panels."""
    columns = legend_columns(figure.get_figwidth(), [title for title, _ in looks])
    figure.legend(handles=handles(looks), loc="outside lower center", ncols=columns)


def save(figure: Figure, numbers: pd.DataFrame, *, pdf: Path, svg: Path, csv: Path, jpg: Path | None = None) -> None:
    """Save a figure and the numbers that it shows. Equal figures give equal files: no dates are written.

    `jpg` is for figures of many images, where it is a fifth of the SVG file's size.
    """
    with atomic(pdf) as temporary:
        figure.savefig(temporary, format="pdf", metadata={"CreationDate": None})
    with atomic(svg) as temporary:
        figure.savefig(temporary, format="svg", metadata={"Date": None})
    if jpg is not None:
        with atomic(jpg) as temporary:
            figure.savefig(temporary, format="jpg", dpi=110, pil_kwargs={"quality": 80})
    write_text(csv, numbers.to_csv(index=False))
