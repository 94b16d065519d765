"""Figures: the plotted numbers, and files that depend on the results alone."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg

from benchmark import gallery
from benchmark.evaluation.ranks import federation_ranks, overall_ranks
from benchmark.reporting import figures, style
from benchmark.reporting.drawings import traffic
from benchmark.reporting.inputs import Results, load
from benchmark.tasks import task as tasks
from benchmark.tasks.segmentation import Segmentation
from tests.evaluation.distance import Distance
from tests.reporting import synthetic
from tests.reporting.test_tables import scores


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> synthetic.Tree:
    """One federation with two methods: to draw takes longest of all."""
    slides = {"toy_slides": synthetic.FEDERATIONS["toy_slides"]}
    folder = tmp_path_factory.mktemp("small")
    drawn = synthetic.write(folder, federations=slides, methods=["fedpal", "local"], seeds=[0], diverged=[])
    return synthetic.with_statistics(drawn)


def test_the_job_writes_the_same_bytes_twice(small: synthetic.Tree, tmp_path: Path) -> None:
    """Whatever was drawn before it in the same process."""
    names = sorted({*figures.FIGURES} - {*Segmentation.figures})
    for folder, order in (("1", names), ("2", names[::-1])):
        assert small.job("reporting.figures", *order, "--output", tmp_path / folder) == 0
    files = sorted(path.name for path in (tmp_path / "1").iterdir())
    assert files == sorted(f"{name}.{kind}" for name in names for kind in ("pdf", "svg", "csv"))
    for name in files:
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes(), name
    assert (tmp_path / "1/clients.svg").read_text().startswith("<?xml")
    assert (tmp_path / "1/clients.pdf").read_bytes().startswith(b"%PDF")


def test_an_unknown_figure_is_named(small: synthetic.Tree, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert small.job("reporting.figures", "clients", "cleints", "--output", tmp_path) == 1
    assert "there is no figure 'cleints'; there are: average_rank, " in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_rate_curves_show_every_rate_and_mark_the_chosen_one(results: Results) -> None:
    _, numbers = figures.FIGURES["rate_curves"](results)
    assert len(numbers) == sum(len(c["scores"]) for c in results.selected.values()) * len(results.seeds)
    for (federation, method), choice in results.selected.items():
        here = numbers[(numbers["federation"] == federation) & (numbers["method"] == method)]
        assert set(here.loc[here["chosen"], "rate"]) == {choice["rate"]}
        means = here.groupby("rate")["value"].mean()
        assert means[choice["rate"]] == pytest.approx(choice["scores"][choice["rate"]]["mean"])


def test_learning_curves_end_at_the_score_that_was_selected(results: Results) -> None:
    _, numbers = figures.FIGURES["learning_curves"](results)
    assert set(numbers["round"]) == set(range(1, synthetic.ROUNDS + 1))
    last = numbers[numbers["round"] == synthetic.ROUNDS].groupby(["federation", "method"])["value"].mean()
    for key, choice in results.selected.items():
        assert last[key] == pytest.approx(choice["scores"][choice["rate"]]["mean"])


def test_clients_shows_every_cell_and_the_mean(results: Results, tree: synthetic.Tree) -> None:
    _, numbers = figures.FIGURES["clients"](results)
    table = numbers.set_index(["federation", "method", "client"])["value"]
    for federation in results.federations:
        oracle = scores(tree, federation).groupby("method").mean()
        for method in results.methods:
            assert table[federation, method, "mean"] == pytest.approx(oracle.loc[method].mean())
            for client in oracle.columns:
                assert table[federation, method, client] == pytest.approx(oracle.loc[method, client])


def test_average_rank_shows_ranked_methods_only(results: Results) -> None:
    figure, numbers = figures.FIGURES["average_rank"](results)
    assert "local" not in set(numbers["method"])
    overall = numbers[numbers["federation"] == "all"].set_index("method")["average_rank"]
    pd.testing.assert_series_equal(overall, overall_ranks(results.ranks))
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == [synthetic.TITLES[name] for name in overall.sort_values(kind="stable").index]


def test_bytes_are_those_of_all_rounds_and_the_front_is_undominated(results: Results) -> None:
    """The best of the cheapest is on the front, what is on it is reliably better than all cheaper; no control is."""
    _, numbers = figures.FIGURES["bytes"](results)
    once = {run["method"]["name"]: run["costs"] for run in results.runs}
    for row in numbers.to_dict("records"):
        costs = once[row["method"]]
        assert row["bytes"] == synthetic.ROUNDS * (costs["bytes_up"] + costs["bytes_down"])
        assert not (row["front"] and row["method"] in results.controls)
        assert (row["low"], row["high"]) == results.statistics.interval(row["method"], "mean", row["federation"])
    assert set(numbers.loc[numbers["method"] == "local", "bytes"]) == {0}
    for _, table in numbers[~numbers["method"].isin(results.controls)].groupby("federation"):
        cheapest = table[table["bytes"] == table["bytes"].min()]
        assert cheapest.loc[cheapest["value"].idxmax(), "front"]


def test_the_front_of_points_that_are_known() -> None:
    """By hand: 0 is cheapest, 2 is best; 1 costs as much as 2 and scores less; 3 equals 2; 4 has no score."""
    points = pd.DataFrame({"bytes": [10, 20, 20, 20, 5], "value": [0.5, 0.6, 0.7, 0.7, float("nan")]})
    points["method"] = list("abcde")
    turned = points.assign(value=-points["value"])
    assert list(traffic.front(points, lambda *_: 1, higher_is_better=True).index) == [0, 2, 3]
    assert list(traffic.front(turned, lambda *_: 1, higher_is_better=False).index) == [0, 2, 3]


def test_what_may_be_noise_is_not_on_the_front() -> None:
    """By hand: b scores more than a, which is cheaper, but not reliably; c reliably more than both."""
    points = pd.DataFrame({"method": list("abc"), "bytes": [10, 20, 30], "value": [0.5, 0.6, 0.9]})
    surely = {("c", "a"), ("c", "b")}
    found = traffic.front(points, lambda *pair: int(pair in surely), higher_is_better=True)
    assert list(found["method"]) == ["a", "c"]


def test_a_tasks_figures_show_the_federations_of_that_task_alone(
    results: Results, monkeypatch: pytest.MonkeyPatch
) -> None:
    classification, other = results.task("toy_slides"), Distance([])
    monkeypatch.setattr(Results, "task", lambda self, name: other if name == "toy_lesions" else classification)
    for name in classification.figures:
        assert set(figures.FIGURES[name](results)[1]["federation"]) == {"toy_slides"}


def test_labels_are_the_manifests(results: Results) -> None:
    _, numbers = figures.FIGURES["labels"](results)
    for (federation, client, split), table in numbers.groupby(["federation", "client", "split"], sort=False):
        manifest = results.manifests[federation]
        assert table["class"].tolist() == manifest["classes"]
        assert table["images"].tolist() == manifest["clients"][client]["counts"][split]
    assert numbers["images"].sum() == sum(
        sum(map(sum, client["counts"].values())) for m in results.manifests.values() for client in m["clients"].values()
    )


def test_the_diagonal_of_the_best_methods_confusion_is_its_score(results: Results, tree: synthetic.Tree) -> None:
    """The mean recall over classes, of all seeds pooled: each seed has the same test images."""
    _, numbers = figures.FIGURES["confusion"](results)
    for federation in results.federations:
        here = numbers[numbers["federation"] == federation]
        ranks = federation_ranks(results.ranks).loc[federation]
        assert set(here["method"]) == {ranks.idxmin()}
        expected = scores(tree, federation).groupby("method").mean().loc[ranks.idxmin()]
        for client, table in here.groupby("client"):
            images = table.groupby("label")["n"].sum()
            hits = table[table["label"] == table["predicted"]].set_index("label")["n"]
            if client != "all clients":
                assert (hits / images).mean() == pytest.approx(expected[client])
        parts = here.groupby(here["client"] == "all clients")["n"].sum()
        assert parts[True] == parts[False]


def test_overlap_shows_methods_with_two_adapters_only(results: Results) -> None:
    figure, numbers = figures.FIGURES["overlap"](results)
    assert set(numbers["method"]) == set(synthetic.TWO_ADAPTERS) & set(results.methods)
    raw = results.overlap.groupby(["federation", "method", "measure", "layer"])["value"].mean()
    shown = numbers.set_index(["federation", "method", "measure", "layer"])["value"]
    pd.testing.assert_series_equal(shown.sort_index(), raw.sort_index().astype(float))
    entries = [text.get_text() for text in figure.legends[0].get_texts()]
    assert entries[0] == "random directions"
    assert set(entries[1:]) == {synthetic.TITLES[name] for name in ("fedpal", "fedopal_r")}


def test_without_a_pair_of_adapters_the_overlap_says_so(results: Results) -> None:
    figure, numbers = figures.FIGURES["overlap"](replace(results, overlap=results.overlap[:0]))
    assert numbers.empty
    assert "No method" in figure.texts[0].get_text()


def test_every_figure_that_there_is_can_be_drawn() -> None:
    of_tasks = [tasks.find(name).figures for name in tasks.names()]
    assert set(gallery.names(of_tasks, experts=True, pictured=True)) == {*figures.FIGURES, *gallery.FROM_IMAGES}


def test_twenty_one_methods_have_panels_of_their_own(results: Results) -> None:
    """Nothing overlaps: a panel for each method, and a row for each in every panel of the clients."""
    names = [f"m{i}" for i in range(19)]
    many = _copies(replace(results, runs=[r for r in results.runs if r["federation"] == "toy_slides"]), names)
    figure, _ = figures.FIGURES["learning_curves"](many)
    drawn = [axes for axes in figure.axes if axes.get_visible()]
    assert len(drawn) == len(many.federations) * len(many.methods)
    figure, _ = figures.FIGURES["clients"](many)
    assert len(figure.axes[0].get_yticks()) == len(many.methods)
    with rc_context(style.RC):
        FigureCanvasAgg(figure).draw()
    heights = [label.get_window_extent().height for label in figure.axes[0].get_yticklabels()]
    rows = figure.axes[0].get_window_extent().height / len(many.methods)
    assert max(heights) <= rows


def _copies(results: Results, names: list[str]) -> Results:
    """The results with a ranked method under many names beside the rest."""

    def renamed(run: dict, name: str) -> dict:
        return {**run, "method": {**run["method"], "name": name, "title": f"FedMethod-{name}"}}

    own = [run for run in results.runs if run["method"]["name"] == "fedit"]
    cells = results.metrics[results.metrics["method"] == "fedit"]
    scores = results.validation[results.validation["method"] == "fedit"]
    choices = {d: c for (d, m), c in results.selected.items() if m == "fedit"}
    return replace(
        results,
        runs=[*results.runs, *(renamed(run, name) for run in own for name in names)],
        metrics=pd.concat([results.metrics, *(cells.assign(method=name) for name in names)], ignore_index=True),
        validation=pd.concat([results.validation, *(scores.assign(method=name) for name in names)]),
        selected={**results.selected, **{(d, n): {**c, "method": n} for d, c in choices.items() for n in names}},
    )


def test_average_rank_has_its_interval(results: Results) -> None:
    figure, numbers = figures.FIGURES["average_rank"](results)
    row = numbers.set_index(["federation", "method"]).loc[("toy_slides", "fedit")]
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
    tree = synthetic.with_statistics(synthetic.write(tmp_path, seeds=[0], diverged=lost))
    results = load(tree.comparison, statistics=True, overlaps=True, validation=True)
    for name in {*figures.FIGURES} - {*Segmentation.figures, *gallery.OF_OUTSIDE}:
        figure, numbers = figures.FIGURES[name](results)
        figure.canvas.draw()
        assert len(numbers)
