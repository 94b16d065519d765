"""How often 95 % intervals hold the truth: simulated test sets, of the real ones' groups and classes.

    python benchmarks/coverage.py [--quick] [--lesions HAM10000_metadata.csv --split train_test_split.csv]

`test_sets.csv` beside this file says how many lesions with how many images of every class each hospital tests: of
Fed-ISIC2019 by FLamby's split, and of its four sites with known lesions by the split that tears none apart. With
`--lesions` and `--split` it is first compared with those files. Camelyon17's patients are those of
`benchmark.data.camelyon17_slides`, all of a hospital's tested, with its patches shared out as that module expects: by
one model, or, as `patient_folds` has it, by four, each of which tests the patients that it was not trained on.

Truth is set, and test sets are drawn: an image is hit where a normal number, the sum of what lesion and image add for
all methods alike and for each alone, lies below the quantile of its class's true recall. Eight methods differ in three
steps. For cases that have a score each (Dice), the number is squeezed between 0 and 1 instead, and some cases fail.

The last line has the mean over `SCENARIOS` of the share of intervals that hold the truth: of a client's score, of the
mean over clients, of differences of means, and of places, where all methods' sets are to hold their place at once.
Places are hardest where all methods are equal, so that is what the last line has of them; where methods differ, sets
hold more often than they say (`apart`).

The method of intervals was chosen on these scenarios. The line above the last has the same of `HELD_OUT`, which were
drawn up after it and have changed nothing in it: other recalls, other correlation, other sizes, other Dice scores,
folds. The first table says how often intervals would hold with two to eight groups in a test set: why `LEAST_GROUPS` is
what it is.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
import numpy.typing as npt  # noqa: E402
import pandas as pd  # noqa: E402
from scipy import stats  # noqa: E402

from benchmark.data.camelyon17_slides import SLIDES  # noqa: E402
from benchmark.data.datasets.camelyon17 import Camelyon17  # noqa: E402
from benchmark.data.splits import folds  # noqa: E402
from benchmark.evaluation.counts import Counts  # noqa: E402
from benchmark.evaluation.estimate import LEAST_GROUPS, Estimate, mean_of, of_client  # noqa: E402
from benchmark.evaluation.standings import places, standings  # noqa: E402
from benchmark.tasks.classification import HIT, TRUE, Classification  # noqa: E402
from benchmark.tasks.task import Floats  # noqa: E402

TABLE = Path(__file__).parent / "test_sets.csv"
PATCHES = {"0": 59_436, "1": 34_904, "2": 85_054, "3": 129_838, "4": 146_722}
"""Patches of Camelyon17-WILDS' hospitals, half of them tumour."""
MOST = 60
"""Images of a group that are drawn one by one; where there are more, these stand for all."""
STEPS = np.array([0, 0, 0, 0, 0.1, 0.1, 0.2, 0.2])
"""How much better each method is, in units of the normal number."""
EQUAL = np.zeros(len(STEPS))
SHARED = 0.7
"""What part of the number's variance all methods have in common."""
BETWEEN_SEEDS = 0.15
"""How much the quantile of a class differs from seed to seed, in the same units."""
BETWEEN_FOLDS = 0.3
"""How much it differs between the models of different folds, for all methods alike: they learn from other patients."""
NAMES = ("client", "mean", "difference", "rank set")
"""What intervals are of."""
GROUPS = range(2, 9)
"""How many groups the small test sets have."""
SMALL = 5
"""How many clients with so few groups are averaged."""
VESSELS = {"0": [1] * 20, "1": [2] * 4, "2": [1] * 5, "3": [1] * 27}
"""Test images by patient of retinal_vessels' sites: both eyes of a child of CHASE_DB1 are one group."""
_NODES = (np.arange(2000) + 0.5) / 2000


@dataclass(frozen=True)
class TestSet:
    """One client's test images: of each of N cells of a group and a class, the group (N,), the class and the images.

    Where there are folds, that of each cell, (N,): its model predicts it.
    """

    groups: npt.NDArray[np.int64]
    classes: npt.NDArray[np.int64]
    images: npt.NDArray[np.int64]
    folds: npt.NDArray[np.int64] | None = None

    @property
    def kinds(self) -> npt.NDArray[np.int64]:
        """Of every cell, which true recall it has: that of its class, or of its fold's model and class."""
        return self.classes if self.folds is None else self.classes + (self.classes.max() + 1) * self.folds

    @property
    def shares(self) -> Floats:
        """What part of the images of each class is of each kind, (kinds, C)."""
        found = np.zeros((int(self.kinds.max()) + 1, int(self.classes.max()) + 1))
        np.add.at(found, (self.kinds, self.classes), self.images)
        return found / found.sum(axis=0)


@dataclass(frozen=True)
class Scenario:
    """What is simulated.

    Attributes:
        federation: Names the test sets, see `test_sets`.
        recalls: Names the true recalls, see `recalls`, or how cases score, one of `CASES`.
        alike: What part of the number's variance images of a group have in common.
        seeds: The number of seeds.
        shared: What part of it all methods have in common.
    """

    federation: str
    recalls: str
    alike: float
    seeds: int = 1
    shared: float = SHARED


class Cases(Classification):
    """Cases with a score of their own, in the place of hits: of which Dice is the mean."""

    score_name = "dice"

    def ratios(self, counts: Floats) -> tuple[Floats, Floats]:
        """Scores by cases."""
        return counts[..., HIT], counts[..., TRUE]


SCENARIOS = [
    *(
        Scenario(federation, recalls, alike)
        for federation, alike in (("fed_isic2019", 0.5), ("fed_ham10000", 0.5), ("camelyon17", 0.2))
        for recalls in ("majority", "rare worse", "even", "high", "any")
    ),
    Scenario("fed_isic2019", "rare worse", 0.5, seeds=3),
    Scenario("camelyon17", "high", 0.2, seeds=3),
    *(Scenario(federation, "cases", 0.5) for federation in ("fed_ham10000", "four small sites")),
]
HELD_OUT = [
    Scenario("fed_isic2019", "reversed", 0.8),
    Scenario("fed_isic2019", "falling", 0.2, shared=0.4),
    *(Scenario(f"fed_ham10000/{site}", "falling", 0.3) for site in "1235"),
    Scenario("a third of it", "reversed", 0.7),
    Scenario("a third of it", "falling", 0.3, seeds=5),
    Scenario("toy_lesions", "falling", 0.8),
    Scenario("toy_lesions", "low", 0.2, shared=0.4),
    Scenario("camelyon17", "reversed", 0.1),
    Scenario("camelyon17", "falling", 0.3, shared=0.4),
    *(Scenario("camelyon17 folds", recalls, 0.2) for recalls in ("falling", "reversed")),
    Scenario("fed_ham10000", "lesions", 0.7),
    Scenario("a third of it", "lesions", 0.3, shared=0.4),
    Scenario("a third of it", "failing", 0.6),
    Scenario("retinal_vessels", "vessels", 0.8),
    Scenario("four small sites", "vessels", 0.8, shared=0.4),
    Scenario("retinal_vessels", "failing", 0.3, seeds=3),
]


@cache
def test_sets(federation: str) -> dict[str, TestSet]:
    """The test sets of a federation's clients.

    Args:
        federation: One of those of `test_sets.csv`, or `NAME/CLIENT`, one of its clients alone; `a third of it`, of
            fed_ham10000's lesions of a class with as many images one in three, and one at least; `camelyon17`, and
            `camelyon17 folds`, its protocol `patient_folds`; `retinal_vessels`, whose images are cases; or `four small
            sites` of 8 to 20 cases.

    Returns:
        By client. Classes are numbers from 0, the fewest that the client needs.
    """
    if federation == "four small sites":
        return {str(n): _single(np.ones(n)) for n in (8, 12, 16, 20)}
    if federation == "camelyon17":
        return {hospital: _of_patients(_patches(hospital)) for hospital in PATCHES}
    if federation == "camelyon17 folds":
        count = Camelyon17.drawn["patient_folds"]
        return {hospital: _in_folds(own, count or 0) for hospital, own in test_sets("camelyon17").items()}
    if federation == "retinal_vessels":
        return {site: _single(np.array(images)) for site, images in VESSELS.items()}
    federation, share = ("fed_ham10000", 3) if federation == "a third of it" else (federation, 1)
    federation, _, chosen = federation.partition("/")
    table = pd.read_csv(TABLE, dtype={"client": str})
    found = {}
    for client, rows in table[table["federation"] == federation].groupby("client"):
        if chosen not in ("", client):
            continue
        own = rows.loc[rows.index.repeat(np.maximum(rows["groups"] // share, 1))]
        classes = np.unique(own["class"].to_numpy(dtype=str), return_inverse=True)[1]
        found[str(client)] = TestSet(np.arange(len(own)), classes, own["images"].to_numpy(np.int64))
    return found


def recalls(kind: str, own: TestSet, random: np.random.Generator) -> Floats:
    """True recalls of a client's classes, (C,), before methods' steps: as models have them that learned more or less.

    Args:
        kind: `majority`: a model that sees little but the largest class; `rare worse`: from 0.95 for the largest class
            down to 0.3; `even`: 0.6; `high`: 0.95; `any`: between 0.02 and 0.98 at random. Held out:
            `falling`: from 0.9 for the largest class in even steps down to 0.5; `reversed`: from 0.4 up to 0.85; `low`:
            0.25.
        own: The client's test images.
        random: For the last.

    Returns:
        Recalls.
    """
    images = np.bincount(own.classes, own.images)
    share = images / images.max()
    order = (-images).argsort(kind="stable").argsort() / max(len(images) - 1, 1)
    if kind in CASES:
        return np.full(len(share), 0.95)
    found: Floats = {
        "majority": np.where(share == 1, 0.95, 0.05 + 0.2 * share),
        "rare worse": 0.3 + 0.65 * share**0.35 if len(share) > 2 else np.full(2, 0.8),
        "even": np.full(len(share), 0.6),
        "high": np.full(len(share), 0.95),
        "any": random.uniform(0.02, 0.98, len(share)),
        "falling": 0.9 - 0.4 * order,
        "reversed": 0.4 + 0.45 * order,
        "low": np.full(len(share), 0.25),
    }[kind]
    return found


def drawn(scenario: Scenario, client: str, own: TestSet, quantiles: Floats, random: np.random.Generator) -> Counts:
    """One test set's counts.

    Args:
        scenario: What is simulated.
        client: The client's name.
        own: The client's test images.
        quantiles: Normal quantiles of the recalls of each method's seeds and kinds (see `TestSet`), (M, S, kinds).
        random: Draws.

    Returns:
        The counts of all methods.
    """
    (methods, seeds, _), classes = quantiles.shape, int(own.classes.max()) + 1
    groups, cells = int(own.groups.max()) + 1, np.arange(len(own.classes))
    single = np.minimum(own.images, MOST)
    cell = np.repeat(cells, single)
    group, image = own.groups[cell], len(cell)
    sizes = np.sqrt(np.outer([scenario.alike, 1 - scenario.alike], [scenario.shared, 1 - scenario.shared]))
    normal = random.standard_normal((methods, seeds, image))
    normal *= sizes[1, 1]
    normal += sizes[0, 1] * random.standard_normal((methods, 1, groups))[..., group]
    normal += sizes[0, 0] * random.standard_normal(groups)[group] + sizes[1, 0] * random.standard_normal(image)
    names = [f"{g:05d}" for g in range(groups)]
    if score := CASES.get(scenario.recalls):
        order = np.argsort(group, kind="stable")
        each = np.ones((methods, seeds, image, 1, 3))
        each[..., 0, HIT] = score(normal, quantiles[..., own.kinds[cell]])[..., order]
        return _counts(Cases(("case",)), client, names, group[order], each, seeds)
    hits = normal < quantiles[..., own.kinds[cell]]
    sums = np.add.reduceat(hits, single.cumsum() - single, axis=-1, dtype=np.float64)
    values = np.zeros((methods, seeds, groups, classes, 3))
    values[..., own.groups, own.classes, HIT] = sums * own.images / single
    values[..., own.groups, own.classes, TRUE] = own.images
    task = Classification([str(c) for c in range(classes)])
    return _counts(task, client, names, np.arange(groups), values, seeds)


def squeezed(normal: Floats, quantile: Floats) -> Floats:
    """The scores of cases: most near 0.85, and one in forty fails.

    Args:
        normal: Standard normal numbers; small ones are good, as in `drawn`.
        quantile: The more, the better is the method.

    Returns:
        Scores in [0, 1].
    """
    raised = 0.25 + quantile - 0.8 * normal
    return np.where(normal > stats.norm.ppf(39 / 40), 0.0, 1 / (1 + np.exp(-raised)))


def beta(a: float, b: float) -> Callable[[Floats, Floats], Floats]:
    """Scores of cases that have a Beta distribution where the true recall, which moves it, is 0.95."""
    places = np.linspace(-8, 8, 4001)
    heights = stats.beta.ppf(stats.norm.cdf(places), a, b)

    def scores(normal: Floats, quantile: Floats) -> Floats:
        return np.interp(quantile - stats.norm.ppf(0.95) - normal, places, heights)

    return scores


CASES: dict[str, Callable[[Floats, Floats], Floats]] = {
    "cases": squeezed,
    "vessels": beta(45, 13),
    "lesions": beta(6, 0.9),
    "failing": beta(0.8, 1.0),
}
"""How cases score, from normal numbers and quantiles as `squeezed`. Held out: `vessels`: near 0.78, all alike;
`lesions`: 0.87 in the mean, most near 1, with a long tail; `failing`: spread from 0 to 1, most near either."""


def truth(scenario: Scenario, quantiles: Floats, own: TestSet | None = None) -> Floats:
    """The methods' true scores on a client, (M,), from quantiles without the seeds' part, (M, C).

    Of a test set with folds, whose models are given: from quantiles (M, kinds).
    """
    spread = BETWEEN_SEEDS if scenario.seeds > 1 else 0.0
    found: Floats
    if score := CASES.get(scenario.recalls):
        nodes = stats.norm.ppf(_NODES)
        seeds = stats.norm.ppf(_NODES[20::40] if spread else 0.5)
        moved = quantiles[..., :1, None] + spread * seeds.reshape(-1, 1)  # (M, seeds, 1)
        found = score(nodes, moved).mean(axis=(1, 2))
    else:
        of_kinds = stats.norm.cdf(quantiles / np.sqrt(1 + spread**2))
        found = (of_kinds if own is None or own.folds is None else of_kinds @ own.shares).mean(axis=1)
    return found


def simulated(scenario: Scenario, repeats: int, steps: Floats = STEPS, seed: int = 0) -> dict[str, float]:
    """How often intervals hold the truth.

    Args:
        scenario: What is simulated.
        repeats: How many test sets of every client are drawn.
        steps: How much better each of M methods is, (M,).
        seed: Of the draws.

    Returns:
        Shares: `client`, `mean`, `difference` of means, and `rank set`; NaN where no interval is given.
    """
    sets = test_sets(scenario.federation)
    if scenario.recalls in CASES:
        sets = {client: _single(np.bincount(own.groups, own.images)) for client, own in sets.items()}
    truly = np.random.default_rng([seed, 1])
    base = {client: recalls(scenario.recalls, own, truly) for client, own in sets.items()}
    quantiles = {client: stats.norm.ppf(own)[None] + steps[:, None] for client, own in base.items()}
    for client, own in sets.items():
        if own.folds is not None:
            models = int(own.folds.max()) + 1
            apart = BETWEEN_FOLDS * truly.standard_normal(models * quantiles[client].shape[1])
            quantiles[client] = np.tile(quantiles[client], models) + apart
    truths = np.stack([truth(scenario, own, sets[client]) for client, own in quantiles.items()])  # (K, M)
    random = np.random.default_rng([seed, 2])
    held: dict[str, list[float]] = {name: [] for name in ("client", "mean", "difference")}
    ranks, sets_of = [], []
    for _ in range(repeats):
        counts = []
        for client, own in sets.items():
            moved = BETWEEN_SEEDS * random.standard_normal((len(steps), scenario.seeds, quantiles[client].shape[1]))
            seeds = quantiles[client][:, None] + (moved if scenario.seeds > 1 else 0)
            counts.append(drawn(scenario, client, own, seeds, random))
        found = standings(counts, [], draws=1000)
        sites, whole = list(found.of("simulated").values()), found.mean("simulated")
        held["client"] += [
            _holds(site.scores, own) for site, own in zip(sites, truths, strict=True) if not site.scores.reason
        ]
        if whole.reason:
            continue
        held["mean"].append(_holds(whole, truths.mean(axis=0)))
        held["difference"].append(_holds_differences(whole, truths.mean(axis=0)))
        drawn_ranks = found.average_rank("simulated")
        ranks.append(drawn_ranks[0])
        sets_of.append(places(drawn_ranks, found.freedom("simulated")))
    shares = {name: float(np.mean(values)) if values else np.nan for name, values in held.items()}
    if not ranks:
        return {**shares, "rank set": np.nan}
    # Methods of the same step have the same place: the first of those that they share.
    observed = np.mean(ranks, axis=0)
    average = np.array([observed[steps == step].mean() for step in steps])
    true = 1 + (average < average[:, None] - 1e-9).sum(axis=1)
    inside = [((first <= true) & (true <= last)).all() for first, last in sets_of]
    return {**shares, "rank set": float(np.mean(inside))}


def check(split: Path, lesions: Path) -> str:
    """Compare `test_sets.csv` with FLamby's split and HAM10000's metadata; what is said of it."""
    rows = pd.read_csv(split)
    rows = rows[rows["fold"] == "test"]
    known = rows["image"].map(pd.read_csv(lesions).set_index("image_id")["lesion_id"])
    table = pd.DataFrame({"client": rows["center"].astype(int).astype(str), "class": rows["target"]})
    table["group"] = known.where(known.notna(), rows["image"])
    groups = table.groupby(["client", "class", "group"]).size().groupby(["client", "class"])
    theirs = sorted(zip(groups.size().tolist(), groups.sum().tolist(), strict=True))
    own = pd.read_csv(TABLE)
    own = own[own["federation"] == "fed_isic2019"].assign(all=lambda t: t["images"] * t["groups"])
    sums = own.groupby(["client", "class"])[["groups", "all"]].sum()
    ours = sorted(zip(sums["groups"].tolist(), sums["all"].tolist(), strict=True))
    if theirs != ours:
        raise SystemExit(f"{TABLE}: its lesions and images by client and class are not those of {split} and {lesions}")
    return f"{TABLE.name} agrees with {split.name} and {lesions.name}"


def small(kind: str, groups: int, repeats: int) -> dict[str, float]:
    """How often intervals would hold the truth with few groups, if there were any.

    Args:
        kind: One of `FEW`: `patients` of Camelyon17, drawn from all hospitals; `lesions` of two classes, of one image
            each; or cases of one image, as they score in `CASES`.
        groups: How many of them each client tests.
        repeats: How often `SMALL` clients are drawn.

    Returns:
        Shares: `client`, `mean` over the clients, `difference` of the means; and `width`, of a client's interval.
    """
    scenario, random = Scenario("small", *FEW[kind]), np.random.default_rng([groups, list(FEW).index(kind)])
    patients, places = np.concatenate([_patches(hospital) for hospital in PATCHES]), np.arange(groups)
    classes = 1 if scenario.recalls in CASES else 2
    between = (0.9, 0.98) if scenario.recalls in CASES else (0.5, 0.95)
    held: dict[str, list[float]] = {name: [] for name in (*NAMES[:3], "width")}
    for _ in range(repeats):
        sites = {}
        # One recall for all would be an accident: intervals of a few hits hold it often or seldom as it happens to lie.
        quantiles = stats.norm.ppf(random.uniform(*between)) + np.repeat(STEPS[:, None], classes, axis=1)
        true = truth(scenario, quantiles)
        for client in range(SMALL):
            if kind == "patients":
                own = _of_patients(random.permutation(patients)[:groups])
            else:
                own = TestSet(places, places % classes, np.ones_like(places))
            found = of_client(drawn(scenario, str(client), own, quantiles[:, None], random))
            sites[str(client)] = replace(found, reason="")
            low, high = sites[str(client)].interval()
            held["client"].append(float(((low <= true) & (true <= high)).mean()))
            held["width"].append(float((high - low).mean()))
        mean = mean_of(sites)
        held["mean"].append(_holds(mean, true))
        held["difference"].append(_holds_differences(mean, true))
    return {name: float(np.mean(values)) for name, values in held.items()}


FEW = {
    "patients": ("even", 0.2),
    "lesions": ("even", 0.5),
    "cases": ("cases", 0.5),
    "vessels": ("vessels", 0.5),
    "failing": ("failing", 0.5),
}
"""Of small test sets, how cases score, and how alike images of a group are."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a line for every number of groups and every scenario, and the means last."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="fewer test sets of each scenario")
    parser.add_argument("--repeats", type=int, help="test sets of each scenario (300; 40 with --quick)")
    parser.add_argument("--split", type=Path, help="FLamby's train_test_split.csv, to compare with")
    parser.add_argument("--lesions", type=Path, help="HAM10000_metadata.csv, to compare with")
    given = parser.parse_args(arguments)
    if given.split and given.lesions:
        print(check(given.split, given.lesions))
    repeats = given.repeats or (40 if given.quick else 300)
    print(f"Few groups (fewer than {LEAST_GROUPS} have no interval): client, mean, difference, width of a client's")
    print("groups" + "".join(f"{kind:>28}" for kind in FEW))
    for groups in GROUPS:
        shares = (small(kind, groups, repeats) for kind in FEW)
        cells = ("{client:.3f} {mean:.3f} {difference:.3f} {width:.2f}".format(**one) for one in shares)
        print(f"{groups:6}" + "".join(f"{cell:>28}" for cell in cells), flush=True)
    chosen = _table("Scenarios that the method was chosen on", SCENARIOS, repeats)
    held_out = _table("Held out", HELD_OUT, repeats)
    print(f"held out: {held_out}")
    print(f"coverage: {chosen}")


def _table(title: str, scenarios: Sequence[Scenario], repeats: int) -> str:
    """Print a line for every scenario; the means over all."""
    print(f"{title}\n{'federation':18}{'recalls':12}seeds" + "".join(f"{name:>12}" for name in (*NAMES, "apart")))
    found = []
    for scenario in scenarios:
        apart, equal = (simulated(scenario, repeats, steps) for steps in (STEPS, EQUAL))
        found.append({**apart, "rank set": equal["rank set"], "apart": apart["rank set"]})
        about = f"{scenario.federation:18}{scenario.recalls:12}{scenario.seeds:5}"
        print(about + "".join(f"{share:12.3f}" for share in found[-1].values()), flush=True)
    return ", ".join(f"{name} {np.nanmean([one[name] for one in found]):.3f}" for name in NAMES)


def _holds(estimate: Estimate, true: Floats) -> float:
    low, high = estimate.interval()
    return float(np.mean((low <= true) & (true <= high)))


def _holds_differences(estimate: Estimate, true: Floats) -> float:
    difference, error, freedom = estimate.differences()
    away = np.abs(difference - (true[:, None] - true)) <= stats.t.ppf(0.975, freedom) * error
    return float(away[np.triu_indices(len(true), 1)].mean())


def _single(images: npt.NDArray[Any]) -> TestSet:
    """Groups of so many images, all of one class."""
    return TestSet(np.arange(len(images)), np.zeros(len(images), dtype=np.int64), images.astype(np.int64))


def _in_folds(own: TestSet, count: int) -> TestSet:
    """The same test set, its groups dealt to so many folds as the dataset's module deals patients."""
    of_images = folds(np.repeat([f"{group:03d}" for group in own.groups], own.images), count)
    return replace(own, folds=of_images[own.images.cumsum() - 1])


def _of_patients(patches: npt.NDArray[np.int64]) -> TestSet:
    """Groups with these images of two classes, (G, 2)."""
    groups, classes = (own.reshape(-1) for own in np.indices(patches.shape))
    return TestSet(groups, classes, patches.reshape(-1))


@cache
def _patches(hospital: str) -> npt.NDArray[np.int64]:
    """Normal and tumour patches of the patients of one of Camelyon17's hospitals, (G, 2), half of all patches each."""
    slides = pd.DataFrame([(s.patient, *s.expected) for s in SLIDES if s.client == hospital], columns=["group", 0, 1])
    expected = slides.groupby("group").sum().to_numpy(dtype=np.float64)
    return np.maximum((expected / expected.sum(axis=0) * PATCHES[hospital] / 2).round().astype(np.int64), 1)


def _counts(
    task: Classification, client: str, names: list[str], places: npt.NDArray[np.int64], values: Floats, seeds: int
) -> Counts:
    methods = [f"method {m}" for m in range(len(values))]
    there = np.zeros(values.shape[:2], dtype=bool)
    return Counts("simulated", client, task, names, places, methods, list(range(seeds)), values, there)


if __name__ == "__main__":
    main()
