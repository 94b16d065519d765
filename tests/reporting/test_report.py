"""The report: complete, self-contained, accessible."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pandas as pd
import pytest

from benchmark import gallery
from benchmark.reporting import figures, report, selection
from benchmark.reporting.inputs import Results
from benchmark.reporting.published import read_published
from benchmark.tasks.classification import Classification
from tests.reporting import synthetic

ROOT = Path(__file__).parents[2]


class Page(HTMLParser):
    """Collects a page's elements, its text, and whether every element is closed in order."""

    void = frozenset({"meta", "img", "br", "link", "hr", "input"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in self.void:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes another element at {self.getpos()}"

    def handle_data(self, data: str) -> None:
        self.text += data

    def count(self, tag: str) -> int:
        return sum(found == tag for found, _ in self.elements)


def test_the_page_is_well_formed_and_escaped(html: str) -> None:
    page = Page(html)
    assert page.open == []
    assert "A <title> & more" in page.text
    identifiers = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(set(identifiers)) == len(identifiers)


def test_the_page_asks_the_network_for_nothing(html: str) -> None:
    for tag, attributes in Page(html).elements:
        assert tag not in {"link", "iframe", "object"}
        assert (attributes.get("src") or "data:").startswith("data:")
    assert not re.search(r"@import|url\(|fetch\(|XMLHttpRequest", html)


def test_the_page_is_accessible(html: str) -> None:
    page = Page(html)
    assert page.count("h1") == 1
    assert page.count("caption") == page.count("table") > 0
    assert all(attributes.get("alt") for tag, attributes in page.elements if tag == "img")
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h\d", tag)]
    assert all(later - earlier <= 1 for earlier, later in pairwise(levels))
    assert all(attributes.get("scope") for tag, attributes in page.elements if tag == "th")
    sections = {attributes.get("id") for tag, attributes in page.elements if tag == "section"}
    links = {(attributes.get("href") or "").removeprefix("#") for tag, attributes in page.elements if tag == "a"}
    assert sections == links


def test_the_page_shows_everything(html: str, results: Results) -> None:
    page = Page(html)
    assert page.count("img") == len(gallery.names([Classification.figures]))
    for method in results.methods.values():
        assert method.title in page.text
    for federation in results.federations:
        assert results.title(federation) in page.text
    for choice in results.selected.values():
        for details in choice["scores"].values():
            assert (f"{details['mean']:.3f}" if details["mean"] is not None else "diverged") in page.text
    for expected in ["Friedman's test over 5 clients and 3 ranked methods", "First three", "Clients agree"]:
        assert expected in page.text
    for expected in ["Drawn GPU", "abcdef0123456789", "torch", "smallest or largest of the grid", "400 / 60 / 80"]:
        assert expected in page.text


def test_the_page_names_no_folder_of_this_machine(html: str, tree: synthetic.Tree) -> None:
    assert str(tree.root) not in html


def test_every_figure_has_a_caption(tmp_path: Path) -> None:
    for name in [*figures.FIGURES, *gallery.FROM_IMAGES]:
        assert (ROOT / "report" / f"{name}.rst").is_file()
    (tmp_path / "unknown.svg").write_text("<svg/>")
    with pytest.raises(OSError, match=r"unknown\.rst"):
        report.pictures(tmp_path, ["unknown"])


def test_figures_stand_below_their_headings() -> None:
    """In the order of the groups, whatever the order of the files; those of a task come last."""
    found = [report.Picture(name, "", "") for name in ("labels", "overlap", "bytes", "clients")]
    named = {group: [picture.name for picture in pictures] for group, pictures in report.grouped(found).items()}
    assert named == {"Results": ["clients", "bytes"], "Adapters": ["overlap"], "Tasks": ["labels"]}


def test_the_selection_shows_the_rule_every_rate_and_the_budget(html: str, results: Results) -> None:
    section = html[html.index('<section id="selection">') : html.index('<section id="data">')]
    assert "ties go to the smaller rate" in Page(section).text
    for federation in results.federations:
        table = selection.grid(results, federation)
        assert all(text in Page(section).text for text in (table.caption, *table.notes))
        for cell in (cell for row in (*table.rows, *table.controls) for cell in row[1:]):
            assert f'data-value="{cell.text if cell.value is None else cell.value}">{cell.text}</td>' in section
    assert section.count('<td class="best"') == len(results.selected), "one chosen rate in every row"
    assert section.count('<table class="sortable"') == len(results.federations)


def test_unequal_budgets_are_said_once_for_each_federation(html: str, results: Results) -> None:
    runs = [{**run, "rounds": 9} if run["method"]["name"] == "fedit" else run for run in results.runs]
    published, checks = read_published(ROOT / "results/reference/published.csv"), pd.DataFrame({"check": []})
    page = report.render(replace(results, runs=runs), title="x", published=published, checks=checks, figures=[])
    assert "had the same budget" in html
    assert "had the same budget" not in page
    assert page.count("different budgets") == len(results.federations)


def test_findings_of_one_kind_are_one_chip_the_most_severe_first() -> None:
    rows = [("note", "a", "1"), ("warning", "b", "2"), ("error", "a", "3")]
    found = report.chips(pd.DataFrame(rows, columns=["severity", "check", "message"]))
    assert [(chip.check, chip.severity, [f["message"] for f in chip.findings]) for chip in found] == [
        ("a", "error", ["1", "3"]),
        ("b", "warning", ["2"]),
    ]


def test_nothing_in_the_numbers_can_end_their_element(html: str, results: Results) -> None:
    held = re.search(r'<script type="application/json" id="numbers">(.*?)</script>', html, re.DOTALL)
    assert held
    numbers = json.loads(held[1])
    assert [one["name"] for one in numbers["methods"]] == results.order
    assert "<" not in report._json({"name": "</script>"})


def test_provenance_counts_values_that_differ() -> None:
    runs = [synthetic.run("d", "fedit", "1e-3", seed, ["0"]) for seed in (0, 1, 2)]
    runs[0]["device"], runs[0]["versions"] = "another", {"torch": "3"}
    found = report.provenance(runs)
    assert found["devices"] == {"another": 1, "Drawn GPU": 2}
    assert found["versions"] == {"python": {"3.11": 2, "absent": 1}, "torch": {"3": 1, "2.0": 2}}
    assert json.loads(found["settings"]) == runs[0]["settings"]
    runs[0]["settings"] = {**runs[1]["settings"], "rounds": 99}
    assert json.loads(report.provenance(runs)["settings"]) == {"lora": {"rank": 4}}
