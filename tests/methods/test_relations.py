"""How methods relate: what one leaves of another where a setting vanishes, a client is alone, or averaging is exact."""

from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
import torch

from benchmark.federation.client import Lane
from benchmark.federation.engine import Engine, State
from benchmark.method import (
    Leaves,
    Pair,
    aggregation_error,
    belonging,
    mean_of_products,
    mean_over_clients,
    named,
    offset_name,
    pairs,
    stacked,
    truncated,
)
from tests.federation.small import TRAINING, apart, clients, engine, method, same, train

LANES = (Lane("1e-1", 0), Lane("2e-2", 1))
ROUNDING = 1e-12


def rounds(ours: Engine, count: int) -> State:
    state = ours.start(LANES)
    for _ in range(count):
        state, _ = ours.round(state, LANES)
    return state


def uniform(name: str) -> Engine:
    """The engine of a method, all clients weighing the same."""
    return replace(engine(method(name)), averaging="uniform")


def products(params: Leaves, k: int, adapter: str = "global") -> dict[str, torch.Tensor]:
    """What a client's adapter and offset add to every frozen weight, without the adapters' scale: (L, out, in)."""
    found = {}
    for site, (A, B) in pairs(params, adapter).items():
        offset = params[offset_name(site)][k] if offset_name(site) in params else 0.0
        found[site] = offset + B[k] @ A[k]
    return found


def test_fedprox_without_its_term_is_fedit() -> None:
    """Mu = 0 adds a gradient of zero."""
    found, expected = train(engine(method("fedprox", mu=0.0)), LANES, 2), train(engine(method("fedit")), LANES, 2)
    assert same(found.params, expected.params)


def test_a_strong_proximal_term_keeps_clients_at_the_start() -> None:
    """The larger mu, the shorter the way of a round, at a rate that does not swing past it."""
    ways = []
    for mu in (0.0, 1.0, 8.0):
        ours = engine(method("fedprox", mu=mu))
        before = ours.start(LANES)
        after, _ = ours.round(before, LANES)
        ways.append(sum(float(((after.params[n] - leaf)[:, 1] ** 2).sum()) for n, leaf in before.params.items()))
    assert ways[0] > ways[1] > ways[2]


def test_fedavg_ft_is_fedit_until_its_closing_pass() -> None:
    """Every client then starts from the same leaves, and ends with its own."""
    tuned, plain = engine(method("fedavg_ft")), engine(method("fedit"))
    assert same(rounds(tuned, 2).params, rounds(plain, 2).params)
    closed = tuned.close(rounds(tuned, 2), LANES)
    assert (closed.params["head/weight"][0] != closed.params["head/weight"][1]).any()


def test_scaffold_begins_as_fedit_and_its_controls_are_option_two() -> None:
    """Controls are zero in round 0, and averages uniform. Then c_i+ = c_i - c + (x - y_i) / (K eta), for plain SGD."""
    ours = engine(method("scaffold"))
    first = rounds(ours, 1)
    assert apart(first.params, rounds(uniform("fedit"), 1).params) < ROUNDING
    alone = [engine(method("scaffold"), [hospital]) for hospital in clients()]
    second, _ = ours.round(first, LANES)
    for k, (hospital, only) in enumerate(zip(clients(), alone, strict=True)):
        own = first.map(lambda tensor: tensor[k : k + 1])  # noqa: B023
        trained, _ = only.round(own, LANES)  # One client: the server returns what the client trained.
        steps = -(-len(hospital.training.targets) // TRAINING.batch_size)
        for lane, rate in enumerate(float(lane.rate) for lane in LANES):
            for name, leaf in trained.params.items():
                way = (first.params[name][k, lane] - leaf[0, lane]) / (steps * rate)
                control = first.memory[f"own/{name}"][k, lane] - first.memory[f"common/{name}"][k, lane] + way
                assert (second.memory[f"own/{name}"][k, lane] - control).abs().max() < 1e-10
    for name, control in belonging(second.memory, "own").items():
        assert (second.memory[f"common/{name}"] - control.mean(0)).abs().max() < ROUNDING


def test_ditto_without_its_term_is_fedit_beside_local_training() -> None:
    """With lambda = 0 neither model knows of the other."""
    found = rounds(engine(method("ditto", strength=0.0)), 2).params
    common, alone = rounds(uniform("fedit"), 2).params, rounds(engine(method("local")), 2).params
    for name, leaf in common.items():
        assert (found[name] - leaf).abs().max() < ROUNDING
    for name, leaf in alone.items():
        own = name.replace("global/", "personal/").replace("head/", "personal_head/")
        assert (found[own] - leaf).abs().max() < ROUNDING


def test_apfl_predicts_with_the_global_model_where_alpha_is_zero() -> None:
    """And with the personal one where it is one; alpha is learned, and stays between them in the mixture."""
    ours = engine(method("apfl"))
    state = rounds(ours, 2)
    assert (state.params["alpha"] != 0.5).all()
    for alpha, adapter, head in ((0.0, "global", "head"), (1.0, "personal", "personal_head"), (7.0, "personal", "")):
        mix = ours.model.method.mix({"alpha": torch.tensor(alpha)})
        kept = {name for name, weight in mix.items() if weight == 1}
        assert kept == {adapter, head or "personal_head"}


def test_exact_aggregation_is_exact() -> None:
    """After a round of FedEx-LoRA or FLoRA, what is added to a frozen weight is the mean of what clients added."""
    for name in ("fedex_lora", "flora"):
        ours = engine(method(name))
        begun = ours.start(LANES)
        parts = []
        for k, hospital in enumerate(clients()):
            own = {n: leaf[k : k + 1] for n, leaf in begun.params.items() if not n.startswith("offset/")}
            alone, _ = engine(method("local"), [hospital]).round(State(0, own, {}), LANES)
            parts.append(products(alone.params, 0))
        expected = {s: sum(w * p[s] for w, p in zip(ours.weights, parts, strict=True)) for s in parts[0]}
        found = rounds(ours, 1)
        for k in range(len(parts)):
            for site, product in products(found.params, k).items():
                assert (product - expected[site]).abs().max() < ROUNDING, (name, site)
    inexact = products(rounds(engine(method("fedit")), 1).params, 0)
    assert max(float((inexact[s] - expected[s]).abs().max()) for s in expected) > 1e-8


@pytest.mark.parametrize("name", ["fedex_lora", "flexlora"])
def test_one_client_loses_nothing(name: str) -> None:
    """The mean over one client is the client: no residual, and an SVD of rank r keeps a product of rank r."""
    alone = clients()[:1]
    found, expected = (products(rounds(engine(method(n), alone), 1).params, 0) for n in (name, "local"))
    for site, product in expected.items():
        assert (found[site] - product).abs().max() < ROUNDING


def test_rolora_trains_b_then_a() -> None:
    """And averages are exact: the fixed factor is equal on all clients."""
    ours = engine(method("rolora"))
    start = ours.start(LANES)
    first, _ = ours.round(start, LANES)
    second, _ = ours.round(first, LANES)
    for name, leaf in ours.model.leaves.items():
        if leaf.role == "lora":
            moved = [(a.params[name] != b.params[name]).any() for a, b in ((start, first), (first, second))]
            assert moved == ([False, True] if leaf.factor == "A" else [True, False]), name


def test_truncation_is_the_best_of_its_rank() -> None:
    """Against NumPy's decomposition of the dense product; a product that is not finite is NaN, and raises nothing."""
    source = torch.Generator().manual_seed(0)
    A, B = (torch.randn(shape, generator=source, dtype=torch.float64) for shape in ((6, 9), (7, 6)))
    found = truncated(Pair(A, B), 3)
    U, S, Vt = np.linalg.svd((B @ A).numpy())
    best = U[:, :3] * S[:3] @ Vt[:3]
    assert found.A.shape == (3, 9)
    assert np.abs(found.product.numpy() - best).max() < 1e-12
    assert (found.A @ found.A.T - torch.eye(3)).abs().max() < 1e-12
    other = truncated(Pair(A, B), 3, "A")
    assert (other.B.T @ other.B - torch.eye(3)).abs().max() < 1e-12
    assert (other.product - found.product).abs().max() < 1e-12
    assert (other.B.abs().amax(0) == other.B.amax(0)).all()
    assert (found.B.norm(dim=0) - other.A.norm(dim=1)).abs().max() < 1e-12
    wide = truncated(Pair(A, B), 9, "A")
    assert wide.A.shape == (9, 9)
    assert wide.B.shape == (7, 9)
    assert (wide.product - B @ A).abs().max() < 1e-12
    lost = torch.vmap(lambda a, b: truncated(Pair(a, b), 3))(
        torch.stack([A, A]), torch.stack([B, B.new_full(B.shape, torch.inf)])
    )
    assert torch.equal(lost.A[0], torch.vmap(lambda a, b: truncated(Pair(a, b), 3).A)(A[None], B[None])[0])
    assert lost.A[1].isnan().all()
    assert lost.B[1].isnan().all()


def adapters(clients: int, *, equal_a: bool = False, equal_b: bool = False) -> dict[str, torch.Tensor]:
    """Drawn adapters (K, ...) of rank 2 at two sites."""
    source = torch.Generator().manual_seed(clients)
    held = {}
    for site, (out, into) in {"0.q": (7, 9), "1.v": (6, 5)}.items():
        A, B = (torch.randn(clients, *s, generator=source, dtype=torch.float64) for s in ((2, into), (out, 2)))
        held[site] = Pair(A[:1].expand_as(A) if equal_a else A, B[:1].expand_as(B) if equal_b else B)
    return named(held, "global")


def dense(leaves: Leaves, weights: torch.Tensor) -> dict[str, np.ndarray]:
    """The mean of the clients' products, site by site, by a loop."""
    return {
        site: sum(float(w) * b @ a for w, a, b in zip(weights, A.numpy(), B.numpy(), strict=True))
        for site, (A, B) in pairs(leaves, "global").items()
    }


def test_the_error_of_averaging_is_eckart_youngs() -> None:
    """Of products, cut to rank 2: the root of the squares of all later singular values; of factors, by hand."""
    sent, weights = adapters(3), torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64)
    wanted = dense(sent, weights)
    spectra = [np.linalg.svd(product, compute_uv=False) for product in wanted.values()]
    expected = np.sqrt(sum((s[2:] ** 2).sum() for s in spectra) / sum((s**2).sum() for s in spectra))
    assert 0.1 < expected < 1
    found = aggregation_error(sent, weights, mean_of_products(sent, weights))
    assert float(found) == pytest.approx(expected, abs=1e-13)
    factors = mean_over_clients(sent, weights)
    off = sum(
        ((pair.B @ pair.A).numpy() - wanted[s]) ** 2 @ np.ones(wanted[s].shape[1]) @ np.ones(len(wanted[s]))
        for s, pair in pairs(factors, "global").items()
    )
    whole = sum((product**2).sum() for product in wanted.values())
    assert float(aggregation_error(sent, weights, factors)) == pytest.approx(np.sqrt(off / whole), abs=1e-13)
    assert float(aggregation_error(sent, weights, factors)) > expected


def test_the_error_of_averaging_is_zero_where_it_must_be() -> None:
    """One client; equal clients; equal A, as where it is frozen; one client that has all the weight; B at zero."""
    third = torch.full((3,), 1 / 3, dtype=torch.float64)
    alone, one = torch.ones(1, dtype=torch.float64), torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64)
    equal, frozen = adapters(3, equal_a=True, equal_b=True), adapters(3, equal_a=True)
    begun = {name: leaf * (0 if name.endswith("B") else 1) for name, leaf in adapters(3).items()}
    assert any((leaf == 0).all() for leaf in begun.values())
    for sent, weights in ((adapters(1), alone), (equal, third), (frozen, third), (adapters(3), one), (begun, third)):
        assert float(aggregation_error(sent, weights, mean_of_products(sent, weights))) < 1e-13
    assert float(aggregation_error(frozen, third, mean_over_clients(frozen, third))) < 1e-13
    lost = {name: torch.full_like(leaf, torch.nan) for name, leaf in frozen.items()}
    assert aggregation_error(lost, third, mean_of_products(lost, third)).isnan()


@pytest.mark.parametrize("scaled", ["A", "B"])
def test_products_do_not_depend_on_how_clients_factor_them(scaled: Literal["A", "B"]) -> None:
    """Any client may hold B M and M^-1 A for an invertible M: the server's adapter stays the same."""
    sent, weights = adapters(3), torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64)
    source = torch.Generator().manual_seed(5)
    M = torch.randn(3, 2, 2, generator=source, dtype=torch.float64) + 3 * torch.eye(2, dtype=torch.float64)
    turned = named({s: Pair(torch.linalg.solve(M, A), B @ M) for s, (A, B) in pairs(sent, "global").items()}, "global")
    found, other = (mean_of_products(own, weights, scaled) for own in (sent, turned))
    for name, leaf in found.items():
        assert (leaf - other[name]).abs().max() < 1e-12, name


def test_averages_are_decomposed_as_published() -> None:
    """FLAP-SAM's code takes B = U and A = S V^T of the mean product, FlexLoRA B = U S and A = V^T."""
    sent, weights = adapters(3), torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64)
    unit = {"flap_sam": "B", "sam_lora": "B", "sam_lora_decoder": "B", "flexlora": "A"}
    for name, factor in unit.items():
        received = method(name).server(sent, sent, weights)
        for A, B in pairs(received, "global").values():
            gram = B.T @ B if factor == "B" else A @ A.T
            assert (gram - torch.eye(2)).abs().max() < 1e-12, name


def test_a_stack_is_the_weighted_sum_of_products() -> None:
    """sum_k w_k B_k A_k, by a loop."""
    source = torch.Generator().manual_seed(0)
    A, B = (torch.randn(shape, generator=source, dtype=torch.float64) for shape in ((3, 2, 5), (3, 4, 2)))
    weights = torch.tensor([0.5, 0.2, 0.3], dtype=torch.float64)
    (pair,) = stacked({"global/site.A": A, "global/site.B": B}, weights).values()
    assert pair.A.shape == (6, 5)
    assert (pair.product - sum(w * b @ a for w, a, b in zip(weights, A, B, strict=True))).abs().max() < 1e-14
