"""Figures: the plotted numbers, and files that depend on the results alone."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from benchmark.evaluation.ranks import overall_ranks
from benchmark.reporting import figures
from benchmark.reporting.inputs import Results
from tests.reporting import synthetic
from tests.reporting.conftest import read
from tests.reporting.test_tables import scores


def job(name: str, tree: synthetic.Tree, folder: Path) -> dict[str, Path]:
    files = {kind: folder / f"{name}.{kind}" for kind in ("pdf", "svg", "csv")}
    options = [part for kind, path in files.items() for part in (f"--{kind}", str(path))]
    assert figures.main([name, *tree.arguments(), *tree.extras(), *options]) == 0
    return files


@pytest.mark.parametrize("name", sorted(figures.FIGURES))
def test_the_job_writes_the_same_bytes_twice(name: str, tree: synthetic.Tree, tmp_path: Path) -> None:
    first, second = job(name, tree, tmp_path / "1"), job(name, tree, tmp_path / "2")
    for kind, path in first.items():
        assert path.read_bytes() == second[kind].read_bytes()
    assert first["svg"].read_text().startswith("<?xml")
    assert first["pdf"].read_bytes().startswith(b"%PDF")


def test_rate_curves_show_every_rate_and_mark_the_chosen_one(results: Results) -> None:
    _, numbers = figures.FIGURES["rate_curves"](results)
    assert len(numbers) == sum(len(c["scores"]) for c in results.selected.values()) * len(results.seeds)
    for (dataset, method), choice in results.selected.items():
        here = numbers[(numbers["dataset"] == dataset) & (numbers["method"] == method)]
        assert set(here.loc[here["chosen"], "rate"]) == {choice["rate"]}
        means = here.groupby("rate")["value"].mean()
        assert means[choice["rate"]] == pytest.approx(choice["scores"][choice["rate"]]["mean"])


def test_learning_curves_end_at_the_score_that_was_selected(results: Results) -> None:
    _, numbers = figures.FIGURES["learning_curves"](results)
    assert set(numbers["round"]) == set(range(1, synthetic.ROUNDS + 1))
    last = numbers[numbers["round"] == synthetic.ROUNDS].groupby(["dataset", "method"])["value"].mean()
    for key, choice in results.selected.items():
        assert last[key] == pytest.approx(choice["scores"][choice["rate"]]["mean"])


def test_clients_shows_every_cell_and_the_mean(results: Results, tree: synthetic.Tree) -> None:
    _, numbers = figures.FIGURES["clients"](results)
    table = numbers.set_index(["dataset", "method", "client"])["value"]
    for dataset in results.datasets:
        oracle = scores(tree, dataset).groupby("method").mean()
        for method in results.methods:
            assert table[dataset, method, "mean"] == pytest.approx(oracle.loc[method].mean())
            for client in oracle.columns:
                assert table[dataset, method, client] == pytest.approx(oracle.loc[method, client])


def test_average_rank_shows_ranked_methods_only(results: Results) -> None:
    figure, numbers = figures.FIGURES["average_rank"](results)
    assert "local" not in set(numbers["method"])
    overall = numbers[numbers["dataset"] == "all"].set_index("method")["average_rank"]
    pd.testing.assert_series_equal(overall, overall_ranks(results.ranks))
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == [synthetic.TITLES[name] for name in overall.sort_values(kind="stable").index]


def test_average_rank_has_the_bootstraps_intervals(results: Results) -> None:
    figure, numbers = figures.average_rank(results)
    row = numbers.set_index(["dataset", "method"]).loc[("toy_slides", "fedit")]
    assert (row["low"], row["high"]) == results.statistics.interval("fedit", "average_rank", "toy_slides")
    assert "among 3 methods" in figure.axes[0].get_xlabel()


def test_the_critical_difference_joins_what_the_test_does_not_tell_apart(results: Results) -> None:
    figure, numbers = figures.FIGURES["critical_difference"](results)
    test = results.statistics.significance
    assert numbers["average_rank"].is_monotonic_increasing
    assert dict(zip(numbers["method"], numbers["average_rank"], strict=True)) == test["average_ranks"]
    on_first = {row.method for row in numbers.itertuples() if "1" in str(row.cliques).split()}
    assert on_first == set(test["cliques"][0])
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert any("3 methods, 5 clients" in text for text in texts)


def test_a_test_that_was_not_computed_is_a_figure_that_says_why(results: Results) -> None:
    lost = replace(results.statistics, significance={"computed": False, "reason": "there are 2 clients"})
    figure, numbers = figures.FIGURES["critical_difference"](replace(results, statistics=lost))
    assert numbers.empty
    assert figure.axes[0].texts[0].get_text() == "Not computed: there are 2 clients."


def test_stability_shows_all_places_and_every_window(results: Results) -> None:
    figure, numbers = figures.FIGURES["stability"](results)
    places = numbers[numbers["quantity"] == "place"]
    assert len(places) == 3 * 3
    heads = [label.get_text() for label in figure.axes[1].get_xticklabels()]
    assert heads == ["chosen", "k=1", "k=2", "k=3", "seed 0", "seed 1", "clients"]
    rows = [label.get_text() for label in figure.axes[1].get_yticklabels()]
    assert rows == [results.methods[name].title for name in results.order]


def test_a_diverged_rate_and_a_single_seed_can_be_drawn(tmp_path: Path) -> None:
    lost = [("toy_slides", "fedpal", rate) for rate in ("1e-3", "1e-2")]
    results = read(synthetic.with_statistics(synthetic.write(tmp_path, seeds=[0], diverged=lost)))
    for draw in figures.FIGURES.values():
        figure, numbers = draw(results)
        figure.canvas.draw()
        assert len(numbers)
