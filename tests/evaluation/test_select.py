"""The rule that chooses a rate."""

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmark import job
from benchmark.evaluation import overlap, select
from tests.reporting import synthetic

CLIENTS = ["a", "b"]


def scores(values: dict[str, list[list[float]]]) -> pd.DataFrame:
    """A table of scores from one matrix (seeds, clients) per rate."""
    rows = [
        (rate, seed, CLIENTS[place], value)
        for rate, matrix in values.items()
        for seed, line in enumerate(matrix)
        for place, value in enumerate(line)
    ]
    return pd.DataFrame(rows, columns=["rate", "seed", "client", "value"])


def test_the_best_mean_over_clients_and_seeds_is_chosen() -> None:
    # 1e-2 is best on one client and in one seed; 1e-3 has the better mean.
    matrices = {"1e-2": [[0.9, 0.2], [0.6, 0.5]], "1e-3": [[0.6, 0.6], [0.6, 0.6]], "1e-4": [[0.1, 0.2]] * 2}
    choice = select.choose(scores(matrices), higher_is_better=True)
    means = {rate: np.mean(matrix) for rate, matrix in matrices.items()}
    assert choice["rate"] == max(means, key=lambda rate: means[rate])
    assert {rate: found["mean"] for rate, found in choice["scores"].items()} == pytest.approx(means)
    assert choice["scores"]["1e-2"]["per_client"] == pytest.approx({"a": (0.9 + 0.6) / 2, "b": (0.2 + 0.5) / 2})
    assert choice["scores"]["1e-2"]["per_seed"] == pytest.approx({"0": (0.9 + 0.2) / 2, "1": (0.6 + 0.5) / 2})
    assert choice["ties"] == []
    assert select.choose(scores(matrices), higher_is_better=False)["rate"] == "1e-4"


def test_ties_go_to_the_numerically_smaller_rate() -> None:
    # As text "1e-2" < "5e-3"; as numbers it is the other way round. The same four scores in another order
    # have a mean that differs by rounding, here in favour of the larger rate.
    tied = {"1e-2": [[0.1, 0.2], [0.3, 0.7]], "5e-3": [[0.7, 0.2], [0.1, 0.3]], "1e-1": [[0.3, 0.3]] * 2}
    assert np.mean(tied["1e-2"], axis=1).mean() > np.mean(tied["5e-3"], axis=1).mean()
    choice = select.choose(scores(tied), higher_is_better=True)
    assert choice["rate"] == "5e-3"
    assert choice["ties"] == ["5e-3", "1e-2"]


@pytest.mark.parametrize(("best", "edge"), [("1e-4", True), ("1e-3", False), ("1e-2", True)])
def test_a_rate_at_the_edge_of_the_grid_is_flagged(best: str, edge: bool) -> None:
    matrices = {rate: [[0.9 if rate == best else 0.5] * 2] for rate in ("1e-2", "1e-3", "1e-4")}
    assert select.choose(scores(matrices), higher_is_better=True)["at_grid_edge"] is edge


def test_a_single_rate_is_not_at_an_edge() -> None:
    assert not select.choose(scores({"1e-3": [[0.5, 0.5]]}), higher_is_better=True)["at_grid_edge"]


@pytest.mark.parametrize("higher_is_better", [True, False])
def test_a_rate_that_diverged_for_one_client_and_seed_is_not_chosen(higher_is_better: bool) -> None:
    matrices = {"1e-3": [[0.4, 0.4], [0.4, 0.4]], "1e-2": [[0.9, 0.9], [0.9, math.nan]]}
    choice = select.choose(scores(matrices), higher_is_better=higher_is_better)
    assert choice["rate"] == "1e-3"
    assert choice["scores"]["1e-2"]["mean"] is None
    assert choice["scores"]["1e-2"]["diverged"] is True
    assert choice["scores"]["1e-3"]["diverged"] is False


def test_where_all_diverged_the_smallest_rate_is_chosen_and_says_so() -> None:
    choice = select.choose(scores({"5e-2": [[math.nan] * 2], "1e-2": [[0.5, math.nan]]}), higher_is_better=True)
    assert choice["rate"] == "1e-2"
    assert choice["scores"]["1e-2"]["diverged"] is True
    assert choice["ties"] == []


def test_rates_with_different_seeds_are_refused() -> None:
    with pytest.raises(ValueError, match="different seeds"):
        select.choose(scores({"1e-3": [[0.5, 0.5]], "1e-2": [[0.5, 0.5]] * 2}), higher_is_better=True)


def final(metrics: pd.DataFrame, folder: Path, last_rounds: int = 1, clients: list[str] = CLIENTS) -> dict[str, float]:
    run = {**synthetic.run("toy", "fedit", "1e-3", 0, clients), "folder": folder}
    metrics.to_parquet(folder / "metrics.parquet")
    table = select.final_scores(run, select.scores_by_round(run, select.read_validation(run)), last_rounds)
    return dict(zip(table["client"], table["value"], strict=True))


@pytest.fixture
def metrics() -> pd.DataFrame:
    """Client a scores round / 10, client b one more; loss and training rows are there to be left alone."""
    rows = [
        (finished, client, split, metric, finished / 10 + plus, 1)
        for finished in (3, 1, 2)
        for client, plus in {"a": 0, "b": 1}.items()
        for split, metric in [("validation", "balanced_accuracy"), ("validation", "loss"), ("train", "loss")]
    ]
    return pd.DataFrame(rows, columns=["round", "client", "split", "metric", "value", "n"])


def test_the_last_evaluated_rounds_are_averaged(metrics: pd.DataFrame, tmp_path: Path) -> None:
    assert final(metrics, tmp_path) == pytest.approx({"a": 0.3, "b": 1.3})
    assert final(metrics, tmp_path, last_rounds=2) == pytest.approx({"a": (0.2 + 0.3) / 2, "b": (1.2 + 1.3) / 2})


def test_metrics_that_stop_early_are_refused(metrics: pd.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"toy/fedit/lr=1e-3/seed=0.* 2 of 3"):
        final(metrics[metrics["round"] < 3], tmp_path)


def test_metrics_that_lack_a_client_are_refused(metrics: pd.DataFrame, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="the run has"):
        final(metrics, tmp_path, clients=["a", "b", "c"])


def test_the_job_takes_the_rows_folder_and_the_rates_that_count(tmp_path: Path) -> None:
    root = synthetic.write(tmp_path / "results").root
    folder, output = root / "runs/toy_slides/fedpal", tmp_path / "selection.json"
    gathered = [tmp_path / "gathered.json", tmp_path / "gathered.parquet"]
    written = ["--output", str(output), "--gathered", *map(str, gathered), "--overlaps", str(tmp_path / "overlaps.csv")]
    assert run([str(folder), *written]) == 0
    found = json.loads(output.read_text())
    assert (found["federation"], found["method"], found["score"]) == ("toy_slides", "fedpal", "balanced_accuracy")
    assert found["rate"] == "1e-3"  # 1e-2 diverged.
    assert set(found["scores"]["1e-3"]["per_client"]) == {"0", "1"}
    assert run([str(folder), "--rates", "1e-2", "--seeds", "1", *written]) == 0
    found = json.loads(output.read_text())["scores"]
    assert set(found) == {"1e-2"}
    assert set(found["1e-2"]["per_seed"]) == {"1"}
    (about,), scores = json.loads(gathered[0].read_text()), pd.read_parquet(gathered[1])
    assert about == json.loads((folder / "lr=1e-2/seed=1/run.json").read_text())
    assert list(scores) == ["rate", "seed", "round", "client", "value"]
    assert set(zip(scores["rate"], scores["seed"], strict=True)) == {("1e-2", 1)}
    assert len(scores) == synthetic.ROUNDS * len(about["clients"]), "scores alone, and no loss"
    overlaps = pd.read_csv(tmp_path / "overlaps.csv", dtype={"client": str})
    expected = overlap.of_runs({1: folder / "lr=1e-2/seed=1"}).reset_index(drop=True)
    pd.testing.assert_frame_equal(overlaps, expected)
    assert len(overlaps) > 0


@pytest.mark.parametrize(("place", "said"), [("runs", "holds no run"), ("", "select: runs of")])
def test_a_folder_that_is_not_one_rows_is_an_error_of_one_line(
    place: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root, output = synthetic.write(tmp_path / "results").root, tmp_path / "selection.json"
    mixed = tmp_path / "mixed"
    shutil.copytree(root / "runs/toy_slides/fedit/lr=1e-3", mixed / "lr=1e-3")
    shutil.copytree(root / "runs/toy_slides/local/lr=1e-2", mixed / "lr=1e-2")
    written = ["--output", str(output), "--gathered", str(tmp_path / "x"), str(tmp_path / "y")]
    written += ["--overlaps", str(tmp_path / "z")]
    assert run([str(root / place if place else mixed), *written]) == 1
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not output.exists()


def test_without_the_leaves_of_the_chosen_rate_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = synthetic.write(tmp_path / "results").root
    folder, output = root / "runs/toy_slides/fedpal", tmp_path / "selection.json"
    (folder / "lr=1e-3/seed=1/state.safetensors").unlink()  # 1e-2 diverged.
    written = ["--output", str(output), "--gathered", str(tmp_path / "x"), str(tmp_path / "y")]
    assert run([str(folder), *written, "--overlaps", str(tmp_path / "z")]) == 1
    error = capsys.readouterr().err
    assert "lr=1e-3/seed=1: no state.safetensors; train the row again" in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == [root]


def test_the_best_of_several_rates() -> None:
    assert select.best_of({"1e-2": 0.5, "1e-3": 0.5, "1e-1": math.nan}, higher_is_better=True) == "1e-3"
    assert select.best_of({"1e-2": 0.5, "1e-3": 0.4}, higher_is_better=False) == "1e-3"
    assert select.best_of({"1e-2": math.nan, "1e-3": math.nan}, higher_is_better=True) == "1e-3"


def run(argv: list[str]) -> int:
    return job.run(select.main, argv)
