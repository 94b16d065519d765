"""Job: draw a figure: a table of numbers, and its drawing.

What a figure shows stands in `report/NAME.rst`, which the report reads too.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import pandas as pd
import tyro
from matplotlib import rc_context
from matplotlib.figure import Figure

from benchmark.job import GivenPath, run
from benchmark.reporting import style
from benchmark.reporting.drawings import (
    case_scores,
    clients,
    confusions,
    critical_difference,
    curves,
    data,
    overlaps,
    ranks,
    stability,
    traffic,
)
from benchmark.reporting.inputs import Results, load

Drawing = Callable[[Results], tuple[Figure, pd.DataFrame]]

FIGURES: dict[str, Drawing] = {
    "rate_curves": curves.rate_curves,
    "clients": clients.clients,
    "average_rank": ranks.average_rank,
    "critical_difference": critical_difference.draw,
    "stability": stability.draw,
    "learning_curves": curves.learning_curves,
    "bytes": traffic.bytes_sent,
    "labels": data.labels,
    "confusion": confusions.confusion,
    "case_scores": case_scores.case_scores,
    "overlap": overlaps.overlap,
}


def main(comparison: GivenPath, name: Annotated[str, tyro.conf.Positional], pdf: Path, svg: Path, csv: Path) -> None:
    """Draw one figure, and write down the numbers that it shows.

    Args:
        comparison: The comparison, `results/NAME/comparison.json`.
        name: The figure.
        pdf: Where the figure goes as PDF.
        svg: Where it goes as SVG.
        csv: Where the numbers go.
    """
    if name not in FIGURES:
        raise ValueError(f"there is no figure {name!r}; there are: {', '.join(sorted(FIGURES))}")
    with rc_context(style.RC):
        figure, numbers = FIGURES[name](load(comparison, statistics=True, overlaps=True, validation=True))
        style.save(figure, numbers, pdf=pdf, svg=svg, csv=csv)


if __name__ == "__main__":
    raise SystemExit(run(main))
