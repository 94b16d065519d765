"""Which slices lie beside a slice: by hand, and where the released code of IOP-FL takes others."""

import numpy as np
import pandas as pd
import pytest

from benchmark.data.dataset import DataError
from benchmark.data.neighbours import neighbours


def table(cases: dict[str, list[int]], seed: int | None = None) -> pd.DataFrame:
    """The slices of some cases, in order or shuffled."""
    rows = pd.DataFrame([(case, n) for case, own in cases.items() for n in own], columns=["case", "position"])
    return rows if seed is None else rows.sample(frac=1, random_state=seed).reset_index(drop=True)


def test_neighbours_are_rows_of_the_same_case_and_end_with_it() -> None:
    found = neighbours(table({"a": [0, 1, 2], "b": [5, 6]}), [-1, 0, 1, 2])
    assert found.tolist() == [[0, 0, 1, 2], [0, 1, 2, 2], [1, 2, 2, 2], [3, 3, 4, 4], [3, 4, 4, 4]]


def test_they_follow_positions_and_not_the_order_of_rows() -> None:
    """By a loop over slices; cases of more than a thousand slices have names that no longer sort as their numbers."""
    cases = {"b": list(range(1100)), "a": list(range(3, 40))}
    rows = table(cases, seed=0)
    place = {(case, n): row for row, (case, n) in enumerate(rows.itertuples(index=False))}
    for row, own in enumerate(neighbours(rows, [-2, 0, 1])):
        case, n = rows.loc[row, "case"], rows.loc[row, "position"]
        clamped = [min(max(n + offset, cases[case][0]), cases[case][-1]) for offset in (-2, 0, 1)]
        assert own.tolist() == [place[case, number] for number in clamped]


def test_the_labelled_slice_is_in_the_middle_at_both_ends_too() -> None:
    """The released code of IOP-FL stacks the last slice as (i - 2, i - 1, i): the target belongs to channel 2 there."""
    rows = table({"a": list(range(9)), "b": list(range(4))}, seed=1)
    np.testing.assert_array_equal(neighbours(rows, [-1, 0, 1])[:, 1], np.arange(len(rows)))


def test_slices_beside_a_dropped_one_are_no_neighbours() -> None:
    """That code also takes neighbours after it has dropped slices that show nothing."""
    for dropped in ([0, 1, 3, 4], [0, 1, 1, 2]):
        with pytest.raises(DataError, match="case a: not one slice follows position 1; pack the volume whole"):
            neighbours(table({"b": [0, 1], "a": dropped}), [-1, 0, 1])


def test_images_without_positions_have_no_neighbours() -> None:
    with pytest.raises(DataError, match=r"no `position`.*leave `context` and `stack` out"):
        neighbours(pd.DataFrame({"case": ["a", "b"]}), [-1, 0, 1])
