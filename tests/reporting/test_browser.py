"""The report in a browser: headless Chromium opens it at a desktop's and at a phone's width, without a network."""

import csv
import io
import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote

import pytest

from benchmark.reporting.inputs import Results
from tests.reporting import browser, pdflatex

PHONE, DESKTOP = 390, 1280
_LINKED = "view=score&federation=toy_slides&cell=toy_slides/fedit/0"


@pytest.fixture(scope="module")
def found(html: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What Chromium says of the page at a desktop's width, at a phone's, and behind a link; and what a reader did."""
    seen = [(DESKTOP, ""), (PHONE, ""), (PHONE - 1, f"#{_LINKED}")]
    return browser.read(html, seen, tmp_path_factory.mktemp("browser"), act=True)


@pytest.fixture
def frames(found: dict[str, Any]) -> dict[int, dict[str, Any]]:
    """What each frame showed before anything was done, by its width."""
    return {frame["width"]: frame for frame in found["frames"]}


@pytest.mark.parametrize("width", [PHONE, DESKTOP])
def test_the_page_fits(frames: dict[int, dict[str, Any]], width: int) -> None:
    """Tables and figures scroll in boxes of their own; the page does not scroll sideways."""
    assert frames[width]["needed"] <= width


@pytest.mark.parametrize("width", [PHONE, DESKTOP])
def test_nothing_fails_and_nothing_is_asked_of_the_network(frames: dict[int, dict[str, Any]], width: int) -> None:
    assert frames[width]["faults"] == []
    assert [name for name in frames[width]["requests"] if not name.startswith(("data:", "blob:"))] == []
    assert frames[width]["images"] > 0
    assert frames[width]["broken"] == 0, "figures are unpacked when their heading is opened"


def test_the_tab_key_stops_seldom(frames: dict[int, dict[str, Any]]) -> None:
    """A table is one stop, and so are all of its cells: arrows move within."""
    assert frames[DESKTOP]["stops"] < 70


def test_a_press_on_a_heading_sorts(found: dict[str, Any]) -> None:
    """Once for rising values, twice for falling ones."""
    rising, falling = ([float(value) for value in found["done"][name]] for name in ("rising", "falling"))
    assert len(set(rising)) > 1
    assert rising == sorted(rising)
    assert falling == rising[::-1]
    assert found["done"]["said"] == "descending"


def test_the_same_cells_show_what_is_asked_for(found: dict[str, Any], results: Results) -> None:
    leader = results.order[0]
    own = {(d, c): results.scores_of[d, leader, c].mean for d in results.federations for c in results.sites(d)}
    alone = {(d, c): results.scores_of[d, "local", c].mean for d, c in own}
    assert found["done"]["score"] == [f"{score:.3f}" for score in own.values()]
    gains = [float(text.replace("\N{MINUS SIGN}", "-")) for text in found["done"]["difference"]]
    assert gains == pytest.approx([score - alone[key] for key, score in own.items()], abs=6e-4)
    assert found["done"]["rank"]["cells"] == [f"{results.ranks.at[key, leader]:.1f}" for key in own]
    assert found["done"]["rank"]["address"] == "#view=rank"


def test_arrows_walk_through_the_cells_and_enter_opens_one(found: dict[str, Any]) -> None:
    assert found["done"]["walked"] == [True, -1, 0]
    opened = found["done"]["opened"]
    assert opened["open"]
    assert f"cell={quote(opened['cell'], safe='')}" in opened["address"]
    assert "on Toy lesions: vidir Site vidir" in opened["title"]


def test_a_link_shows_what_its_sender_saw(frames: dict[int, dict[str, Any]], results: Results) -> None:
    """The view, the filter and the open cell, with its parts as k of n and the way to its files."""
    seen = frames[PHONE - 1]
    assert dict(parse_qsl(seen["hash"][1:])) == dict(parse_qsl(_LINKED))
    assert seen["view"] == "score"
    assert seen["columns"] == ["Method", "0 Site 0", "1 Site 1", "Mean"]
    assert seen["open"]
    assert seen["title"] == "FedIT on Toy slides: 0 Site 0"
    recall = results.metrics.query("federation == 'toy_slides' and method == 'fedit' and client == '0'")
    recall = recall[recall["metric"] == "recall[tumour]"]
    hits, images = round((recall["value"] * recall["n"]).sum()), recall["n"].sum()
    assert f"tumour{hits} of {images}" in seen["behind"]
    score = results.scores_of["toy_slides", "fedit", "0"].mean
    assert f"balanced accuracy{score:.3f}" in seen["behind"]
    rate = results.selected["toy_slides", "fedit"]["rate"]
    assert f"runs/toy_slides/fedit/lr={rate}/seed=1/run.json" in seen["links"]
    assert "test/toy_slides/fedit/seed=0/predictions.parquet" in seen["links"]


def test_differences_begin_with_a_quantity_that_has_intervals(html: str, tmp_path: Path) -> None:
    """Average ranks are named first; without intervals they come last, and say where the reader learns why."""
    head, begin, rest = html.partition('<script type="application/json" id="numbers">')
    numbers, end, tail = rest.partition("</script>")
    held = json.loads(numbers)
    held["pairs"][0]["of"] = [[*pair[:3], None, None] for pair in held["pairs"][0]["of"]]
    bare = "".join([head, begin, json.dumps(held).replace("<", "\\u003c"), end, tail])
    addresses = ["versus=fedit", "versus=fedit&scope=0"]
    whole, *others = (
        browser.read(page, [(1000 + i, f"#{a}") for i, a in enumerate(asked)], tmp_path / name)["frames"]
        for name, page, asked in (("whole", html, addresses[:1]), ("bare", bare, addresses))
    )
    first, asked = others[0]
    assert whole[0]["scope"] == "average rank, all federations"
    assert "Not known" not in whole[0]["differences"] + first["differences"]
    assert first["scope"] == "chance-corrected mean, all federations"
    assert asked["scope"] == "average rank, all federations"
    assert "Not known: there is no interval" in asked["differences"]


def test_methods_are_compared_with_the_one_that_is_chosen(found: dict[str, Any], results: Results) -> None:
    against = found["done"]["against"]
    assert "versus=fedit" in against["address"]
    assert len(against["rows"]) == len(results.order) - 2, "neither with itself, nor with a control by rank"
    for title, value, sign in zip(against["rows"], against["numbers"], against["signs"], strict=True):
        name = next(method.name for method in results.methods.values() if method.title == title)
        difference = results.difference(name, "fedit", "average_rank")
        assert difference is not None
        assert value == pytest.approx(difference.value, abs=5e-5)
        assert sign == {1: "reliably better", 0: "undecided", -1: "reliably worse"}[difference.sign]


def test_hospitals_that_gain_and_lose_are_counted(found: dict[str, Any], results: Results) -> None:
    for title, helped, undecided, hurt in found["done"]["gains"]:
        name = next(method.name for method in results.methods.values() if method.title == title)
        signs = [
            difference.sign
            for federation in results.federations
            for client in results.sites(federation)
            if (difference := results.difference(name, "local", "score", federation, client))
        ]
        assert (helped, undecided, hurt) == (signs.count(1), signs.count(0), signs.count(-1))


def test_sensitivity_stands_by_class_and_hospital(found: dict[str, Any], results: Results) -> None:
    own = results.metrics[(results.metrics["method"] == "fedpal") & (results.metrics["federation"] == "toy_lesions")]
    assert [row[0] for row in found["done"]["sensitivity"]] == ["naevus", "melanoma", "keratosis"]
    for name, *cells in found["done"]["sensitivity"]:
        for client, text in zip(results.sites("toy_lesions"), cells, strict=True):
            recall = own[(own["client"] == client) & (own["metric"] == f"recall[{name}]")]
            hits, images = round((recall["value"] * recall["n"]).sum()), recall["n"].sum()
            assert text.endswith(f"({hits} of {images})") if images else text == "none"


def test_a_filter_leaves_one_federation_everywhere(found: dict[str, Any]) -> None:
    filtered = found["done"]["filtered"]
    assert "federation=toy_slides" in filtered["address"]
    assert filtered["columns"] == ["Method", "0 Site 0", "1 Site 1", "Mean"]
    assert filtered["hospitals"] == ["Hospital", "0 Site 0", "1 Site 1"]
    assert set(filtered["hidden"]) == {"toy_lesions"}
    assert "at=costs" in found["done"]["nav"], "a link to a section keeps what was chosen"
    assert "federation=toy_slides" in found["done"]["nav"]


def test_a_table_is_copied_in_three_formats(found: dict[str, Any], results: Results) -> None:
    copied, methods = found["done"]["copied"], len(results.methods)
    lines = copied["Markdown"].splitlines()
    assert len(lines) == methods + 2
    assert len({line.count("|") for line in lines}) == 1
    table = list(csv.reader(io.StringIO(copied["CSV"])))
    assert len(table) == methods + 1
    assert table[0][:2] == ["#", "Method"]
    assert {row[1] for row in table[1:]} == {f"{m.title} ({m.name})" for m in results.methods.values()}
    for part in (r"\toprule", r"\label{tab:leaderboard-table}", r"FedOPAL-R (fedopal\_r) &", r"\bottomrule", "95 \\%"):
        assert part in copied["LaTeX"]


@pdflatex.needed
def test_what_is_copied_as_latex_compiles(found: dict[str, Any], tmp_path: Path) -> None:
    assert pdflatex.faults(found["done"]["copied"]["LaTeX"], tmp_path) == []
