"""The simulation that says how often intervals hold the truth."""

import numpy as np
import pytest
from scipy import stats

from benchmarks import coverage
from benchmarks.coverage import Scenario, simulated


def test_test_sets_are_those_of_the_real_hospitals() -> None:
    """FLamby's test counts by client, and WILDS' patches and patients."""
    images = [int(own.images.sum()) for own in coverage.test_sets("fed_isic2019").values()]
    assert images == [2483, 791, 672, 452, 164, 88]
    hospitals = coverage.test_sets("camelyon17")
    assert [int(own.groups.max()) + 1 for own in hospitals.values()] == [7, 8, 9, 10, 9]
    for hospital, total in coverage.PATCHES.items():
        assert hospitals[hospital].images.sum() == pytest.approx(total, abs=5)


def test_what_is_drawn_has_the_true_recalls() -> None:
    """Over many test sets the mean score of each method is its truth, whatever images of a lesion share."""
    random, own = np.random.default_rng(0), coverage.test_sets("fed_ham10000")["5"]
    recalls = np.full((8, 1, int(own.classes.max()) + 1), 0.7)
    counts = [coverage.drawn(Scenario("", "even", 0.5), "x", own, recalls, random) for _ in range(300)]
    scores = np.array([one.task.score(one.values) for one in counts])
    assert scores.mean() == pytest.approx(0.7, abs=0.01)
    errors = np.corrcoef(scores[:, 0, 0], scores[:, 1, 0])[0, 1]
    assert 0.2 < errors < 0.9, "methods find the same images hard"


def test_the_true_score_of_cases_is_the_mean_of_many() -> None:
    normal = np.random.default_rng(0).standard_normal(400_000)
    expected = coverage.squeezed(normal, np.array(0.95)).mean()
    found = coverage.truth(Scenario("", "cases", 0.5), np.full((1, 1), 0.95))
    assert found[0] == pytest.approx(expected, abs=1e-3)
    seeds = coverage.truth(Scenario("", "even", 0.5, seeds=3), np.full((1, 1), 0.9))
    spread = stats.norm.cdf(stats.norm.ppf(0.9) + coverage.BETWEEN_SEEDS * normal).mean()
    assert seeds[0] == pytest.approx(spread, abs=1e-3)


def test_intervals_of_a_small_federation_hold_the_truth_about_as_often_as_they_say() -> None:
    shares = simulated(Scenario("fed_ham10000", "even", 0.5), 12)
    assert all(0.85 <= share <= 1 for share in shares.values())


def test_the_last_line_has_the_means(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(coverage, "SCENARIOS", [Scenario("four small sites", "cases", 0.5)])
    coverage.main(["--repeats", "2"])
    *_, row, last = capsys.readouterr().out.splitlines()
    shares = [float(text) for text in row.removeprefix("four small sites").split()[2:]]
    found = [float(part.split()[-1]) for part in last.removeprefix("coverage: ").split(", ")]
    assert found == shares[:4]
    assert last.startswith("coverage: client ")
