"""Job: the report: one page that holds everything and asks the network for nothing.

Its sections are the templates in `templates/report/`. Tables that a reader filters and opens are drawn in the browser,
by the scripts in `templates/report/script/`, from the numbers of `page`. Its figures are those of the comparison, as
SVG files in one folder; a figure's caption is `report/NAME.rst`.
"""

import base64
import gzip
import json
import re
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from benchmark.evaluation.checks import SEVERITIES
from benchmark.evaluation.select import RULE
from benchmark.files import write_text
from benchmark.gallery import EACH, FOR_CLINICIANS, GROUPS, OF_OUTSIDE, OF_TASKS, names
from benchmark.job import GivenPath, run
from benchmark.reporting import appendix, confidence, costs, leaderboard, outside, page, selection, tables, verdict
from benchmark.reporting.grid import Grid
from benchmark.reporting.inputs import Results, load
from benchmark.reporting.published import read_published
from benchmark.reporting.tested import client_tests
from benchmark.sources import ROOT

_TEMPLATES = Path(__file__).parent / "templates"
CAPTIONS = ROOT / "report"
"""The folder of the figures' captions."""


@dataclass(frozen=True)
class Picture:
    """A figure in the page: its name, its caption, and the image itself, as SVG compressed by gzip, in base64."""

    name: str
    caption: str
    packed: str

    @property
    def alternative(self) -> str:
        """What the image shows, for those who do not see it: the caption's first sentence."""
        return re.split(r"(?<=\.)\s", self.caption)[0]


@dataclass(frozen=True)
class Chip:
    """Findings of one check, folded: the check, its worst severity, and the findings."""

    check: str
    severity: str
    findings: Sequence[Mapping[Hashable, str]]


def pictures(folder: Path, names: Sequence[str]) -> list[Picture]:
    """Read figures and their captions.

    Args:
        folder: Holds the figures, `NAME.svg`.
        names: Their names.

    Returns:
        The pictures, in the order of the names.

    Raises:
        OSError: A figure, or its caption, is not there.
    """
    found = []
    for name in names:
        text = " ".join((CAPTIONS / f"{name}.rst").read_text(encoding="utf-8").split())
        image = gzip.compress((folder / f"{name}.svg").read_bytes(), mtime=0)
        found.append(Picture(name, text, base64.b64encode(image).decode()))
    return found


def grouped(found: Sequence[Picture]) -> dict[str, list[Picture]]:
    """Pictures below the heading that each belongs to.

    Args:
        found: The pictures.

    Returns:
        By heading, its pictures in the order of `gallery.GROUPS`; those of single tasks come last.
    """
    by_name = {picture.name: picture for picture in found}
    named = {group: [by_name.pop(name) for name in names if name in by_name] for group, names in GROUPS.items()}
    return {group: own for group, own in {**named, OF_TASKS: list(by_name.values())}.items() if own}


def chips(findings: pd.DataFrame) -> list[Chip]:
    """Findings of one kind as one chip, the most severe first.

    Args:
        findings: The findings of the quality checks, as text.

    Returns:
        The chips.
    """
    grouped = {str(check): own.to_dict("records") for check, own in findings.groupby("check", sort=False)}
    found = [
        Chip(check, min((f["severity"] for f in own), key=SEVERITIES.index), own) for check, own in grouped.items()
    ]
    return sorted(found, key=lambda chip: SEVERITIES.index(chip.severity))


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
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["code"] = _code
    environment.globals["file"] = lambda name: Markup((_TEMPLATES / name).read_text(encoding="utf-8"))
    tested = client_tests(results)
    return environment.get_template("report.html.j2").render(
        title=title,
        results=results,
        numbers=_json(page.numbers(results, tested, published)),
        verdict=verdict.verdict(results),
        evidence=verdict.evidence(results, tested),
        chips=chips(checks),
        leaderboard=leaderboard.grid(results),
        # The page shows no rate beside a score.
        notes={
            name: [note for note in tables.grid(results, name, published).notes if note != tables.EDGE_NOTE]
            for name in results.counted
        },
        outside=[
            {"name": own.name, "title": own.title, "verdict": outside.verdict(own), "grid": outside.grid(own)}
            for own in outside.families(results)
        ],
        of_outside=[picture for picture in figures if picture.name in OF_OUTSIDE],
        figures=grouped([picture for picture in figures if picture.name not in (*FOR_CLINICIANS, *OF_OUTSIDE)]),
        for_clinicians=[picture for picture in figures if picture.name in FOR_CLINICIANS],
        costs={federation: costs.grid(results, federation) for federation in results.federations},
        selection={federation: selection.grid(results, federation) for federation in results.federations},
        friedman=confidence.friedman(results),
        stability=confidence.places(results),
        draws=[table for name in results.drawn if (table := confidence.ranks_by_draw(results, name)) is not None],
        rates_by={federation: confidence.rates(results, federation) for federation in results.federations},
        appendix=_appendix(results, all_rates),
        rule=RULE,
        rates=sorted({run["rate"] for run in results.runs}, key=float),
        rounds=sorted({run["rounds"] for run in results.runs}),
        provenance=provenance(results.runs),
    )


def main(
    comparison: GivenPath,
    published: Path,
    figures: Path,
    output: Path,
) -> None:
    """Write everything on one page.

    Args:
        comparison: The comparison, `results/NAME/comparison.json`.
        published: Published values, CSV.
        figures: The folder of the comparison's figures.
        output: The page, HTML.
    """
    results = load(comparison, statistics=True)
    held, of_tasks = results.comparison, [results.task(name).figures for name in results.federations]
    content = render(
        results,
        title=held.title,
        published=read_published(published),
        checks=pd.read_csv(held.places.of("checks.csv"), dtype=str, keep_default_na=False),
        figures=pictures(figures, names(of_tasks, experts=EACH in held.adaptations, pictured=bool(results.pictured))),
        all_rates=appendix.read_scores(held) if held.appendix else None,
    )
    write_text(output, content)


def _appendix(results: Results, all_rates: pd.DataFrame | None) -> dict[str, Grid]:
    """The appendix's tables by federation; none without scores."""
    if all_rates is None:
        return {}
    tested = set(all_rates["federation"])
    return {name: appendix.grid(results, all_rates, name) for name in results.federations if name in tested}


def _counts(runs: Sequence[Mapping[str, Any]], key: str) -> dict[str, Counter[str]]:
    """How many runs have which value of every name in a mapping of theirs."""
    names = sorted({name for run in runs for name in run[key]})
    return {name: Counter(str(run[key].get(name, "absent")) for run in runs) for name in names}


def _json(content: Mapping[str, Any]) -> Markup:
    """Numbers for the page's scripts; no text in them can end the element that they stand in."""
    return Markup(json.dumps(content, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c"))


def _code(text: str) -> Markup:
    """Text whose parts in backticks are code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


if __name__ == "__main__":
    raise SystemExit(run(main))
