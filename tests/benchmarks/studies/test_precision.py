"""Two precisions' tables side by side, from scores by hand."""

import pandas as pd

from benchmarks.studies.precision import summary, table

INDEX = pd.MultiIndex.from_tuples(
    [("skin", method, seed, client) for method in ("a", "b") for seed in (0, 1) for client in ("north", "south")],
    names=["federation", "method", "seed", "client"],
)
SCORES = pd.DataFrame(
    {"float32": [0.5, 0.6, 0.7, 0.6, 0.4, 0.7, 0.4, 0.7], "bfloat16": [0.5, 0.6, 0.7, 0.6, 0.4, 0.7, 0.4, 0.5]}, INDEX
)
"""Method b's score in the south falls from 0.7 to 0.5 in the second seed, and a is better there then."""


def test_clients_and_means_stand_side_by_side() -> None:
    """North of a: the mean of 0.5 and 0.7. South of b: 0.7, and (0.7 + 0.5) / 2; with the north's 0.4: 0.55 and 0.5."""
    lines = table(SCORES, pd.Series(0.05, INDEX)).splitlines()
    assert "| skin | a | north | 0.6000 | 0.6000 | +0.0000 | 0.0500 |" in lines
    assert "| skin | b | south | 0.7000 | 0.6000 | -0.1000 | 0.0500 |" in lines
    assert "| skin | b | **mean** | 0.5500 | 0.5000 | -0.0500 |  |" in lines


def test_the_largest_differences_stand_beside_the_noise() -> None:
    """Method a ranks (1 + 2 + 1 + 2) / 4 = 1.5 in float32, and (1 + 2 + 1 + 1) / 4 in bfloat16.

    Over seeds, the north of method a has a standard deviation of 0.2 / sqrt(2), all others none.
    """
    said = summary(SCORES)
    assert "largest difference of a client: 0.2000 (skin b 1 south)" in said
    assert "largest mean difference of a method, unsigned: 0.0500 (skin b)" in said
    assert "average rank, skin a: 1.50 | 1.25" in said
    assert "over seeds: 0.0354 on average, 0.1414 at most" in said
    assert "unknown: there is one seed" in summary(SCORES.loc[(slice(None), slice(None), [0]), :])
