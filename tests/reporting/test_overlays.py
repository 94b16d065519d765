"""Cases that are shown: chosen by rule from drawn results, scored one by one, and pictured."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib import rc_context

from benchmark.comparison import Comparison
from benchmark.counted import frame
from benchmark.evaluation import cases, counts
from benchmark.files import read_json, write_json
from benchmark.job import run
from benchmark.reporting import figures, overlays, overlays_outside, page, style, verdict
from benchmark.reporting.inputs import Results, load
from benchmark.reporting.tested import client_tests
from benchmark.tasks.segmentation import Segmentation
from tests.reporting import synthetic

CLASSES = ["background", "organ", "lesion"]
SIDE = 12


def maps(*key: object) -> np.ndarray:
    """Two rectangles, one in the other."""
    labels = np.zeros((SIDE, SIDE), dtype=np.uint8)
    top, left = synthetic.generator(*key).integers(1, 4, 2)
    labels[top : top + 7, left : left + 7] = 1
    labels[top + 2 : top + 5, left + 2 : left + 5] = 2
    return labels


def counted(predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Counts (C, 3) of a slice, by hand."""
    return np.array([[(a & b).sum(), a.sum(), b.sum()] for c in range(3) for a, b in [(predicted == c, true == c)]])


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> synthetic.Tree:
    """Results of a segmentation: two hospitals, five cases each of two slices, the second of which is half empty."""
    folder = tmp_path_factory.mktemp("results")
    tree = synthetic.write(folder, federations={"toy_volumes": (CLASSES, ["0", "1"])}, diverged=())
    for folder in tree.runs:
        task = {"name": "segmentation", "score": "dice", "higher_is_better": True}
        write_json(folder / "run.json", {**read_json(folder / "run.json"), "task": task})
        metrics = pd.read_parquet(folder / "metrics.parquet")
        metrics["metric"] = metrics["metric"].replace("balanced_accuracy", "dice")
        metrics.to_parquet(folder / "metrics.parquet")
    for row in (tree.root / "runs/toy_volumes").iterdir():
        tree.select("toy_volumes", row.name)
    for folder in tree.tests:
        method, seed = folder.parts[-2:]
        rows, values = [], []
        for client in ("0", "1"):
            for case in range(5):
                for number in range(2):
                    true = maps(client, case) * (1 if number == 0 else np.arange(SIDE) < 4)
                    values.append(counted(maps(client, case, method, seed), true))
                    name = f"{client}/{case}"
                    rows.append((f"{name}/{number}", client, name, name))
        about = pd.DataFrame(rows, columns=["sample", "client", "group", "case"])
        frame(about, np.array(values, dtype=float), Segmentation.counted).to_parquet(folder / counts.FILE)
        distances = dict.fromkeys(("distance_95_1", "distance_95_2"), np.float32(1))
        about.assign(**distances).to_parquet(folder / counts.KEPT)
    manifests = read_json(tree.comparison)["manifests"]
    manifests["toy_volumes"] |= {"task": "segmentation"}
    tree.change(manifests=manifests)
    assert tree.job("evaluation.collect") == 0
    return synthetic.with_statistics(tree)


@pytest.fixture
def results(tree: synthetic.Tree) -> Results:
    return load(tree.comparison, statistics=True, overlaps=True)


def test_a_case_is_scored_by_the_pixels_of_its_slices(tree: synthetic.Tree) -> None:
    """By NumPy, from the maps; and their mean is the client's score."""
    comparison = Comparison.read(tree.comparison)
    found = cases.scores(comparison, "toy_volumes", "fedit", 1).set_index("case")
    for client, case in (("0", 3), ("1", 0)):
        true = np.stack([maps(client, case), maps(client, case) * (np.arange(SIDE) < 4)])
        predicted = np.stack([maps(client, case, "fedit", "seed=1")] * 2)
        dice = [
            2 * ((predicted == c) & (true == c)).sum() / ((predicted == c).sum() + (true == c).sum()) for c in (1, 2)
        ]
        assert found.loc[f"{client}/{case}", "value"] == pytest.approx(np.mean(dice))
    assert set(found["sample"].str[-1]) == {"0"}, "the slice that shows most"
    metrics = pd.read_parquet(tree.clients)
    own = metrics[(metrics["metric"] == "dice") & (metrics["method"] == "fedit") & (metrics["seed"] == 1)]
    for client, value in zip(own["client"], own["value"], strict=True):
        assert found.loc[found["client"] == client, "value"].mean() == pytest.approx(value)


def test_the_worst_and_the_median_case_of_the_best_ranked_method_are_shown(
    tree: synthetic.Tree, results: Results
) -> None:
    shown = cases.shown(results.comparison, "toy_volumes")
    best = results.ranks.mean().idxmin()
    assert set(shown["method"]) == {best}
    assert best not in results.controls
    scored = cases.scores(results.comparison, "toy_volumes", best, 0)
    for client, own in shown.set_index("place").groupby("client"):
        values = np.sort(scored.loc[scored["client"] == client, "value"])
        assert own.loc["worst", "value"] == values[0]
        assert own.loc["median", "value"] == values[2]


def test_case_scores_shows_every_case(results: Results) -> None:
    figure, numbers = figures.FIGURES["case_scores"](results)
    assert len(numbers) == len(results.methods) * len(results.seeds) * 10
    drawn = [axes for axes in figure.axes if axes.get_visible()]
    assert len(drawn) == 2
    points = [line for line in drawn[0].lines if line.get_marker() == "."]
    assert sum(len(line.get_xdata()) for line in points) == len(results.methods) * len(results.seeds) * 5


def test_overlays_show_the_outlines_that_were_predicted(results: Results, tmp_path: Path) -> None:
    """A column for each method with a model, a row for each case; a contour for each class that is there."""
    written = Path(results.comparison.places.cases("toy_volumes"))
    folder = str(results.comparison.folder / "comparison.json")
    assert run(cases.main, [folder, "toy_volumes", "--output", str(written)]) == 0
    shown = cases.read(results.comparison, "toy_volumes")
    pd.testing.assert_frame_equal(shown, cases.shown(results.comparison, "toy_volumes"))
    paths = []
    for method in ("fedit", "local"):
        path = Path(results.comparison.places.shown("toy_volumes", method))
        arrays = {
            "sample": shown["sample"].to_numpy(dtype=str)[::-1],
            "image": np.full((4, SIDE, SIDE, 1), 99, dtype=np.uint8),
            "target": np.stack([maps(*sample.split("/")[:2]) for sample in shown["sample"][::-1]]),
            "predicted": np.stack([maps(method)] * 3 + [np.zeros((SIDE, SIDE), dtype=np.uint8)]),
        }
        with path.open("wb") as stream:
            np.savez_compressed(stream, **arrays)
        paths.append(path)
    held = {"toy_volumes": [overlays.Shown.read(path, path.parent.name) for path in paths]}
    figure, numbers = overlays.draw(results, held)
    assert set(numbers["method"]) == {"fedit", "local"}
    assert len(numbers) == 8
    grid = np.array(figure.axes).reshape(4, 4)
    outlines = [[len(axes.collections) for axes in line] for line in grid]
    assert outlines == [[0, 2, 0, 0], *[[0, 2, 2, 2]] * 3], "the last sample of the file is the first row"
    assert [axes.get_title() for axes in grid[0]][:2] == ["image", "target"]
    row = numbers.iloc[0]
    assert grid[0, 2].get_xlabel() == f"{row['value']:.2f}"
    assert all(outline.get_rasterized() for axes in grid.flat for outline in axes.collections)

    output = {kind: tmp_path / f"overlays.{kind}" for kind in ("pdf", "svg", "csv", "jpg")}
    options = [part for kind, path in output.items() for part in (f"--{kind}", str(path))]
    described, rows = results.comparison.folder / "comparison.json", results.comparison.rows
    said = read_json(described)
    write_json(described, {**said, "taken": [row for row in rows if row[1] not in ("fedit", "local")]})
    assert run(overlays.main, [folder, *options]) == 0
    pd.testing.assert_frame_equal(pd.read_csv(output["csv"], dtype={"client": str}), numbers)
    assert output["jpg"].read_bytes().startswith(b"\xff\xd8\xff")
    write_json(described, {**said, "taken": rows})
    assert run(overlays.main, [folder, *options]) == 0, "what was predicted by models of another time stands there yet"
    write_json(described, said)
    assert "All rows are taken from the reference" in output["svg"].read_text()
    assert pd.read_csv(output["csv"]).empty


def test_titles_of_neighbouring_columns_do_not_collide(results: Results) -> None:
    """As drawn: each ends before the next begins, and the pictures keep their size below titles of three lines."""
    titles = ["Head alone, personal", "Head alone, shared", "FedAvg + fine-tuning (personal head)", "FedIT"]
    pictures = np.zeros((1, SIDE, SIDE), dtype=np.uint8)
    held = [overlays.Shown(title, ["one"], pictures[..., None], pictures, pictures) for title in titles]
    rows = [("0", "worst", "one", title, 0.5) for title in titles]
    table = pd.DataFrame(rows, columns=["client", "place", "sample", "method", "value"])
    sides = []
    for names in (titles, ["a", "b", "c", "d"]):
        sheet = overlays.Sheet(held, names, {"0": "north"}, table, "method", "Dice")
        with rc_context(style.RC):
            figure, _ = overlays.drawn(results, {"toy_volumes": sheet})
            figure.draw_without_rendering()
        heads = [axes.title if axes.title.get_text() else axes._left_title for axes in figure.axes]
        assert [head.get_text().replace("\n", " ") for head in heads] == ["image", "target", *names]
        boxes = [head.get_window_extent() for head in heads]
        assert all(one.x1 < other.x0 for one, other in pairwise(boxes)), names
        sides.append(figure.axes[0].get_window_extent().height)
    assert sides[0] > 0.95 * sides[1]


def test_overlays_outside_show_what_adapting_changes(tree: synthetic.Tree, results: Results, tmp_path: Path) -> None:
    """Of every client outside the cases that the best ranked row has kept, and a column for each adaptation."""
    places, comparison = results.comparison.places, read_json(tree.comparison)
    comparison["manifests"]["toy_volumes"]["outside"] = {"8": {"name": "8"}, "9": {"name": "Nine"}}
    path = tree.root / "outside.json"
    write_json(path, {**comparison, "adaptations": ["each", "mean", "none"]})
    best, other = results.ranks.mean().sort_values().index[:2]
    values = {}
    for method in (best, other):
        for client, cases_of in (("8", ["c", "b"]), ("9", ["a"])):
            file = Path(places.shown_outside("toy_volumes", client, method))
            file.parent.mkdir(parents=True)
            n = len(cases_of)
            values[client] = np.array([[0.75, 0.5], [0.875, 0.25]])[:, :n]
            np.savez_compressed(
                file,
                place=["median", "worst"][-n:],
                case=cases_of,
                sample=[f"{case}/0" for case in cases_of],
                image=np.full((n, SIDE, SIDE, 1), 99, dtype=np.uint8),
                target=[maps(client, case) for case in cases_of],
                adaptation=["none", "mean"],
                title=["Common model", "Mean of experts"],
                predicted=[[maps(method)] * n, [np.zeros((SIDE, SIDE), dtype=np.uint8)] * n],
                value=values[client] if method == best else values[client] - 0.125,
            )
    output = {kind: tmp_path / f"overlays_outside.{kind}" for kind in ("pdf", "svg", "csv", "jpg")}
    options = [part for kind, path in output.items() for part in (f"--{kind}", str(path))]
    assert run(overlays_outside.main, [str(path), *options]) == 0
    numbers = pd.read_csv(output["csv"], dtype=str)
    assert numbers.drop(columns=["federation", "method", "sample"]).to_numpy().tolist() == [
        ["8", "median", "none", "c", "0.75"],
        ["8", "median", "mean", "c", "0.875"],
        ["8", "worst", "none", "b", "0.5"],
        ["8", "worst", "mean", "b", "0.25"],
        ["9", "worst", "none", "a", "0.75"],
        ["9", "worst", "mean", "a", "0.875"],
    ]
    assert set(numbers["method"]) == {best}
    served = load(path)
    figure, _ = overlays.drawn(served, {name: overlays_outside.sheet(served, name) for name in served.pictured})
    grid = np.array(figure.axes).reshape(3, 4)
    assert [[len(axes.collections) for axes in line] for line in grid] == [[0, 2, 2, 0]] * 3
    assert [axes.get_title() for axes in grid[0]] == ["image", "target", "Common model", "Mean of experts"]
    assert [axes.get_ylabel() for axes in grid[:, 0]] == ["8\nmedian", "8\nworst", "9 Nine\nworst"]
    assert [axes.get_xlabel() for axes in grid[:, 3]] == ["0.88", "0.25", "0.88"]


def test_reports_speak_of_cases_and_of_dice(tree: synthetic.Tree, results: Results) -> None:
    """What a score is called, how many cases it is made of, and no word of what was taken for what."""
    assert results.score("toy_volumes") == "Dice coefficient"
    tested = client_tests(results)
    assert [one.cases for one in tested["toy_volumes"].values()] == [5, 5]
    assert [one.samples for one in tested["toy_volumes"].values()] == [10, 10]
    assert verdict.evidence(results, tested)[-1].endswith("the mean over a client's test cases, 10 at all clients.")
    drawn = page.numbers(results, tested, pd.DataFrame(columns=["federation", "method", "quantity", "value"]))[
        "federations"
    ][0]
    assert [client["cases"] for client in drawn["clients"]] == [5, 5]
    assert all(client["support"] is None for client in drawn["clients"])
    assert drawn["rows"]["fedit"]["taken"] == [None, None]
