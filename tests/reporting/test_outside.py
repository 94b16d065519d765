"""Hospitals outside the federation: the table, what it says, the heat map, and the report's section."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from benchmark import gallery
from benchmark.evaluation.statistics import ALL, MEAN
from benchmark.reporting import figures, outside
from benchmark.reporting.inputs import Results, load
from benchmark.reporting.outside import Outside
from benchmark.tasks.classification import Classification
from tests.reporting import browser, pdflatex, synthetic
from tests.reporting.test_report import ROOT, Page

PHONE = 390


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> synthetic.Tree:
    """Three hospitals, each left out once; two methods and a control."""
    folder = tmp_path_factory.mktemp("results")
    return synthetic.leave_one_out(folder, methods=["fedit", "fedper", "local"], rates=["1e-2"], seeds=[0])


@pytest.fixture(scope="module")
def results(tree: synthetic.Tree) -> Results:
    return load(tree.comparison, statistics=True)


@pytest.fixture(scope="module")
def own(results: Results) -> Outside:
    (found,) = outside.families(results)
    return found


def of(results: Results, quantity: str, client: str = MEAN) -> dict[tuple[str, str], Any]:
    """The rows of `outside.parquet` of a quantity, by method and adaptation."""
    table = results.outside[(results.outside["quantity"] == quantity) & (results.outside["client"] == client)]
    return {(row.method, row.adaptation): row for row in table.itertuples()}


def test_a_federation_that_one_client_is_left_out_of_says_which(results: Results) -> None:
    titles = [results.title(name) for name in results.federations]
    assert titles == [f"Toy lesions without {own} Site {own}" for own in ("bcn", "vidir", "msk")]
    assert results.title("toy_lesions") == "Toy lesions", "the family itself"


def test_pairs_stand_by_rank_then_controls_oracles_and_who_takes_part(own: Outside, results: Results) -> None:
    grid = outside.grid(own)
    ranks = of(results, "average_rank")
    expected = sorted(ranks, key=lambda pair: ranks[pair].value)
    titles = [f"{results.methods[method].title} · {synthetic.ADAPTATIONS[name]}" for method, name in expected]
    assert [row[0].text for row in grid.rows] == titles
    assert len(titles) == 2 * 3, "two ranked methods with three adaptations that are no oracles"
    ends = [row[0].text.split(" · ") for row in grid.controls]
    assert [end for _, end in ends] == [
        "Mean of experts",
        "Common model",
        "TENT",
        *["Each expert"] * 3,
        *["takes part"] * 3,
    ]
    assert {method for method, _ in ends[:3]} == {"Local"}
    assert all(len(row) == len(grid.columns) for row in (*grid.rows, *grid.controls))


def test_a_row_shows_outside_inside_and_what_an_adaptation_changes(own: Outside, results: Results) -> None:
    grid = outside.grid(own)
    heads = [column.head for column in grid.columns]
    assert heads[1:4] == ["Mean outside", "Mean inside", "Less common model"]
    assert heads[-3:] == ["bcn Site bcn", "vidir Site vidir", "msk Site msk"]
    row = next(row for row in grid.rows if row[0].text == "FedIT · TENT")
    mean, inside = of(results, "mean")["fedit", "norm"], of(results, "inside")["fedit", ""]
    assert row[1].text == f"{mean.value:.3f} ({mean.low:.3f} to {mean.high:.3f})"
    assert row[2].text == f"{inside.value:.3f} ({inside.low:.3f} to {inside.high:.3f})"
    assert row[3].text == f"{mean.difference:.3f} ({mean.difference_low:.3f} to {mean.difference_high:.3f})"
    scores = [results.score_of(f"toy_lesions_without_{out}", "fedit", "bcn").mean for out in ("vidir", "msk")]
    takes_part = next(row for row in grid.controls if row[0].text == "FedIT · takes part")
    assert takes_part[-3].value == pytest.approx(sum(scores) / 2, abs=6e-4)
    oracle = next(row for row in grid.controls if row[0].text == "FedIT · Each expert")
    best = of(results, "best", "bcn")["fedit", "each"]
    assert oracle[-3].text == f"{best.value:.3f} {best.model}"


def test_what_papers_report_is_a_second_column(own: Outside, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the task has such a number: here twice the score."""
    monkeypatch.setattr(Classification, "published_as", "As printed")
    means = own.table[own.table["quantity"].isin(["mean", "best"]) & (own.table["model"] == "")]
    printed = means.assign(quantity="published", value=2 * means["value"])
    inside = own.table[(own.table["quantity"] == "inside") & (own.table["client"] == MEAN)]
    printed = pd.concat([printed, inside.assign(quantity="published", value=2 * inside["value"])])
    printed_too = replace(own, table=pd.concat([own.table, printed]))
    grid = outside.grid(printed_too)
    place = [column.head for column in grid.columns].index("As printed")
    assert place > [column.head for column in grid.columns].index("Mean outside"), "ours leads"
    assert all(row[place].value == pytest.approx(2 * row[1].value, abs=2e-3) for row in grid.rows)  # type: ignore[operator]
    assert "As printed: as published (arXiv 2204.08467)" in grid.caption
    joined = [row for row in grid.controls if row[0].text.endswith("takes part")]
    assert [row[place].value for row in joined] == pytest.approx([2 * (row[2].value or 0) for row in joined], abs=2e-3)
    assert len({row[place].value for row in joined}) == 3
    assert all(len(row) == len(grid.columns) for row in joined)
    numbers = outside.frame(printed_too).drop_duplicates("method").set_index("method")
    for row in inside.itertuples():
        assert numbers.loc[row.method, "published inside mean"] == pytest.approx(2 * row.value)


def test_the_job_writes_three_files(tree: synthetic.Tree, results: Results, tmp_path: Path) -> None:
    paths = {kind: tmp_path / f"outside.{kind}" for kind in ("csv", "md", "tex")}
    assert tree.job("reporting.outside", *(word for kind, path in paths.items() for word in (f"--{kind}", path))) == 0
    table = pd.read_csv(paths["csv"]).set_index(["method", "adaptation"])
    assert len(table) == 3 * 4
    for pair, row in of(results, "mean").items():
        if not row.oracle:
            found = table.loc[pair, ["outside mean", "outside mean_low", "outside mean_high"]]
            assert list(found) == pytest.approx([row.value, row.low, row.high])
    assert table["ranked"].sum() == 6
    assert set(table.loc[table["oracle"], "model bcn"]) <= {"vidir", "msk"}
    assert "| FedIT · TENT |" in paths["md"].read_text(encoding="utf-8")
    assert r"\label{tab:outside_toy_lesions}" in paths["tex"].read_text(encoding="utf-8")


@pdflatex.needed
def test_the_table_compiles(own: Outside, tmp_path: Path) -> None:
    assert pdflatex.faults(outside.latex(outside.grid(own), "outside"), tmp_path) == []


def said(own: Outside, effects: Mapping[str, tuple[float, float, float, bool]]) -> list[str]:
    """What is said where adaptations have these effects, with their intervals, apart or not."""
    table, names = own.table.copy(), ["difference", "difference_low", "difference_high", "apart"]
    for adaptation, numbers in effects.items():
        rows = (table["quantity"] == "effect") & (table["client"] == MEAN) & (table["adaptation"] == adaptation)
        assert rows.sum() == 1
        table.loc[rows, names] = list(numbers)
    return outside.verdict(replace(own, table=table))


def test_the_verdict_claims_what_the_intervals_say_and_no_more(own: Outside) -> None:
    first, second = said(own, {"mean": (0.03, 0.01, 0.05, True), "norm": (-0.2, -0.3, -0.1, True)})
    assert first == (
        "Against the common model as it is, in the mean over ranked methods and 3 clients outside, Mean of experts"
        " (+0.030, +0.010 to +0.050) reliably helps; TENT (-0.200, -0.300 to -0.100) reliably hurts."
    )
    assert second.endswith("; TENT 0 and 6 of 6.")
    # An interval that excludes 0 alone, and not with all adaptations together, is no claim.
    half, _ = said(own, {"mean": (0.03, 0.01, 0.05, False), "norm": (-0.2, -0.3, -0.1, True)})
    assert half.endswith(
        "TENT (-0.200, -0.300 to -0.100) reliably hurts; for Mean of experts (+0.030, +0.010 to +0.050) it stays open."
    )
    none, _ = said(own, {"mean": (0.0, float("nan"), float("nan"), False), "norm": (-0.2, -0.5, 0.1, False)})
    assert none.endswith(
        "none reliably helps or hurts: Mean of experts (the same predictions) and TENT (-0.200, -0.500 to +0.100)."
    )


def test_single_methods_at_single_clients_are_counted(own: Outside, results: Results) -> None:
    rows = [of(results, "score", client)[method, "mean"] for client in own.clients for method in ("fedit", "fedper")]
    better, worse = sum(row.difference_low > 0 for row in rows), sum(row.difference_high < 0 for row in rows)
    assert f": Mean of experts {better} and {worse} of 6; TENT" in outside.verdict(own)[1]


def test_without_none_nothing_is_said_of_adaptations(own: Outside) -> None:
    (sentence,) = outside.verdict(replace(own, table=own.table[own.table["method"] != ALL]))
    assert sentence.startswith("What adaptations do is not known")


def test_a_permutation_of_clients_permutes_the_columns(own: Outside) -> None:
    order = ["msk", "bcn", "vidir", MEAN]
    turned = replace(
        own, table=own.table.sort_values("client", key=lambda names: names.map(order.index), kind="stable")
    )
    one, other = outside.grid(own), outside.grid(turned)
    assert [column.head for column in other.columns[-3:]] == ["msk Site msk", "bcn Site bcn", "vidir Site vidir"]
    for row, moved in zip((*one.rows, *one.controls), (*other.rows, *other.controls), strict=True):
        assert [*row[:-3], row[-1], row[-3], row[-2]] == moved


def test_the_heat_map_shows_experts_elsewhere_and_on_the_diagonal_at_home(results: Results) -> None:
    _, numbers = figures.FIGURES["transfer"](results)
    assert len(numbers) == 3 * 9, "every expert at every client, for three methods"
    home = numbers[numbers["inside"]]
    assert (home["expert"] == home["client"]).all()
    elsewhere = numbers[~numbers["inside"]].set_index(["method", "expert", "client"])["value"]
    table = results.outside[results.outside["oracle"] & (results.outside["quantity"] == "score")].dropna(subset="value")
    for row in table.itertuples():
        assert elsewhere[row.method, row.model, row.client] == row.value
    best = of(results, "inside", "msk")["fedper", ""].value
    assert home.set_index(["method", "client"])["value"]["fedper", "msk"] == pytest.approx(best)


def test_a_method_whose_experts_are_the_same_everywhere_has_no_panel(results: Results) -> None:
    table = results.outside
    shared = table["oracle"] & (table["method"] == "fedit") & (table["quantity"] == "score")
    same = replace(results, outside=table.assign(value=table["value"].where(~shared | table["value"].isna(), 0.5)))
    figure, _ = figures.FIGURES["transfer"](same)
    titles = [axes.get_title() for part in figure.subfigs for axes in part.axes if axes.get_visible()]
    assert sorted(titles) == sorted(results.methods[name].title for name in ("fedper", "local"))


@pytest.fixture(scope="module")
def html(tree: synthetic.Tree, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("report")
    for name in gallery.names([Classification.figures], experts=True):
        (folder / f"{name}.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>")
    assert tree.job("evaluation.checks", "--output", tree.root / "checks.csv") == 0
    published, page = ROOT / "results/reference/published.csv", folder / "report.html"
    assert tree.job("reporting.report", "--published", published, "--figures", folder, "--output", page) == 0
    return page.read_text(encoding="utf-8")


def test_the_report_has_a_section(html: str, own: Outside) -> None:
    page, grid = Page(html), outside.grid(own)
    assert page.open == []
    section = html[html.index('<section id="outside">') : html.index('<section id="clinicians">')]
    text = Page(section).text
    assert all(sentence in text for sentence in outside.verdict(own))
    assert all(cell.text in text for row in (*grid.rows, *grid.controls) for cell in row)
    assert 'id="figure-transfer"' in section
    assert 'id="figure-transfer"' not in html.replace(section, "")
    assert "reliably worse in the mean over clients outside" in page.text


def test_the_section_fits_a_phone(html: str, tmp_path: Path) -> None:
    (frame,) = browser.read(html, [(PHONE, "#at=outside")], tmp_path / "browser")["frames"]
    assert frame["needed"] <= PHONE
    assert frame["faults"] == []
    assert frame["broken"] == 0
