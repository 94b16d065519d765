"""What the papers say of single methods, and how methods relate to each other."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from benchmark.federation.client import Lane
from benchmark.federation.engine import Engine, State
from benchmark.federation.model import Images
from benchmark.method import similarity
from benchmark.settings import LoraSettings
from tests.federation.small import TRAINING, apart, clients, engine, method, predictions, same, train

LANES = (Lane("1e-1", 0), Lane("2e-2", 1))


@pytest.mark.parametrize(("name", "bound"), [("fedopal_w", 0.0), ("fedopal_r", 1e-12)])
def test_fedopal_without_strength_is_fedpal(name: str, bound: float) -> None:
    """FedPAL is FedOPAL with lambda = 0: the penalty's gradient, times zero, adds zero, and is never NaN.

    To the bit, but for the rounding of a traced last block, which computes all tokens.
    """
    penalised, plain = engine(method(name, strength=0.0)), engine(method("fedpal"))
    found, expected = train(penalised, LANES, 2), train(plain, LANES, 2)
    assert apart(found.params, expected.params) <= bound
    for left, right in zip(predictions(penalised, found), predictions(plain, expected), strict=True):
        assert (left - right).abs().max() <= 10 * bound


@pytest.mark.parametrize("name", ["fedopal_w", "fedopal_r"])
def test_fedopal_reduces_what_it_penalises(name: str) -> None:
    """Two rounds with the penalty leave adapters that overlap less than two rounds without."""
    overlap = {}
    for strength in (0.0, 0.5):
        ours = engine(method(name, strength=strength))
        params = {leaf: value[0, 0] for leaf, value in train(ours, LANES, 2).params.items()}
        batch = _batch(ours)
        penalised = type(ours.model.method)(strength=1.0)
        overlap[strength] = float(penalised.loss(batch, params, params, {}) - batch.task_loss(batch(params)))
    assert overlap[0.5] < 0.95 * overlap[0.0]


def test_fedopal_w_penalises_the_rows_of_both_a() -> None:
    """By hand: sum (or mean) of the absolute r x r products A_g A_p^T, then the mean over layers."""
    for entries, scale in (("sum", 1.0), ("mean", 1 / 4**2)):
        ours = engine(method("fedopal_w", strength=2.0, entries=entries))
        params = _random_leaves(ours.start(LANES))
        batch = _batch(ours)
        total, layers = 0.0, 0
        for leaf, A in params.items():
            if leaf.startswith("global/") and leaf.endswith(".A"):
                own = params[leaf.replace("global/", "personal/")]
                total += sum(abs(float(torch.dot(a, b))) for a in A for b in own)
                layers += 1
        assert layers == 4
        penalty = ours.model.method.loss(batch, params, params, {}) - batch.task_loss(batch(params))
        assert float(penalty) == pytest.approx(2.0 * scale * total / layers, rel=1e-10)


@pytest.mark.parametrize("size", [1.0, 1e-3, 1e-5])
def test_fedopal_r_has_the_gradient_of_its_loss(size: float) -> None:
    """The gradient is that of the stated loss, also where outputs are shorter than the floor of their norms.

    The slope along a random direction, by the central difference, against the gradient's part in that direction.
    """
    ours = engine(method("fedopal_r", strength=1.0, eps=1e-2))
    params = _random_leaves(ours.start(LANES))
    params = {leaf: size * value if leaf.endswith(".B") else value for leaf, value in params.items()}
    names = [leaf for leaf in params if leaf.endswith(".B")]
    batch = _batch(ours)

    def penalty(values: dict[str, Tensor]) -> Tensor:
        return ours.model.method.loss(batch, values, values, {}) - batch.task_loss(batch(values))

    free = {leaf: value.clone().requires_grad_(leaf in names) for leaf, value in params.items()}
    gradient = torch.autograd.grad(penalty(free), [free[leaf] for leaf in names])
    source = torch.Generator().manual_seed(1)
    towards = {leaf: torch.randn(params[leaf].shape, generator=source, dtype=torch.float64) for leaf in names}
    step = 1e-6 * size
    ahead, behind = (
        float(penalty({leaf: value + sign * step * towards.get(leaf, 0) for leaf, value in params.items()}))
        for sign in (1, -1)
    )
    slope = sum(float((part * towards[leaf]).sum()) for leaf, part in zip(names, gradient, strict=True))
    assert slope == pytest.approx((ahead - behind) / (2 * step), rel=1e-3)


def test_fedopal_r_starts_without_a_penalty() -> None:
    """At the start both outputs are zero; their cosine is taken as zero, and its gradient is finite."""
    ours = engine(method("fedopal_r", strength=5.0))
    params = {leaf: value[0, 0].clone().requires_grad_() for leaf, value in ours.start(LANES).params.items()}
    batch = _batch(ours)
    loss = ours.model.method.loss(batch, params, params, {})
    assert loss.item() == pytest.approx(batch.task_loss(batch(params)).item(), rel=1e-14)  # A trace rounds otherwise.
    for gradient in torch.autograd.grad(loss, list(params.values())):
        assert torch.isfinite(gradient).all()


def test_fedit_of_one_client_is_local_training() -> None:
    """The mean over one client is the client (heads: both stay, as the control defines it)."""
    alone = clients()[:1]
    found = train(engine(method("fedit"), alone, head="personal"), LANES, 2)
    shared_head = train(engine(method("fedit"), alone, head="shared"), LANES, 2)
    expected = train(engine(method("local"), alone), LANES, 2)
    assert apart(found.params, expected.params) < 1e-12
    assert apart(shared_head.params, expected.params) < 1e-12


def test_pooled_of_one_client_called_pooled_is_local_training() -> None:
    """Pooling one client's images changes nothing but the name that keys its draws."""
    (only,) = clients()[:1]
    only = type(only)("pooled", only.training, only.validation)
    found, expected = (train(engine(method(name), [only]), LANES, 2) for name in ("pooled", "local"))
    assert same(found.params, expected.params)


@pytest.mark.parametrize(("name", "exact"), [("ffa_lora", True), ("fedit", False)])
def test_the_average_of_ffa_lora_is_exact_and_that_of_fedit_is_not(name: str, exact: bool) -> None:
    """With one A for all, mean_k(B_k A) = mean_k(B_k) A; averages of A and B apart miss the mean of B_k A_k."""
    hospitals = clients()
    sizes = torch.tensor([len(own.training.targets) for own in hospitals], dtype=torch.float64)
    ours = engine(method(name), hospitals)
    begin = train(ours, LANES, 1)
    together, _ = ours.round(begin, LANES)
    alone = []
    for k in range(len(hospitals)):
        start = State(begin.round, {leaf: value[k : k + 1] for leaf, value in begin.params.items()}, {})
        alone.append(engine(method(name), hospitals[k : k + 1]).round(start, LANES)[0].params)
    distances = []
    for site in ours.model.network.sites:
        A, B = f"global/{site}.A", f"global/{site}.B"
        sent = sum(n / sizes.sum() * own[B][0] @ own[A][0] for n, own in zip(sizes, alone, strict=True))
        received = together.params[B][0] @ together.params[A][0]
        distances.append(float((sent - received).abs().max() / sent.abs().max()))
    assert max(distances) < 1e-12 if exact else max(distances) > 1e-6


def test_ffa_lora_never_changes_a() -> None:
    """A is its common random start, on all clients, to the end."""
    ours = engine(method("ffa_lora"))
    before, after = ours.start(LANES).params, train(ours, LANES, 2).params
    for leaf in before:
        assert torch.equal(before[leaf], after[leaf]) == leaf.endswith(".A"), leaf


def test_fedsa_lora_shares_a_and_keeps_b_and_head() -> None:
    """After a round A is equal on all clients; B and the classifier are not, whatever the configuration says."""
    params = train(engine(method("fedsa_lora"), head="shared"), LANES, 1).params
    for leaf, value in params.items():
        first, second, third = value
        equal = torch.equal(first, second) and torch.equal(first, third)
        assert equal == leaf.endswith(".A"), leaf


def test_local_clients_share_nothing() -> None:
    """What a hospital learns alone does not depend on who else is there."""
    hospitals = clients()
    together = train(engine(method("local"), hospitals), LANES, 2).params
    for k in range(len(hospitals)):
        alone = train(engine(method("local"), hospitals[k : k + 1]), LANES, 2).params
        assert same(alone, {leaf: value[k : k + 1] for leaf, value in together.items()})


def test_feddpa_t_trains_its_personal_adapter_from_the_second_round_on() -> None:
    """As in the released code, round 0 trains the global adapter only."""
    ours = engine(method("feddpa_t"))
    begin = ours.start(LANES)
    first, _ = ours.round(begin, LANES)
    second, _ = ours.round(first, LANES)
    for leaf in begin.params:
        if leaf.startswith("personal/"):
            assert torch.equal(begin.params[leaf], first.params[leaf])
            assert not torch.equal(first.params[leaf], second.params[leaf])


def test_the_personal_adapter_of_feddpa_t_leaves_the_global_one_alone() -> None:
    """Global adapter and head are FedIT's: trained with the personal adapter switched off.

    The keys of the order of images name the pass, so they agree in the first round, which has one pass in both.
    """
    dual, single = (train(engine(method(name)), LANES, 1).params for name in ("feddpa_t", "fedit"))
    assert apart({leaf: dual[leaf] for leaf in single}, single) < 1e-12


def test_feddpa_f_is_fedit_and_then_starts_from_its_adapter() -> None:
    """The federation is FedIT's; closing changes personal leaves alone, and without epochs they are the copy."""
    ours = engine(method("feddpa_f", epochs=0))
    state = ours.start(LANES)
    for _ in range(2):
        state, _ = ours.round(state, LANES)
    single = train(engine(method("fedit")), LANES, 2).params
    assert apart({leaf: state.params[leaf] for leaf in single}, single) < 1e-12
    closed = engine(method("feddpa_f")).close(state, LANES).params
    for leaf, value in closed.items():
        if not leaf.startswith("personal/"):
            assert torch.equal(value, state.params[leaf])
        else:
            assert not torch.equal(value, state.params[leaf.replace("personal/", "global/")])


@pytest.mark.parametrize("name", ["feddpa_t", "feddpa_f"])
def test_feddpa_without_similarity_has_the_weights_of_its_training(name: str) -> None:
    """With similarity: tests/methods/test_authors.py."""
    ours = engine(method(name, weight=0.4, instance_wise=False))
    params, batch = _random_leaves(ours.start(LANES)), _batch(ours)
    expected = batch(params, {"global": 0.6, "personal": 0.4}).prediction
    assert torch.equal(ours.model.method.predict(batch, batch, params), expected)


def test_similarity_of_an_image_to_itself_is_one() -> None:
    """Cosine: one with itself, and never beyond."""
    ours = engine(method("feddpa_t"))
    params = _random_leaves(ours.start(LANES))
    batch = _batch(ours)
    one = Images(ours.model, batch.images[:1], None, {})
    chosen = torch.zeros(len(batch.images), 1, dtype=torch.int64)
    found = similarity(replace(batch, chosen=chosen), one, params, {"personal": 1.0})
    assert found.shape == (len(batch.images),)
    assert float(found[0]) == pytest.approx(1, abs=1e-12)
    assert (found <= 1 + 1e-12).all()


def test_fedpal_of_equal_adapters_is_one_adapter_of_twice_the_scale() -> None:
    """W0 x + B_g A_g x + B_p A_p x with equal pairs is W0 x + 2 B A x."""
    dual = engine(method("fedpal"), lora=LoraSettings(rank=4, alpha=8.0))
    single = engine(method("fedit"), lora=LoraSettings(rank=4, alpha=16.0))
    params = _random_leaves(single.start(LANES))
    both = params | {leaf.replace("global/", "personal/"): value for leaf, value in params.items()}
    assert (_batch(dual)(both).prediction - _batch(single)(params).prediction).abs().max() < 1e-12


def _batch(ours: Engine) -> Images:
    """Some training images of the first client, with the mix of the method."""
    hospital, count = ours.clients[0], TRAINING.batch_size
    images = hospital.training.images[:count].permute(0, 3, 1, 2).to(torch.float64) / 255
    return Images(ours.model, images, hospital.training.targets[:count], None)


def _random_leaves(state: State) -> dict[str, Tensor]:
    """One client's leaves in one lane, every B as large as every A."""
    source = torch.Generator().manual_seed(3)
    return {
        leaf: 0.2 * torch.randn(value.shape[2:], generator=source, dtype=value.dtype)
        for leaf, value in state.params.items()
    }
