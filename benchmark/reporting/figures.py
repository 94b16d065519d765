"""Job: draw figures: of each a table of numbers, and its drawing, as PDF and as SVG.

What a figure shows stands in `report/NAME.rst`, which the report reads too.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import pandas as pd
import tyro
from matplotlib import rc_context
from matplotlib.figure import Figure

from benchmark.files import replaced
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
    reliability,
    stability,
    traffic,
    transfer,
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
    "reliability": reliability.reliability,
    "case_scores": case_scores.case_scores,
    "overlap": overlaps.overlap,
    "transfer": transfer.transfer,
}


def main(comparison: GivenPath, names: Annotated[tuple[str, ...], tyro.conf.Positional], output: Path) -> None:
    """Draw figures, and write down the numbers that they show; none is replaced before all are drawn.

    Args:
        comparison: The comparison, `results/NAME/comparison.json`.
        names: The figures.
        output: The folder that receives `NAME.pdf`, `NAME.svg` and `NAME.csv` of each.
    """
    if unknown := [name for name in names if name not in FIGURES]:
        raise ValueError(f"there is no figure {unknown[0]!r}; there are: {', '.join(sorted(FIGURES))}")
    results = load(comparison, statistics=True, overlaps=True, validation=True)
    with rc_context(style.RC), replaced(output) as new:
        for name in names:
            figure, numbers = FIGURES[name](results)
            style.save(figure, numbers, pdf=new / f"{name}.pdf", svg=new / f"{name}.svg", csv=new / f"{name}.csv")


if __name__ == "__main__":
    raise SystemExit(run(main))
