"""The figures: a table of numbers, and its drawing.

    python -m benchmark.reporting.figures NAME RESULTS --pdf FILE --svg FILE --csv FILE

NAME is a name in `FIGURES`; RESULTS are the arguments of `benchmark.reporting.inputs`. The CSV file holds the
plotted numbers. What a figure shows stands in `report/NAME.rst`, which the report reads too.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd
from matplotlib import rc_context
from matplotlib.figure import Figure

from benchmark.reporting import style
from benchmark.reporting.drawings import (
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
from benchmark.reporting.inputs import Results, add_arguments, load

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
    "overlap": overlaps.overlap,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job; see the module's text for its arguments."""
    parser = argparse.ArgumentParser(prog="figures", description="Draw one figure.")
    parser.add_argument("name", choices=sorted(FIGURES))
    add_arguments(parser)
    for kind in ("pdf", "svg", "csv"):
        parser.add_argument(f"--{kind}", type=Path, required=True)
    arguments = parser.parse_args(argv)
    try:
        with rc_context(style.RC):
            figure, numbers = FIGURES[arguments.name](load(arguments))
            style.save(figure, numbers, pdf=arguments.pdf, svg=arguments.svg, csv=arguments.csv)
    except (OSError, ValueError) as error:
        print(f"figures: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
