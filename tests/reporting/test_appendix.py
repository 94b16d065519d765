"""Other selections: four rates for each client, worked out by hand."""

from math import nan
from pathlib import Path

import pandas as pd
import pytest

from benchmark.reporting.appendix import RULES, chosen, frame, grid, read_scores
from benchmark.reporting.inputs import Results, load
from tests.reporting import synthetic

CLIENTS = ("bcn", "vidir", "msk")
TEST = {
    "fedit": {"1e-3": (0.5, 0.6, 0.7), "1e-2": (0.8, 0.5, 0.6)},
    "fedpal": {"1e-3": (0.6, 0.5, 0.5), "1e-2": (0.4, 0.4, 0.9)},
    "local": {"1e-3": (0.1, 0.2, 0.3), "1e-2": (nan, 0.2, 0.9)},
}
"""Test scores by method, rate and client."""
VALIDATION = {"1e-3": (0.9, 0.1, 0.9), "1e-2": (0.2, 0.2, 0.2)}
"""Validation scores by rate and client, of every method: 1e-3 is the published choice."""


@pytest.fixture
def drawn(tmp_path: Path) -> tuple[Results, pd.DataFrame]:
    """Results with these validation scores, and these test scores of every rate."""
    federations = {"toy_lesions": synthetic.FEDERATIONS["toy_lesions"]}
    tree = synthetic.write(tmp_path, federations=federations, methods=tuple(TEST), seeds=(0,), diverged=())
    tree.change(appendix=[("toy_lesions", method) for method in TEST])
    results = load(tree.comparison)
    for choice in results.selected.values():
        choice["rate"] = "1e-3"
        for rate, values in VALIDATION.items():
            choice["scores"][rate]["per_client"] = dict(zip(CLIENTS, values, strict=True))
    rows = [
        ("toy_lesions", method, rate, 0, client, value)
        for method, rates in TEST.items()
        for rate, values in rates.items()
        for client, value in zip(CLIENTS, values, strict=True)
    ]
    columns = ["federation", "method", "rate", "seed", "client", "value"]
    for method, own in pd.DataFrame(rows, columns=columns).groupby("method"):
        path = Path(results.comparison.places.all_rates("toy_lesions", str(method)))
        path.parent.mkdir(parents=True, exist_ok=True)
        own.to_csv(path, index=False)
    return results, read_scores(results.comparison)


def test_each_rule_chooses_as_it_says(drawn: tuple[Results, pd.DataFrame]) -> None:
    table = chosen(*drawn).set_index(["method", "rule", "client"])["rate"]
    expected = {
        ("fedit", "published"): ("1e-3", "1e-3", "1e-3"),
        ("fedit", "validation_per_client"): ("1e-3", "1e-2", "1e-3"),
        ("fedit", "test"): ("1e-2", "1e-2", "1e-2"),  # 1.9 / 3 against 1.8 / 3.
        ("fedit", "test_per_client"): ("1e-2", "1e-3", "1e-3"),
        ("fedpal", "test"): ("1e-2", "1e-2", "1e-2"),  # 1.7 / 3 against 1.6 / 3.
        ("fedpal", "test_per_client"): ("1e-3", "1e-3", "1e-2"),
        ("local", "test"): ("1e-3", "1e-3", "1e-3"),  # The other rate diverged on a client.
        ("local", "test_per_client"): ("1e-3", "1e-3", "1e-2"),  # A tie goes to the smaller rate.
    }
    for key, rates in expected.items():
        assert tuple(table[(*key, client)] for client in CLIENTS) == rates


def test_means_and_ranks_follow(drawn: tuple[Results, pd.DataFrame]) -> None:
    """Of two ranked methods; controls have means alone."""
    table = frame(*drawn).set_index(["method", "rule"])
    means = {
        ("fedit", "published"): 1.8 / 3,
        ("fedit", "validation_per_client"): (0.5 + 0.5 + 0.7) / 3,
        ("fedit", "test"): 1.9 / 3,
        ("fedit", "test_per_client"): (0.8 + 0.6 + 0.7) / 3,
        ("fedpal", "test_per_client"): (0.6 + 0.5 + 0.9) / 3,
        ("local", "published"): 0.6 / 3,
    }
    for key, mean in means.items():
        assert table.loc[key, "mean"] == pytest.approx(mean)
    # Published: fedit against fedpal is (0.5, 0.6, 0.7) against (0.6, 0.5, 0.5), ranks 2, 1, 1.
    assert table.loc[("fedit", "published"), "average_rank"] == pytest.approx(4 / 3)
    # Test, per client: (0.8, 0.6, 0.7) against (0.6, 0.5, 0.9), ranks 1, 1, 2.
    assert table.loc[("fedpal", "test_per_client"), "average_rank"] == pytest.approx(5 / 3)
    assert table.loc["local", "average_rank"].isna().all()
    assert set(table[table["optimistic"]].index.get_level_values("rule")) == {"test", "test_per_client"}
    assert table.loc[("fedit", "test_per_client"), "rates"] == "bcn:1e-2 msk:1e-3 vidir:1e-3"


def test_the_table_says_optimistic_and_who_is_left_out(drawn: tuple[Results, pd.DataFrame]) -> None:
    results, scores = drawn
    table = grid(results, scores[scores["method"] != "fedpal"], "toy_lesions")
    assert [column.head for column in table.columns[1::2]] == list(RULES.values())
    assert sum("optimistic" in column.head for column in table.columns) == 2
    assert [row[0].text for row in table.rows] == ["FedIT"]
    assert [row[0].text for row in table.controls] == ["Local"]
    assert "fedpal" in table.notes[0]
