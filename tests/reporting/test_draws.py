"""Several draws of a split: scored together, counted as one federation, and shown by draw."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmark.evaluation import counts
from benchmark.evaluation.estimate import of_client
from benchmark.evaluation.reading import cells_of, read_runs
from benchmark.evaluation.statistics import ALL
from benchmark.reporting import confidence, figures, leaderboard, page, report, tables, verdict
from benchmark.reporting.grid import markdown
from benchmark.reporting.inputs import Results, load
from benchmark.reporting.tested import client_tests
from tests.reporting import browser, synthetic
from tests.reporting.test_tables import NOTHING

DRAWS = ("toy_lesions_draw1", "toy_lesions_draw2")
METHODS = ("fedit", "fedpal", "local")


def drawn(folder: Path, names: tuple[str, ...] = DRAWS) -> Results:
    """Two draws of one federation, and another federation."""
    content = {name: synthetic.FEDERATIONS["toy_lesions"] for name in names}
    federations = {**content, "toy_slides": synthetic.FEDERATIONS["toy_slides"]}
    tree = synthetic.write(folder, federations=federations, methods=METHODS, seeds=[0], diverged=[])
    tree.change(draw_of=dict.fromkeys(names, "toy_lesions"))
    assert tree.job("evaluation.collect") == 0
    return load(synthetic.with_statistics(tree).comparison, statistics=True, overlaps=True, validation=True)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return drawn(tmp_path_factory.mktemp("draws"))


def test_a_clients_score_is_of_the_samples_of_all_draws(results: Results) -> None:
    """Balanced accuracy of all predictions, each by its draw's model, by hand."""
    assert results.counted == ["toy_lesions", "toy_slides"]
    for method in METHODS:
        paths = [results.comparison.places.test(draw, method, 0, counts.FILE) for draw in DRAWS]
        rows = pd.concat(map(pd.read_parquet, paths))
        for client, own in rows.groupby("client"):
            sums = own.groupby("class")[["hit", "true"]].sum()
            shown = sums[sums["true"] > 0]
            expected = (shown["hit"] / shown["true"]).mean()
            assert results.score_of("toy_lesions", method, str(client)).mean == pytest.approx(expected)


def test_what_two_draws_test_is_one_group(results: Results) -> None:
    """A test set that is drawn twice is no larger than once, and its intervals are no narrower."""
    found = counts.read(results.comparison, cells_of(results.comparison, read_runs(results.comparison)))
    of = {(one.federation, one.client): one for one in found}
    once, other, together = (of[name, "bcn"] for name in (*DRAWS, "toy_lesions"))
    assert together.groups == sorted({*once.groups, *other.groups})
    np.testing.assert_array_equal(together.weights.sum(axis=0), once.weights.sum(axis=0) + other.weights.sum(axis=0))
    twice = counts.Counts(**{**once.__dict__, "values": 2 * once.values})
    np.testing.assert_allclose(of_client(twice).cells, of_client(once).cells)
    np.testing.assert_allclose(of_client(twice).parts.sum(axis=0), of_client(once).parts.sum(axis=0), rtol=0.1)


def test_draws_count_as_one_federation(results: Results) -> None:
    """The average rank over all is the mean of that on lesions, all draws together, and of that on slides."""
    ranks = results.federation_ranks
    for method in ("fedit", "fedpal"):
        assert results.overall[method] == pytest.approx(ranks.loc[["toy_lesions", "toy_slides"], method].mean())
    table = leaderboard.frame(results).set_index("method")
    assert [name for name in table if name.startswith("mean:")] == ["mean:toy_lesions", "mean:toy_slides"]
    assert table.loc["fedit", "clients_compared"] == 5
    interval = results.statistics.interval("fedit", "average_rank")
    assert interval[0] <= table.loc["fedit", "average_rank"] <= interval[1]
    assert "(toy_lesions): 2 draws of the split" in markdown(leaderboard.grid(results))
    evidence = " ".join(verdict.evidence(results, client_tests(results)))
    assert "at 5 clients of 2 federations" in evidence
    assert "2 draws of the split of toy_lesions" in evidence


def test_the_table_by_draw_says_how_often_neighbours_change_places(results: Results) -> None:
    grid = confidence.ranks_by_draw(results, "toy_lesions")
    assert grid is not None
    first, second = ([cell.value for cell in row] for row in grid.rows)
    assert first[1] <= second[1]
    alone = results.federation_ranks
    names = sorted(("fedit", "fedpal"), key=lambda name: alone.loc["toy_lesions", name])
    for values, name in zip((first, second), names, strict=True):
        by_draw = [alone.loc[draw, name] for draw in DRAWS]
        assert values[2:4] == pytest.approx(by_draw, abs=0.005), "as shown, with two digits"
        assert values[4:6] == pytest.approx([np.mean(by_draw), np.ptp(by_draw)], abs=0.005)
    before = sum(one < other for one, other in zip(first[2:4], second[2:4], strict=True))
    assert [row[-1].text for row in grid.rows] == [f"{before} of 2", "—"]
    figure, numbers = figures.FIGURES["stability"](results)
    assert (numbers["varied"] == "draws").sum() == 2 * 2
    assert "average rank by draw of the split" in figure.axes[1].get_title()


def test_the_page_and_a_table_show_draws_as_one_federation(results: Results) -> None:
    """Cells are of all draws together, with the interval that ranks have too; what each draw gives stands behind."""
    numbers = page.numbers(results, client_tests(results), NOTHING)
    assert [one["name"] for one in numbers["federations"]] == ["toy_lesions", "toy_slides"]
    assert {one["federation"] for one in numbers["pairs"]} == {ALL, "toy_lesions", "toy_slides"}
    lesions, slides = numbers["federations"]
    assert not any("draws" in row for row in slides["rows"].values())
    table = tables.frame(results, "toy_lesions", NOTHING).set_index("method")
    ranks = results.federation_ranks.loc["toy_lesions"]
    for method, row in lesions["rows"].items():
        assert row["rank"] == (None if method == "local" else pytest.approx(ranks[method], abs=5e-5))
        assert [draw["name"] for draw in row["draws"]] == list(DRAWS)
        for place, client in enumerate(results.sites("toy_lesions")):
            score = results.score_of("toy_lesions", method, client).mean
            alone = [results.score_of(draw, method, client).mean for draw in DRAWS]
            assert [draw["score"][place] for draw in row["draws"]] == pytest.approx(alone, abs=5e-5)
            assert min(alone) - 1e-9 <= score <= max(alone) + 1e-9, "as many images of each class in every draw"
            low, high = results.statistics.interval(method, "score", "toy_lesions", client)
            assert row["interval"][place] == pytest.approx([low, high], abs=5e-5)
            named = f"client {results.sites('toy_lesions')[client]}"
            assert table.loc[method, [named, f"{named} low", f"{named} high"]].tolist() == [score, low, high]
    text = markdown(tables.grid(results, "toy_lesions", NOTHING))
    assert "2 draws of the split together, each predicted by the model of its draw." in text


def test_rates_that_differ_between_draws_are_all_named(results: Results) -> None:
    """The mark of the grid's edge goes with its rate; a rate that all draws chose stands once."""
    selected = dict(results.selected)
    for draw, rate, edge in zip(DRAWS, ("1e-3", "1e-2"), (True, False), strict=True):
        selected[draw, "fedit"] = {**selected[draw, "fedit"], "rate": rate, "at_grid_edge": edge}
        selected[draw, "fedpal"] = {**selected[draw, "fedpal"], "rate": "1e-2", "at_grid_edge": True}
    changed = replace(results, selected=selected)
    assert changed.rate("toy_lesions", "fedit") == "1e-3†, 1e-2"
    assert changed.rate("toy_lesions", "fedpal") == "1e-2†"
    row = tables.frame(changed, "toy_lesions", NOTHING).set_index("method").loc["fedit"]
    assert (row["rate"], row["at_grid_edge"]) == ("1e-3, 1e-2", True)
    assert tables.EDGE_NOTE in tables.grid(changed, "toy_lesions", NOTHING).notes


def test_a_browser_shows_one_column_for_each_client_and_the_draws_behind_a_cell(
    results: Results, tmp_path: Path
) -> None:
    html = report.render(
        results, title="Draws", published=NOTHING, checks=pd.DataFrame(columns=["check", "severity"]), figures=[]
    )
    seen = [(1440, "#view=score&cell=toy_lesions/fedit/bcn"), (390, "#federation=toy_lesions")]
    whole, phone = browser.read(html, seen, tmp_path)["frames"]
    assert whole["columns"] == [
        *("Method", "bcn Site bcn", "vidir Site vidir", "msk Site msk", "Mean", "0 Site 0", "1 Site 1", "Mean")
    ]
    alone = [results.score_of(draw, "fedit", "bcn").mean for draw in DRAWS]
    said = f"by draw of the split{alone[0]:.3f}, {alone[1]:.3f} (standard deviation {np.std(alone, ddof=1):.3f})"
    assert said in whole["behind"]
    rates = [results.rate(draw, "fedit").rstrip("†") for draw in DRAWS]
    runs = [f"runs/{draw}/fedit/lr={rate}/seed=0/run.json" for draw, rate in zip(DRAWS, rates, strict=True)]
    assert [link for link in whole["links"] if link.startswith("runs/")] == runs
    assert phone["needed"] <= 390
    assert phone["faults"] == whole["faults"] == []


def test_the_order_of_draws_changes_nothing(results: Results, tmp_path: Path) -> None:
    """But for the order of rows: scores, ranks and intervals of all draws together are the same."""
    turned = drawn(tmp_path, DRAWS[::-1])
    assert turned.counted == results.counted
    for method in METHODS:
        for client in results.sites("toy_lesions"):
            one, other = (held.score_of("toy_lesions", method, client).mean for held in (results, turned))
            assert one == pytest.approx(other, rel=1e-12)
    pd.testing.assert_series_equal(turned.overall, results.overall)
    for quantity in ("average_rank", "corrected_mean", "place"):
        assert turned.statistics.interval("fedit", quantity) == pytest.approx(
            results.statistics.interval("fedit", quantity), nan_ok=True
        )
