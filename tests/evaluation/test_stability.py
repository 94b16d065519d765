"""What other seeds, rounds, clients or test samples would say."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmark.evaluation import select, stability
from benchmark.evaluation.standings import generator, standings
from benchmark.evaluation.statistics import ALL, STABILITY
from tests.evaluation import hand
from tests.evaluation.given import client
from tests.reporting import synthetic

B = 300


def validation(matrices: dict[str, list[list[float]]]) -> pd.DataFrame:
    """Validation scores of clients 0, 1, ... from one matrix (seeds, clients) per rate."""
    rows = [
        (rate, seed, str(place), value)
        for rate, matrix in matrices.items()
        for seed, line in enumerate(matrix)
        for place, value in enumerate(line)
    ]
    return pd.DataFrame(rows, columns=["rate", "seed", "client", "value"])


def test_resampled_clients_choose_as_the_rule_does() -> None:
    """Each draw of clients is written down as a table of its own and given to the rule."""
    random = np.random.default_rng(0)
    table = validation({rate: random.random((2, 4)).tolist() for rate in ("1e-2", "1e-3", "5e-3")})
    shares = stability.over_clients(table, ("d",), 40, higher_is_better=True)
    counts = dict.fromkeys(("1e-3", "5e-3", "1e-2"), 0)
    for weights in generator("d").multinomial(4, np.full(4, 0.25), size=40):
        copies = [
            table[table["client"] == str(place)].assign(client=f"{place} {copy}")
            for place, number in enumerate(weights)
            for copy in range(int(number))
        ]
        counts[select.choose(pd.concat(copies), higher_is_better=True)["rate"]] += 1
    assert shares == {rate: number / 40 for rate, number in counts.items()}
    assert list(shares) == ["1e-3", "5e-3", "1e-2"]


def test_a_rate_that_is_best_everywhere_is_always_chosen_and_a_diverged_one_never() -> None:
    table = validation({"1e-3": [[0.5, 0.6, 0.7]], "1e-2": [[0.9, 0.9, math.nan]], "1e-4": [[0.1, 0.2, 0.3]]})
    shares = stability.over_clients(table, ("d",), B, higher_is_better=True)
    assert shares == {"1e-4": 0, "1e-3": 1, "1e-2": 0}


def test_where_all_rates_diverged_the_smallest_is_chosen() -> None:
    table = validation({"1e-2": [[math.nan, 0.3]], "1e-3": [[0.5, math.nan]]})
    assert stability.over_clients(table, ("d",), B, higher_is_better=True) == {"1e-3": 1, "1e-2": 0}


def test_ranks_of_single_seeds_are_those_by_hand() -> None:
    rows = list(stability.ranks(hand.cells(), []))
    found = {(federation, method, setting): value for federation, method, _, setting, _, _, value in rows}
    by_seed = {"0": {"a": 4.5 / 3, "b": 4.5 / 3, "c": 3}, "1": {"a": 4 / 3, "b": 5.5 / 3, "c": 8.5 / 3}}
    for federation in ("d", ALL):
        for seed, expected in by_seed.items():
            assert {m: found[federation, m, seed] for m in hand.METHODS} == pytest.approx(expected)


def test_places_are_shared_where_ranks_are_equal() -> None:
    values = np.array([[9, 9, 9], [1, 2, 3], [1.5, 1.5, 3]])
    assert stability.places(values).tolist() == [[0.75, 0.25, 0], [0.25, 0.75, 0], [0, 0, 1]]


def test_places_of_the_example_add_up() -> None:
    rows = list(stability.placed(standings([client(name) for name in hand.CLIENTS], [], B)))
    table = pd.DataFrame(rows, columns=STABILITY)
    wide = table[table["federation"] == ALL].pivot(index="method", columns="setting", values="value")
    assert wide.sum(axis=0).to_numpy() == pytest.approx(1)
    assert wide.sum(axis=1).to_numpy() == pytest.approx(1)


def test_the_job_says_what_every_window_and_seed_would_choose(tmp_path: Path) -> None:
    federations = {"toy_slides": synthetic.FEDERATIONS["toy_slides"]}
    tree = synthetic.write(tmp_path, federations=federations, methods=["fedit", "fedpal", "local"])
    assert tree.job("evaluation.stability", "--draws", 50) == 0
    table = pd.read_csv(tmp_path / "stability.csv", dtype={"setting": str})
    assert list(table) == STABILITY
    # A diverged rate is never chosen, by no seed, window or client.
    lost = table[(table["method"] == "fedpal") & (table["quantity"] == "rate") & (table["value"] > 0)]
    assert set(lost["rate"].astype(float)) == {1e-3}
    runs = [select.read_run(path) for path in tree.runs if "/fedit/" in str(path)]

    def scores(chosen: list[dict[str, Any]]) -> list[pd.DataFrame]:
        return [select.read_validation(run) for run in chosen]

    rows = table[(table["method"] == "fedit") & (table["quantity"] == "rate")].set_index(["varied", "setting"])["rate"]
    windows = [setting for varied, setting in rows.index if varied == "rounds"]
    assert windows == [str(k) for k in range(1, synthetic.ROUNDS + 1)]
    for k in windows:
        assert float(rows["rounds", k]) == float(select.select(runs, scores(runs), int(k))["rate"])
    for seed in (0, 1):
        own = [run for run in runs if run["seed"] == seed]
        assert float(rows["seeds", str(seed)]) == float(select.select(own, scores(own), 1)["rate"])
    assert set(table[table["quantity"] == "place"]["method"]) == {"fedit", "fedpal"}
