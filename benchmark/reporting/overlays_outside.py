"""Job: the figure of overlays of hospitals outside the federation: what was outlined, and what adapting changes.

Rows are clients outside, with the median and the worst case of the reference row (`benchmark.evaluation.cases`) as the
adaptation `none` serves them; columns are the image, its target and what the row predicts with every adaptation that is
no oracle, whose score of the case stands below.
"""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib import rc_context

from benchmark.evaluation.cases import reference
from benchmark.job import GivenPath, run
from benchmark.reporting import style
from benchmark.reporting.inputs import Results, load
from benchmark.reporting.overlays import Sheet, Shown, drawn

COLUMNS = ["federation", "client", "place", "method", "adaptation", "case", "sample", "value"]


def sheet(results: Results, federation: str) -> Sheet:
    """The pictures of a federation's clients outside.

    Args:
        results: The results.
        federation: One of those that are `pictured`.

    Returns:
        The sheet; its table has the columns `COLUMNS`.
    """
    method, sites = reference(results.comparison, federation), results.sites(federation, outside=True)
    places = results.comparison.places
    files = [_read(places.shown_outside(federation, client, method)) for client in sites]
    names, titles = (files[0][name].tolist() for name in ("adaptation", "title"))
    place, case, sample, image, target = (
        np.concatenate([own[name] for own in files]) for name in ("place", "case", "sample", "image", "target")
    )
    predicted, value = (np.concatenate([own[name] for own in files], axis=1) for name in ("predicted", "value"))
    client = np.repeat(list(sites), [len(own["case"]) for own in files])
    about = {"federation": federation, "client": client, "place": place, "method": method, "case": case}
    tables = [
        pd.DataFrame({**about, "adaptation": name, "sample": sample, "value": own})
        for name, own in zip(names, value, strict=True)
    ]
    table = pd.concat(tables).sort_values(["client", "place"], kind="stable", ignore_index=True)[COLUMNS]
    held = [Shown(name, sample.tolist(), image, target, own) for name, own in zip(names, predicted, strict=True)]
    score, title = results.score(federation), results.methods[method].title
    note = f"{score} of the case; median and worst case of the common model of {title}"
    return Sheet(held, titles, sites, table, "adaptation", note)


def main(comparison: GivenPath, pdf: Path, svg: Path, csv: Path, jpg: Path) -> None:
    """Draw the overlays of hospitals outside.

    Args:
        comparison: The comparison, `results/NAME/comparison.json`.
        pdf: Where the figure goes as PDF.
        svg: Where it goes as SVG.
        csv: Where its numbers go.
        jpg: Where it goes as JPEG.
    """
    results = load(comparison)
    with rc_context(style.RC):
        figure, numbers = drawn(results, {name: sheet(results, name) for name in results.pictured})
        style.save(figure, numbers, pdf=pdf, svg=svg, csv=csv, jpg=jpg)


def _read(path: str) -> dict[str, npt.NDArray[Any]]:
    """What `benchmark.evaluation.outside` keeps of cases."""
    with np.load(path) as held:
        return dict(held)


if __name__ == "__main__":
    raise SystemExit(run(main))
