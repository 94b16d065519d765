"""The overlap of two adapters: closed forms, and plain products as the oracle."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from benchmark.evaluation import overlap

RANK, INTO, OUT = 3, 16, 10
BOUNDED = ("cosine", "product", "subspace")

Factors = tuple[np.ndarray, np.ndarray]


def drawn(seed: int, rank: int = RANK) -> Factors:
    draw = np.random.default_rng(seed)
    return draw.normal(size=(rank, INTO)), draw.normal(size=(OUT, rank))


def values(one: Factors, other: Factors) -> dict[str, float]:
    return {name: value for name, (value, _) in overlap.measures(one, other).items()}


def test_equal_adapters_overlap_fully() -> None:
    """One row, since the rows of one adapter are not parallel to each other."""
    pair = drawn(0, rank=1)
    found = values(pair, pair)
    assert [found[name] for name in BOUNDED] == pytest.approx([1, 1, 1])
    assert found["penalty"] == pytest.approx(float(pair[0][0] @ pair[0][0]))


def test_of_equal_adapters_of_a_higher_rank_the_products_overlap_fully() -> None:
    found = values(drawn(0), drawn(0))
    assert (found["product"], found["subspace"]) == pytest.approx((1, 1))
    assert found["cosine"] < 1


def test_orthogonal_adapters_do_not_overlap() -> None:
    """A and B of disjoint unit vectors."""
    into, out = np.eye(INTO), np.eye(OUT)
    one, other = (into[:RANK], out[:, :RANK]), (into[RANK : 2 * RANK], out[:, RANK : 2 * RANK])
    assert values(one, other) == dict.fromkeys(overlap.MEASURES, 0.0)


def test_the_measures_are_those_of_the_plain_products() -> None:
    (A, B), (A2, B2) = drawn(0), drawn(1)
    found, one, other = values((A, B), (A2, B2)), B @ A, B2 @ A2
    cosines = [abs(x @ y) / np.linalg.norm(x) / np.linalg.norm(y) for x in A for y in A2]
    assert found["cosine"] == pytest.approx(np.mean(cosines))
    assert found["penalty"] == pytest.approx(np.abs(A @ A2.T).sum())
    assert found["product"] == pytest.approx(abs((one * other).sum()) / np.linalg.norm(one) / np.linalg.norm(other))
    U, U2 = (np.linalg.svd(product)[0][:, :RANK] for product in (one, other))
    assert found["subspace"] == pytest.approx((np.linalg.svd(U.T @ U2)[1] ** 2).mean())


def test_scale_and_factorisation_change_the_penalty_alone() -> None:
    """B M and M^-1 A are the same product; a scaled A reads the same directions."""
    (A, B), other = drawn(0), drawn(1)
    before, scaled = values((A, B), other), values((-5 * A, 2 * B), other)
    assert [scaled[name] for name in BOUNDED] == pytest.approx([before[name] for name in BOUNDED])
    assert scaled["penalty"] == pytest.approx(5 * before["penalty"])
    mixing = np.random.default_rng(2).normal(size=(RANK, RANK))
    mixed = values((np.linalg.inv(mixing) @ A, B @ mixing), other)
    assert mixed["product"] == pytest.approx(before["product"])
    assert mixed["subspace"] == pytest.approx(before["subspace"])


def test_columns_inside_a_larger_space_overlap_fully() -> None:
    """The smaller rank counts."""
    A, B = drawn(0)
    assert values((A, B), (A[:1], B[:, :1]))["subspace"] == pytest.approx(1)


@pytest.mark.parametrize("broken", [0.0, math.nan])
def test_a_zero_or_diverged_adapter_has_no_direction(broken: float) -> None:
    A, B = drawn(0)
    found = values((A, broken * B), drawn(1))
    assert math.isnan(found["product"])
    assert math.isnan(found["subspace"])
    assert found["cosine"] == values((A, B), drawn(1))["cosine"]


def test_random_is_what_random_directions_give() -> None:
    """Means over 2000 draws; the product's is a root mean square. Standard errors are about 1 to 2 %."""
    draws = [overlap.measures(drawn(2 * i), drawn(2 * i + 1)) for i in range(2000)]
    found = {name: np.array([draw[name] for draw in draws]) for name in overlap.MEASURES}
    for name in ("cosine", "penalty", "subspace"):
        assert found[name][:, 0].mean() == pytest.approx(found[name][:, 1].mean(), rel=0.03)
    assert np.sqrt((found["product"][:, 0] ** 2).mean()) == pytest.approx(1 / math.sqrt(INTO * OUT), rel=0.05)


def test_the_expected_cosine_in_a_plane_and_in_many_dimensions() -> None:
    """In the plane the mean of |cos| over the angle is 2/pi; far from it the law is nearly Gaussian."""
    assert overlap.random_cosine(2) == pytest.approx(2 / math.pi)
    assert overlap.random_cosine(768) == pytest.approx(math.sqrt(2 / (math.pi * 768)), rel=1e-3)


def state(folder: Path, *adapters: str) -> Path:
    """A run of two clients, two layers; the personal adapter of client `b` equals the global one."""
    folder.mkdir()
    leaves = {"head/weight": np.zeros((2, 4), "f4")}
    for adapter in adapters:
        for place, site in enumerate(["blocks.10.attn.q", "blocks.2.attn.q"]):
            pairs = [drawn(place, 1), drawn(place, 1) if adapter == "global" else drawn(place + 9, 1)]
            pairs = pairs if adapter == "global" else pairs[::-1]
            for factor, tensors in zip("AB", zip(*pairs, strict=True), strict=True):
                leaves[f"{adapter}/{site}.{factor}"] = np.stack(tensors).astype("f4")
    save_file(leaves, folder / "state.safetensors", {"clients": json.dumps(["a", "b"])})
    return folder


def test_every_seed_client_and_layer_is_measured(tmp_path: Path) -> None:
    table = overlap.of_runs({seed: state(tmp_path / str(seed), "global", "personal") for seed in (0, 1)})
    assert list(table.columns) == overlap.COLUMNS
    assert len(table) == 2 * 2 * 2 * len(overlap.MEASURES)
    assert list(table["layer"].unique()) == ["blocks.2.attn.q", "blocks.10.attn.q"]
    products = table[table["measure"] == "product"].groupby("client")["value"]
    assert products.min()["b"] == pytest.approx(1)
    assert products.max()["a"] < 0.9


def test_a_method_with_one_adapter_has_no_rows(tmp_path: Path) -> None:
    table = overlap.of_runs({0: state(tmp_path / "0", "global")})
    assert list(table.columns) == overlap.COLUMNS
    assert table.empty
