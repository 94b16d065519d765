"""The report: one page that holds everything and asks the network for nothing.

    python -m benchmark.reporting.report RESULTS --title TEXT --published FILE --checks FILE
        --figures FILE [FILE ...] --captions FILE [FILE ...] [--appendix FILE ...] --output FILE

RESULTS are the arguments of `benchmark.reporting.inputs`. Figures are SVG files; a figure's caption is the text
file of the same stem (`report/NAME.rst`). The page's sections are the templates in `templates/report/`. `--appendix`
names every rate's test scores, for the appendix alone.
"""

import argparse
import base64
import json
import re
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from benchmark.evaluation.select import RULE
from benchmark.files import write_text
from benchmark.reporting import appendix, confidence, costs, leaderboard, selection, tables
from benchmark.reporting.grid import Grid
from benchmark.reporting.inputs import Results, add_arguments, load

GROUPS = {
    "Results": ("average_rank", "critical_difference", "stability", "clients", "confusion", "bytes"),
    "Training": ("rate_curves", "learning_curves"),
    "Data": ("examples", "labels"),
    "Adapters": ("overlap",),
}
"""The figures' headings, and what stands below each, in order."""


@dataclass(frozen=True)
class Picture:
    """A figure in the page: its name, its caption, and the image itself as a `data:` address."""

    name: str
    caption: str
    source: str

    @property
    def alternative(self) -> str:
        """What the image shows, for those who do not see it: the caption's first sentence."""
        return re.split(r"(?<=\.)\s", self.caption)[0]


def pictures(figures: Sequence[Path], captions: Sequence[Path]) -> list[Picture]:
    """Read figures and their captions.

    Args:
        figures: SVG files.
        captions: Text files.

    Returns:
        The pictures, in the order of the figures.

    Raises:
        ValueError: A figure has no caption.
    """
    texts = {path.stem: " ".join(path.read_text(encoding="utf-8").split()) for path in captions}
    found = []
    for path in figures:
        if path.stem not in texts:
            raise ValueError(f"{path}: no caption {path.stem}.rst among {sorted(texts)}; a figure needs one")
        image = base64.b64encode(path.read_bytes()).decode()
        found.append(Picture(path.stem, texts[path.stem], f"data:image/svg+xml;base64,{image}"))
    return found


def grouped(found: Sequence[Picture]) -> dict[str, list[Picture]]:
    """Pictures below the heading that each belongs to.

    Args:
        found: The pictures.

    Returns:
        By heading, its pictures in the order of `GROUPS`; those that are in no group come last, as `More`.
    """
    by_name = {picture.name: picture for picture in found}
    named = {group: [by_name.pop(name) for name in names if name in by_name] for group, names in GROUPS.items()}
    return {group: pictures for group, pictures in {**named, "More": list(by_name.values())}.items() if pictures}


def provenance(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What the runs were trained with and on, each value once.

    Args:
        runs: The content of every run's `run.json`.

    Returns:
        `devices`, `commits`, `origins` and, by name,`versions` and `hashes`: values and how many runs have
        them; `seconds` of all runs together; `settings`: those that all runs share, as JSON.
    """
    first = runs[0]["settings"]
    shared = {k: v for k, v in first.items() if all(run["settings"].get(k) == v for run in runs)}
    return {
        "devices": Counter(run["device"] for run in runs),
        "commits": Counter(run["commit"] for run in runs),
        "origins": Counter(run["origin"] for run in runs),
        "versions": _counts(runs, "versions"),
        "hashes": _counts(runs, "hashes"),
        "seconds": leaderboard.human_seconds(sum(run["costs"]["seconds"] for run in runs)),
        "settings": json.dumps(shared, indent=2, sort_keys=True),
    }


def render(
    results: Results,
    *,
    title: str,
    published: pd.DataFrame,
    checks: pd.DataFrame,
    figures: Sequence[Picture],
    all_rates: pd.DataFrame | None = None,
) -> str:
    """The page.

    Args:
        results: The results.
        title: Its title.
        published: The published values.
        checks: The findings of the quality checks, as text.
        figures: The figures.
        all_rates: Every rate's test scores, for the appendix.

    Returns:
        HTML.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["code"] = _code
    return environment.get_template("report.html.j2").render(
        title=title,
        results=results,
        findings=checks.to_dict("records"),
        counts=Counter(checks["severity"]),
        leaderboard=leaderboard.grid(results),
        tables={dataset: tables.grid(results, dataset, published) for dataset in results.datasets},
        figures=grouped(figures),
        costs={dataset: costs.grid(results, dataset) for dataset in results.datasets},
        selection={dataset: selection.grid(results, dataset) for dataset in results.datasets},
        friedman=confidence.friedman(results),
        better=confidence.better(results),
        stability=confidence.stability(results),
        appendix=_appendix(results, all_rates),
        rule=RULE,
        rates=sorted({run["rate"] for run in results.runs}, key=float),
        rounds=sorted({run["rounds"] for run in results.runs}),
        provenance=provenance(results.runs),
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job; see the module's text for its arguments."""
    parser = argparse.ArgumentParser(prog="report", description="Everything on one page.")
    add_arguments(parser)
    parser.add_argument("--title", required=True)
    parser.add_argument("--published", type=Path, required=True, help="published values, CSV")
    parser.add_argument("--checks", type=Path, required=True, help="findings of the quality checks, CSV")
    parser.add_argument("--figures", type=Path, nargs="*", default=[], help="figures, SVG")
    parser.add_argument("--captions", type=Path, nargs="*", default=[], help="their captions, text")
    parser.add_argument("--appendix", type=Path, nargs="*", default=[], help="every rate's test scores, CSV")
    parser.add_argument("--output", type=Path, required=True, help="the page, HTML")
    arguments = parser.parse_args(argv)
    try:
        page = render(
            load(arguments),
            title=arguments.title,
            published=tables.read_published(arguments.published),
            checks=pd.read_csv(arguments.checks, dtype=str, keep_default_na=False),
            figures=pictures(arguments.figures, arguments.captions),
            all_rates=appendix.read_scores(arguments.appendix) if arguments.appendix else None,
        )
        write_text(arguments.output, page)
    except (OSError, ValueError) as error:
        print(f"report: {error}", file=sys.stderr)
        return 1
    return 0


def _appendix(results: Results, all_rates: pd.DataFrame | None) -> dict[str, Grid]:
    """The appendix's tables by dataset; none without scores."""
    if all_rates is None:
        return {}
    tested = set(all_rates["dataset"])
    return {name: appendix.grid(results, all_rates, name) for name in results.datasets if name in tested}


def _counts(runs: Sequence[Mapping[str, Any]], key: str) -> dict[str, Counter[str]]:
    """How many runs have which value of every name in a mapping of theirs."""
    names = sorted({name for run in runs for name in run[key]})
    return {name: Counter(str(run[key].get(name, "absent")) for run in runs) for name in names}


def _code(text: str) -> Markup:
    """Text whose parts in backticks are code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


if __name__ == "__main__":
    sys.exit(main())
