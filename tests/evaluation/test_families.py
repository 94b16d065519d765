"""Hospitals outside the federation: scores, differences and ranks of pairs, by hand."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from benchmark.comparison import Comparison
from benchmark.counted import frame
from benchmark.evaluation.counts import FILE
from benchmark.evaluation.families import Family, table
from benchmark.evaluation.reading import OUTSIDE_COLUMNS
from benchmark.evaluation.statistics import ALL, MEAN
from benchmark.files import write_json
from benchmark.tasks.classification import HIT, Classification

CLIENTS, METHODS, ADAPTATIONS, IMAGES = ("x", "y", "z"), ["a", "b", "local"], ["each", "mean", "none"], 12

# How many of a client's twelve images, six of each of two classes, are right: its score is a twelfth of that. Each
# client stands outside a federation of the two others. `each` is an oracle: it has a model of either of these.
#
#               x     y     z
RIGHT = {
    "a/none/": (6, 8, 10),
    "a/mean/": (8, 8, 12),
    "b/none/": (4, 6, 8),
    "b/mean/": (2, 8, 6),
    "local/none/": (6, 6, 6),
    "local/mean/": (0, 0, 0),
    "a/each/x": (None, 2, 4),
    "a/each/y": (10, None, 4),
    "a/each/z": (8, 6, None),
}
# Ranks of the pairs of `a` and `b`, `local` being a control:
# x: a/mean 1, a/none 2, b/none 3, b/mean 4; y: 2 for three, b/none 4; z: a/mean 1, a/none 2, b/none 3, b/mean 4.
RANKS = {"a/none": 6 / 3, "a/mean": 4 / 3, "b/none": 10 / 3, "b/mean": 10 / 3}
# What a client scores in the two federations in which it takes part, in twelfths.
INSIDE = {"a": (10, 12), "b": (8, 8), "local": (4, 6)}


def rows(client: str, right: Mapping[str, int]) -> pd.DataFrame:
    """The table of counts of models that are right in so many images of a client."""
    label, parts = np.arange(IMAGES) % 2, []
    samples = [f"{client}{i:02}" for i in range(IMAGES)]
    about = pd.DataFrame({"sample": samples, "client": client, "group": samples, "case": samples})
    for model, number in right.items():
        predicted = np.eye(2)[np.where(np.arange(IMAGES) < number, label, 1 - label)]
        true = np.eye(2)[label]
        values = np.stack([predicted * true, predicted, true], axis=-1)
        parts.append(frame(about, values, ("hit", "predicted", "true")).assign(model=model))
    return pd.concat(parts, ignore_index=True)


def adapted(name: str, models: Sequence[str], **changes: Any) -> dict[str, Any]:
    """The content of an `adapted.json`: the entropy falls from 0.9 to 0.4, and three quarters are of one class."""
    told = {
        "entropy": {"before": 0.9, "after": 0.4},
        "predicted": {"before": {"no": 0.5, "yes": 0.5}, "after": {"no": 0.75, "yes": 0.25}},
        **changes,
    }
    return {
        "adaptation": {"name": name, "title": name.capitalize(), "oracle": name == "each"},
        "models": dict.fromkeys(models, told),
    }


def write(root: Path, order: Sequence[str] = CLIENTS) -> Comparison:
    """Write all that the job reads; clients in an order of one's own."""
    manifest = {"task": "classification", "classes": ["no", "yes"], "group_name": "lesions"}
    federations = {f"d_without_{client}": client for client in order}
    manifests = {
        name: {**manifest, "outside": {out: {}}, "clients": {c: {} for c in CLIENTS if c != out}}
        for name, out in federations.items()
    }
    held = Comparison(
        root,
        *("hand", "By hand", [(name, method) for name in federations for method in METHODS], ["1e-3"], [0]),
        manifests=manifests,
        families={"d": list(federations)},
        adaptations=ADAPTATIONS,
    )
    for name, out in federations.items():
        for method in METHODS:
            for adaptation in ADAPTATIONS:
                stem = f"{method if adaptation != 'each' else 'a'}/{adaptation}/"
                given = {key.removeprefix(stem): own[CLIENTS.index(out)] for key, own in RIGHT.items() if stem in key}
                right = {model or adaptation: own for model, own in given.items() if own is not None}
                path = Path(held.places.outside(name, out, method, adaptation, 0, FILE))
                path.parent.mkdir(parents=True)
                rows(out, right).to_parquet(path)
                write_json(path.with_name("adapted.json"), adapted(adaptation, list(right)))
            tested = {
                client: INSIDE[method][sorted(set(CLIENTS) - {client}).index(out)]
                for client in CLIENTS
                if client != out
            }
            path = Path(held.places.test(name, method, 0, FILE))
            path.parent.mkdir(parents=True)
            pd.concat([rows(client, {"": own}) for client, own in tested.items()]).drop(columns="model").to_parquet(
                path
            )
    return held


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    return write(tmp_path_factory.mktemp("outside"))


@pytest.fixture(scope="module")
def found(comparison: Comparison) -> pd.DataFrame:
    return table(Family(comparison, "d", {"local"}), 200)


def of(found: pd.DataFrame, quantity: str, column: str = "value") -> dict[tuple[str, str, str], float]:
    """The numbers of a quantity by client, pair and model."""
    own = found[found["quantity"] == quantity]
    pairs = own["method"] + "/" + own["adaptation"]
    return dict(zip(zip(own["client"], pairs, own["model"], strict=True), own[column], strict=True))


def test_scores_and_their_differences_from_none(found: pd.DataFrame) -> None:
    scores, less = of(found, "score"), of(found, "score", "difference")
    means, less_in_the_mean = of(found, "mean"), of(found, "mean", "difference")
    for name, right in RIGHT.items():
        pair, _, model = name.rpartition("/")
        none = RIGHT[f"{pair.partition('/')[0]}/none/"]
        for client, number, base in zip(CLIENTS, right, none, strict=True):
            if number is None:
                assert np.isnan(scores[client, pair, model])
                continue
            assert scores[client, pair, model] == pytest.approx(number / IMAGES)
            if not pair.endswith("none"):
                assert less[client, pair, model] == pytest.approx((number - base) / IMAGES)
        if not model:
            assert means[MEAN, pair, ""] == pytest.approx(sum(right) / IMAGES / 3)
            if not pair.endswith("none"):
                assert less_in_the_mean[MEAN, pair, ""] == pytest.approx((sum(right) - sum(none)) / IMAGES / 3)
    assert all(np.isnan(less[client, pair, ""]) for client in CLIENTS for pair in ("a/none", "b/none"))
    assert list(found.columns) == OUTSIDE_COLUMNS


def test_pairs_of_ranked_methods_are_ranked_and_oracles_are_not(found: pd.DataFrame) -> None:
    ranks, places = of(found, "average_rank"), of(found, "place")
    assert ranks == {(MEAN, pair, ""): pytest.approx(rank) for pair, rank in RANKS.items()}
    # a/none and b/* are not told apart by three clients of twelve images; places are counted from the average ranks.
    assert [places[MEAN, pair, ""] for pair in RANKS] == [2, 1, 3, 3]
    own = found[found["quantity"] == "place"]
    assert ((own["low"] >= 1) & (own["high"] <= 4) & (own["low"] <= own["value"]) & (own["value"] <= own["high"])).all()


def test_an_interval_of_a_difference_is_that_of_two_methods(comparison: Comparison, found: pd.DataFrame) -> None:
    """Where images are right with one and wrong with the other, which is written out: the paired variance by hand.

    Of x, `a/none` is right in images 0 to 5 and `a/mean` in 0 to 7. Of the six images of each class one is right with
    `mean` alone, so that a class's outcomes differ by d = (1, 0, 0, 0, 0, 0): mean 1/6.
    """
    own = found[(found["quantity"] == "score") & (found["client"] == "x")].set_index(["method", "adaptation"])
    low, high = own.loc[("a", "mean"), ["difference_low", "difference_high"]]
    assert low < 2 / 12 < high
    assert high - 2 / 12 == pytest.approx(2 / 12 - low)
    differing = np.array([1, 0, 0, 0, 0, 0])
    own_groups = ((differing - 1 / 6) ** 2).sum() / 36 / (1 - 1 / 6) * (5 / 7)  # Of a class, with the weight 5 of 7.
    unseen = 2 * 0.25 / 13  # Half at either bound, one sample of thirteen, independent between the two.
    together = 12 / 13 * ((differing - 1 / 6) ** 2).mean() * 6 / 5 + unseen  # Both classes alike: nothing lies between.
    variance = 2 * (own_groups + 2 / 7 * together / 6) / 4
    parts = np.array([own_groups / 4] * 2 + [2 / 7 * together / 6 / 4] * 2)
    freedom = variance**2 / (parts**2 / [5, 5, 2, 2]).sum()
    assert high - 2 / 12 == pytest.approx(stats.t.ppf(0.975, freedom) * np.sqrt(variance))


def test_the_best_of_an_oracle_is_chosen_client_by_client(found: pd.DataFrame) -> None:
    best = found[(found["quantity"] == "best") & (found["method"] == "a")].set_index("client")
    assert best["model"].to_dict() == {"x": "y", "y": "z", "z": "x", MEAN: ""}
    assert best["value"].to_dict() == pytest.approx({"x": 10 / 12, "y": 6 / 12, "z": 4 / 12, MEAN: 20 / 36})
    assert best["difference"].to_dict() == pytest.approx({"x": 4 / 12, "y": -2 / 12, "z": -6 / 12, MEAN: -4 / 36})
    assert best["low"].isna().all()
    assert best["oracle"].all()
    assert set(found.loc[found["oracle"], "adaptation"]) == {"each"}


def test_an_effect_is_the_mean_over_ranked_methods(found: pd.DataFrame) -> None:
    """x: (8 + 2 - 6 - 4) / 24 = 0; y: (8 + 8 - 8 - 6) / 24; z: (12 + 6 - 10 - 8) / 24 = 0. `local` is a control."""
    assert of(found, "effect", "difference") == {
        ("x", f"{ALL}/none", ""): 0,
        ("x", f"{ALL}/mean", ""): pytest.approx(0),
        ("y", f"{ALL}/none", ""): 0,
        ("y", f"{ALL}/mean", ""): pytest.approx(2 / 24),
        ("z", f"{ALL}/none", ""): 0,
        ("z", f"{ALL}/mean", ""): pytest.approx(0),
        (MEAN, f"{ALL}/none", ""): 0,
        (MEAN, f"{ALL}/mean", ""): pytest.approx(2 / 72),
    }
    values = of(found, "effect")
    assert values["y", f"{ALL}/none", ""] == pytest.approx(14 / 24)
    assert not found["apart"].any()


def test_inside_is_the_mean_over_the_federations_of_a_client(found: pd.DataFrame) -> None:
    inside = found[found["quantity"] == "inside"].set_index(["client", "method"])
    for client in (*CLIENTS, MEAN):
        assert inside["value"][client].to_dict() == pytest.approx({"a": 11 / 12, "b": 8 / 12, "local": 5 / 12})
    assert (inside["low"] < inside["value"]).all()
    assert (inside["value"] < inside["high"]).all()


def test_what_adapting_did_is_told(found: pd.DataFrame) -> None:
    for quantity, value, less in (("entropy", 0.4, -0.5), ("one_class", 0.75, np.nan)):
        own = found[found["quantity"] == quantity]
        assert len(own) == 3 * 2 * 4, "three methods, two pairs each, three clients and their mean"
        np.testing.assert_allclose(own[["value", "difference"]].to_numpy(float), [[value, less]] * len(own))


def test_what_papers_report_stands_beside_the_score(comparison: Comparison, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here how many images are right; of an oracle, of the best model of each client."""
    monkeypatch.setattr(Classification, "published_as", "right")
    monkeypatch.setattr(Classification, "published", lambda self, counts: counts[..., HIT].sum())
    published = of(table(Family(comparison, "d", {"local"}), 10), "published")
    for name, right in RIGHT.items():
        pair, _, model = name.rpartition("/")
        if not model:
            assert [published[client, pair, ""] for client in (*CLIENTS, MEAN)] == [*right, sum(right) / 3]
    assert [published[key] for key in (("x", "a/each", "y"), ("y", "a/each", "z"), ("z", "a/each", "x"))] == [10, 6, 4]
    assert published[MEAN, "a/each", ""] == pytest.approx(20 / 3)
    # Where a client takes part, the mean over both federations in which it does.
    for method, right in INSIDE.items():
        assert [published[client, f"{method}/", ""] for client in (*CLIENTS, MEAN)] == [sum(right) / 2] * 4


def test_the_order_of_clients_changes_the_order_of_rows_alone(found: pd.DataFrame, tmp_path: Path) -> None:
    turned = table(Family(write(tmp_path, ("z", "x", "y")), "d", {"local"}), 200)
    keys = ["quantity", "client", "method", "adaptation", "model"]
    assert list(turned["client"].unique()) != list(found["client"].unique())
    pd.testing.assert_frame_equal(
        *(own.sort_values(keys, ignore_index=True) for own in (found, turned)), check_exact=False, rtol=1e-9
    )


def test_who_takes_part_nowhere_has_no_inside_and_one_outside_of_several_is_named_by_both(tmp_path: Path) -> None:
    held = write(tmp_path)
    manifests = {name: {**own, "clients": {"w": {}}} for name, own in held.manifests.items()}
    alone = replace(held, manifests=manifests)
    assert "inside" not in set(table(Family(alone, "d", {"local"}), 10)["quantity"])
    twice = {name: {**own, "outside": {**own["outside"], "v": {}}} for name, own in held.manifests.items()}
    assert list(Family(replace(held, manifests=twice), "d").sites)[:2] == ["x", "v (d_without_x)"]
