"""Quality checks, each on results that deserve a finding and on results that do not."""

import math
from pathlib import Path

import pandas as pd
import pytest

from benchmark.evaluation import checks
from benchmark.evaluation.statistics import INTERVALS, Statistics
from benchmark.files import write_json
from tests.reporting import synthetic


def cells(values: dict[str, list[float]]) -> pd.DataFrame:
    """Cells of one dataset from each method's scores on clients 0, 1, ...; None of them missing."""
    rows = [
        ("d", method, 0, str(client), value, False)
        for method, scores in values.items()
        for client, value in enumerate(scores)
    ]
    return pd.DataFrame(rows, columns=["dataset", "method", "seed", "client", "value", "missing"])


def choice(scores: dict[str, bool], rate: str, edge: bool) -> dict[str, object]:
    details = {r: {"diverged": diverged} for r, diverged in scores.items()}
    return {"dataset": "d", "method": "a", "rate": rate, "at_grid_edge": edge, "scores": details}


def test_a_chosen_rate_at_the_edge_is_a_warning() -> None:
    (finding,) = checks.selection([choice({"1e-3": False, "1e-2": False}, "1e-2", True)])
    assert (finding["severity"], finding["check"], finding["value"]) == ("warning", "edge of grid", 0.01)
    assert checks.selection([choice({"1e-3": False}, "1e-3", False)]) == []


@pytest.mark.parametrize(("chosen", "severity"), [("1e-3", "note"), ("1e-2", "error")])
def test_a_diverged_rate_is_a_note_and_an_error_where_it_was_chosen(chosen: str, severity: str) -> None:
    (finding,) = checks.selection([choice({"1e-3": False, "1e-2": True}, chosen, False)])
    assert (finding["severity"], finding["check"], finding["value"]) == (severity, "diverged", 0.01)


def test_chance_is_each_clients_own() -> None:
    # Client 0 has two classes (1/2), client 1 has four (1/4), client 2 has one and no chance level.
    metrics = pd.DataFrame(
        [("d", "a", 0, "0", "chance", 1 / 2), ("d", "a", 0, "1", "chance", 1 / 4)],
        columns=["dataset", "method", "seed", "client", "metric", "value"],
    )
    (finding,) = checks.below_chance(cells({"a": [0.4, 0.4, 0.0]}), metrics)
    assert (finding["client"], finding["value"]) == ("0", 0.4)
    assert checks.below_chance(cells({"a": [0.5, math.nan, 0.0]}), metrics) == []


def test_a_mean_worse_than_locals_is_a_warning() -> None:
    table = cells({"local": [0.5, 0.7], "a": [0.9, 0.2], "b": [0.6, 0.6], "c": [0.1, math.nan]})
    (finding,) = checks.worse_than_local(table, higher_is_better=True)
    assert (finding["method"], finding["value"]) == ("a", pytest.approx((0.9 + 0.2) / 2))
    assert checks.worse_than_local(table, higher_is_better=False) == []
    assert checks.worse_than_local(table[table["method"] != "local"], higher_is_better=True) == []


def test_a_missing_cell_is_an_error() -> None:
    table = cells({"a": [0.5, 0.5]})
    assert checks.missing_cells(table) == []
    table.loc[1, "missing"] = True
    (finding,) = checks.missing_cells(table)
    assert (finding["severity"], finding["client"]) == ("error", "1")
    assert "[0]" in finding["message"]


def test_a_missing_client_is_a_warning() -> None:
    (finding,) = checks.missing_clients({"d": {"missing_clients": ["4"]}, "e": {"missing_clients": []}})
    assert (finding["severity"], finding["dataset"], finding["client"]) == ("warning", "d", "4")


def seeds(values: dict[str, list[list[float]]]) -> pd.DataFrame:
    """Cells of one dataset from one matrix (seeds, clients) per method."""
    parts = [
        cells({method: matrix[seed] for method, matrix in values.items()}).assign(seed=seed)
        for seed in range(len(next(iter(values.values()))))
    ]
    return pd.concat(parts, ignore_index=True)


def test_ranks_that_vary_more_over_seeds_than_they_differ_are_one_warning_per_dataset() -> None:
    # Ranks by seed: a 1, 2; b 2, 1; c 3, 3. Means 1.5, 1.5, 3; sd of a and b 0.71; a is ahead of b by 0, b of c by 1.5.
    table = seeds({"a": [[0.9], [0.5]], "b": [[0.5], [0.9]], "c": [[0.1], [0.1]], "local": [[1.0], [0.0]]})
    (finding,) = checks.seed_spread(table, ["local"], higher_is_better=True)
    assert (finding["severity"], finding["dataset"]) == ("warning", "d")
    assert finding["value"] == pytest.approx(math.sqrt(0.5))
    assert "1 of 3 methods" in finding["message"]
    assert "a (± 0.71, ahead by 0.00)" in finding["message"]
    steady = seeds({"a": [[0.9], [0.9]], "b": [[0.5], [0.5]]})
    assert checks.seed_spread(steady, [], higher_is_better=True) == []
    assert checks.seed_spread(table[table["seed"] == 0], ["local"], higher_is_better=True) == []


def statistics(rows: list[tuple[str, str, float, float, float]], groups: int = 99) -> Statistics:
    """Intervals of methods on dataset d: method, quantity, value, low, high."""
    table = [("d", "mean", *row, groups) for row in rows]
    return Statistics(intervals=pd.DataFrame(table, columns=INTERVALS))


def test_neighbours_whose_intervals_overlap_are_one_note() -> None:
    ranks = [("c", 3.0, 2.5, 3.5), ("a", 1.0, 1.0, 1.2), ("b", 2.0, 1.5, 2.6)]
    given = statistics([(method, "average_rank", *interval) for method, *interval in ranks])
    (finding,) = checks.within_noise(given, ["d"])
    assert (finding["severity"], finding["check"], finding["value"]) == ("note", "within noise", 1)
    assert "2 neighbours among 3 ranked methods" in finding["message"]
    assert finding["message"].endswith("clear: a before b")
    assert checks.within_noise(Statistics(), ["d"]) == []


def test_clients_with_few_groups_are_one_note() -> None:
    table = pd.DataFrame([("d", "0", "a", "score", 0.5, 0.5, 0.5, 3)], columns=INTERVALS)
    (finding,) = checks.few_groups(Statistics(intervals=table), ["d", "e"])
    assert (finding["value"], finding["message"].partition("clients ")[2]) == (3, "0 (3)")


def test_a_mean_outside_its_interval_of_the_committed_one_is_a_warning() -> None:
    own = cells({"a": [0.5, 0.7], "b": [0.5, 0.7], "c": [0.5, math.nan]})
    given = statistics([(method, "mean", 0.6, 0.55, 0.66) for method in "ab"])
    committed = cells({"a": [0.5, 0.8], "b": [0.6, 0.8], "c": [0.5, 0.7], "gone": [0, 0]})
    found = checks.drift(own, given, committed, [])
    # a: 0.65 lies in 0.55 to 0.66; b: 0.7 does not; c diverged.
    assert [(f["severity"], f["check"], f["method"]) for f in found] == [
        ("warning", "drift from reference", "b"),
        ("warning", "drift from reference", "c"),
    ]
    assert checks.drift(own[own["method"] != "c"], Statistics(), own, []) == [], "equal numbers need no interval"
    assert checks.drift(own, given, committed[committed["client"] == "0"], []) == [], "other clients, another mean"


def test_committed_numbers_of_other_settings_are_not_compared_and_a_note_says_so() -> None:
    (finding,) = checks.drift(cells({"a": [0.1]}), Statistics(), cells({"a": [0.9]}), ["rounds"])
    assert (finding["severity"], finding["message"].endswith("rounds")) == ("note", True)


def test_the_committed_numbers_are_read_with_what_they_were_made_with(tmp_path: Path) -> None:
    runs = [synthetic.run("d", "fedit", "1e-3", seed, ["0"]) for seed in (0, 1)]
    table = cells({"fedit": [0.5]}).drop(columns="missing").assign(metric="balanced_accuracy")
    pd.concat([table, table.assign(metric="accuracy")]).to_csv(tmp_path / "clients.csv", index=False)
    assert list(checks.read_reference(tmp_path, runs)[0]["client"]) == ["0"]
    assert checks.read_reference(tmp_path, runs)[1] == ["seeds"]
    settings = {key: value for key, value in runs[0]["settings"].items() if key != "method"}
    write_json(tmp_path / "about.json", {"settings": {**settings, "rounds": 99}})
    assert checks.read_reference(tmp_path, runs[:1])[1] == ["rounds"]


def test_many_findings_of_one_kind_become_one() -> None:
    names = [f"m{place}" for place in range(checks.MOST + 1)]
    table = cells({"local": [0.9], **{name: [0.1] for name in names}})
    many = checks.worse_than_local(table, higher_is_better=True)
    (one,) = checks.gathered(many)
    assert one["message"].startswith(f"the mean is worse than that of training alone ({len(names)} times): m0 (0.1), ")
    assert (one["severity"], one["check"], one["dataset"]) == ("warning", "worse than local", "d")
    assert checks.gathered(many[:-1]) == many[:-1]


def test_the_job_compares_with_what_is_committed(tmp_path: Path) -> None:
    tree = synthetic.write(tmp_path, datasets={"toy_slides": synthetic.DATASETS["toy_slides"]}, methods=["fedit"])
    table = pd.read_parquet(tree.clients).assign(value=0.0)
    (tmp_path / "committed").mkdir()
    table.to_csv(tmp_path / "committed/clients.csv", index=False)
    for folder, expected in {"committed": True, "absent": False}.items():
        output = tmp_path / f"{folder}.csv"
        assert not checks.main([*tree.arguments(), "--reference", str(tmp_path / folder), "--output", str(output)])
        assert ("drift from reference" in output.read_text()) is expected


def test_the_job_writes_errors_first(tmp_path: Path) -> None:
    tree = synthetic.write(tmp_path)
    table = pd.read_parquet(tree.clients)
    lost = (table["dataset"] == "toy_slides") & (table["method"] == "fedit") & (table["client"] == "1")
    table[~lost].to_parquet(tree.clients)
    assert checks.main([*tree.arguments(), "--output", str(tmp_path / "checks.csv")]) == 0
    found = pd.read_csv(tmp_path / "checks.csv", dtype={"client": str})
    assert list(found.columns) == checks.COLUMNS
    places = [checks.SEVERITIES.index(severity) for severity in found["severity"]]
    assert places == sorted(places)
    assert set(found.loc[found["severity"] == "error", "client"]) == {"1"}
    assert set(found["check"]) >= {"missing cell", "diverged", "edge of grid"}
