"""Tests of models as counts."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmark.comparison import Comparison
from benchmark.counted import frame
from benchmark.evaluation.counts import FILE, by_unit, of_clients, read
from benchmark.tasks.classification import Classification
from tests.evaluation import hand
from tests.evaluation.distance import Distance

TASK = Classification(["no", "yes"])


def paths(comparison: Comparison) -> list[Path]:
    return [Path(comparison.places.test("d", method, seed, FILE)) for method, seed in hand.HITS]


def test_counts_give_the_scores_by_hand(tmp_path: Path) -> None:
    found = read(hand.write(tmp_path), hand.cells())
    assert [(c.federation, c.client) for c in found] == [("d", client) for client in hand.CLIENTS]
    for place, client in enumerate(found):
        assert client.weights.tolist() == [[1, 0], [1, 0], [0, 1], [0, 1]]
        expected = [[hand.score(hand.HITS[m, s][place]) for s in hand.SEEDS] for m in hand.METHODS]
        assert client.task.score(client.values).tolist() == expected


def test_the_order_of_rows_decides_nothing(tmp_path: Path) -> None:
    first = read(hand.write(tmp_path / "1"), hand.cells())
    second = read(hand.write(tmp_path / "2", order=hand.CLIENTS[::-1]), hand.cells())
    for one, other in zip(first, second, strict=True):
        assert one.groups == other.groups
        assert (one.values == other.values).all()


def test_groups_of_several_images_are_added_up(tmp_path: Path) -> None:
    comparison = hand.write(tmp_path)
    for path in paths(comparison):
        pd.read_parquet(path).assign(group="one").to_parquet(path)
    first = read(comparison, hand.cells())[0]
    assert first.values.shape == (3, 2, 1, 2, 3)
    assert first.values[0, 0].tolist() == [[[2, 2, 2], [2, 2, 2]]]


def test_cases_know_the_group_that_they_belong_to() -> None:
    """Five samples are three cases of two patients, whose names are in another order than the cases'."""
    about = pd.DataFrame({"sample": list("abcde"), "client": "x", "group": list("qqqpp"), "case": list("11233")})
    values = np.arange(5.0).reshape(5, 1, 1)
    assert by_unit(about, values, Distance([])).ravel().tolist() == [0 + 1, 2, 3 + 4]
    assert by_unit(about, values, TASK).ravel().tolist() == [3 + 4, 0 + 1 + 2]


def test_a_diverged_model_counts_as_nan_and_a_missing_one_is_said_to_be(tmp_path: Path) -> None:
    comparison = hand.write(tmp_path)
    lost = pd.read_parquet(paths(comparison)[0])
    lost.loc[lost["sample"] == "x0", ["hit", "predicted"]] = np.nan
    lost.to_parquet(paths(comparison)[0])
    paths(comparison)[-1].unlink()
    first, second, _ = read(comparison, hand.cells())
    assert np.isnan(TASK.score(first.values))[0].tolist() == [True, False]
    assert not np.isnan(first.weights).any()
    assert not np.isnan(TASK.score(second.values))[0].any()
    assert first.missing.tolist() == [[False, False], [False, False], [False, True]]


def test_models_that_were_tested_on_different_samples_are_refused(tmp_path: Path) -> None:
    comparison = hand.write(tmp_path)
    table = pd.read_parquet(paths(comparison)[1])
    table[table["sample"] != "x0"].to_parquet(paths(comparison)[1])
    with pytest.raises(ValueError, match="client x was tested on other samples"):
        read(comparison, hand.cells())


@pytest.mark.parametrize(
    ("change", "said"),
    [(lambda t: t.iloc[1:], "lack one of 2 classes"), (lambda t: t.drop(columns="hit"), "no column hit")],
)
def test_a_file_that_does_not_hold_what_the_task_counts_is_refused(change, said: str, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    path = paths(hand.write(tmp_path))[0]
    change(pd.read_parquet(path)).to_parquet(path)
    with pytest.raises(ValueError, match=said):
        list(of_clients([path], TASK))


def test_counts_survive_the_file_and_take_the_smallest_type_that_holds_them(tmp_path: Path) -> None:
    about = pd.DataFrame({"sample": list("ab"), "client": "x", "group": list("gh"), "case": list("ab")})
    values = np.array([[[1, 300, 0.1]], [[0, 2, np.nan]]])
    table = frame(about, values, ("small", "large", "broken"))
    assert [str(table[name].dtype) for name in ("small", "large", "broken")] == ["uint8", "uint16", "float64"]
    table.to_parquet(tmp_path / FILE)

    class Three(Distance):
        counted = ("small", "large", "broken")

    ((client, read_about, found),) = of_clients([tmp_path / FILE], Three([]))
    assert client == "x"
    pd.testing.assert_frame_equal(read_about, about)
    np.testing.assert_array_equal(found, values)
    halves = frame(about, np.array([[[0.5]], [[np.nan]]]), ("half",))
    assert str(halves["half"].dtype) == "float32"
