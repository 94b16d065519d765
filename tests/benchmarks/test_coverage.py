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
    quantiles = stats.norm.ppf(np.full((8, 1, int(own.classes.max()) + 1), 0.7))
    counts = [coverage.drawn(Scenario("", "even", 0.5), "x", own, quantiles, random) for _ in range(300)]
    scores = np.array([one.task.score(one.values) for one in counts])
    assert scores.mean() == pytest.approx(0.7, abs=0.01)
    errors = np.corrcoef(scores[:, 0, 0], scores[:, 1, 0])[0, 1]
    assert 0.2 < errors < 0.9, "methods find the same images hard"


def test_folds_test_every_patient_once_and_the_truth_is_that_of_their_models() -> None:
    """Over many test sets, with recalls of each fold's model; a class's recall is that of all its images."""
    random, own = np.random.default_rng(0), coverage.test_sets("camelyon17 folds")["0"]
    assert own.folds is not None
    by_patient = {group: set(own.folds[own.groups == group]) for group in own.groups}
    assert all(len(found) == 1 for found in by_patient.values())
    assert sorted(sum(found == {fold} for found in by_patient.values()) for fold in range(4)) == [1, 2, 2, 2]
    recalls = random.uniform(0.5, 0.95, (1, 8))
    quantiles, scenario = stats.norm.ppf(recalls), Scenario("", "even", 0.2)
    expected = 0.0
    for c in range(2):
        fold, images = own.folds[own.classes == c], own.images[own.classes == c]
        expected += float((recalls[0, 2 * fold + c] * images).sum() / images.sum()) / 2
    assert coverage.truth(scenario, quantiles, own) == pytest.approx([expected])
    counts = [coverage.drawn(scenario, "x", own, quantiles[:, None], random) for _ in range(400)]
    assert np.mean([one.task.score(one.values) for one in counts]) == pytest.approx(expected, abs=0.01)


@pytest.mark.parametrize("kind", coverage.CASES)
def test_the_true_score_of_cases_is_the_mean_of_many(kind: str) -> None:
    """With seeds that differ too, whatever distribution cases have."""
    random = np.random.default_rng(0)
    normal, between = random.standard_normal((2, 400_000))
    quantile = stats.norm.ppf(0.95)
    expected = coverage.CASES[kind](normal, np.full(1, quantile)).mean()
    found = coverage.truth(Scenario("", kind, 0.5), np.full((1, 1), quantile))
    assert found[0] == pytest.approx(expected, abs=2e-3)
    expected = coverage.CASES[kind](normal, quantile + coverage.BETWEEN_SEEDS * between).mean()
    found = coverage.truth(Scenario("", kind, 0.5, seeds=3), np.full((1, 1), quantile))
    assert found[0] == pytest.approx(expected, abs=2e-3)


def test_the_true_recall_of_seeds_is_the_mean_of_many() -> None:
    normal = np.random.default_rng(0).standard_normal(400_000)
    seeds = coverage.truth(Scenario("", "even", 0.5, seeds=3), stats.norm.ppf(np.full((1, 1), 0.9)))
    spread = stats.norm.cdf(stats.norm.ppf(0.9) + coverage.BETWEEN_SEEDS * normal).mean()
    assert seeds[0] == pytest.approx(spread, abs=1e-3)


def test_cases_have_the_beta_distribution_that_they_say() -> None:
    normal = np.random.default_rng(0).standard_normal(200_000)
    scores = coverage.beta(6, 0.9)(normal, np.full(1, stats.norm.ppf(0.95)))
    assert np.quantile(scores, [0.1, 0.5, 0.9]) == pytest.approx(stats.beta.ppf([0.1, 0.5, 0.9], 6, 0.9), abs=0.01)
    assert np.corrcoef(normal, scores)[0, 1] < -0.8, "small numbers are good"


def test_held_out_scenarios_share_no_truth_with_the_others() -> None:
    chosen = {(one.federation, one.recalls) for one in coverage.SCENARIOS}
    assert not chosen & {(one.federation, one.recalls) for one in coverage.HELD_OUT}
    assert not {one.recalls for one in coverage.SCENARIOS} & {one.recalls for one in coverage.HELD_OUT}
    assert any(one.recalls in coverage.CASES for one in coverage.HELD_OUT)


def test_a_third_of_the_lesions_are_a_third_and_sites_stand_alone() -> None:
    whole, third = coverage.test_sets("fed_ham10000"), coverage.test_sets("a third of it")
    for client, own in whole.items():
        assert len(own.groups) / 4 < len(third[client].groups) < len(own.groups) / 2
        assert set(third[client].classes) == set(own.classes), "every class stays"
    assert list(coverage.test_sets("fed_ham10000/2")) == ["2"]
    assert [int(own.images.sum()) for own in coverage.test_sets("retinal_vessels").values()] == [20, 8, 5, 27]


def test_intervals_of_a_small_federation_hold_the_truth_about_as_often_as_they_say() -> None:
    shares = simulated(Scenario("fed_ham10000", "even", 0.5), 12)
    assert all(0.85 <= share <= 1 for share in shares.values())


def test_intervals_of_many_groups_hold_more_often_than_those_of_two() -> None:
    """Patients with very unequal numbers of patches: what two say of the others is too little."""
    two, eight = (coverage.small("patients", groups, 40) for groups in (2, 8))
    assert two["client"] < eight["client"]
    assert two["width"] > eight["width"]


def test_the_last_lines_have_the_means(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(coverage, "SCENARIOS", [Scenario("four small sites", "cases", 0.5)])
    monkeypatch.setattr(coverage, "HELD_OUT", [Scenario("four small sites", "lesions", 0.5)])
    monkeypatch.setattr(coverage, "GROUPS", range(2, 3))
    coverage.main(["--repeats", "2"])
    *_, chosen, _, _, held_out, above, last = capsys.readouterr().out.splitlines()
    for row, line, name in ((held_out, above, "held out"), (chosen, last, "coverage")):
        shares = [float(text) for text in row.removeprefix("four small sites").split()[2:]]
        assert line.startswith(f"{name}: client ")
        assert [float(part.split()[-1]) for part in line.split(", ")] == shares[:4]
