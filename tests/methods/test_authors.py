"""What authors publish or release, written out in NumPy, against the methods' files.

Each function reads like the algorithm in the paper, or like its authors' program where the paper leaves something
open. Nothing is shared with the engine but the images and the initial leaves, which are read from it.
"""

import numpy as np
import pytest
import torch

from benchmark.federation.costs import traffic
from benchmark.federation.engine import DRAWN, SUPPORT, Engine
from benchmark.method import Output
from tests.federation.small import method
from tests.methods.tiny import (
    CLASSES,
    COUNTS,
    EPOCHS,
    FEATURES,
    INPUTS,
    LANE,
    RANK,
    RATE,
    ROUNDS,
    SCALE,
    SITE,
    Momentum,
    Params,
    Twin,
    apart,
    engine,
    fresh,
    held,
    leaves,
    pixels,
    run,
)

CLOSE = 1e-12
A, B, OFFSET = f"global/{SITE}.A", f"global/{SITE}.B", f"offset/{SITE}"
ONE, HEAD = {"global": 1.0}, {"head": 1.0}
SHARES = {
    "samples": np.array(list(COUNTS.values())) / sum(COUNTS.values()),
    "uniform": np.full(len(COUNTS), 1 / len(COUNTS)),
}


def begun(ours: Engine) -> tuple[list[Twin], list[Params]]:
    """Both hospitals, and what they begin with."""
    state = ours.start([LANE])
    return [Twin(client) for client in ours.clients], [held(state, k) for k in range(len(ours.clients))]


def mean(clients: list[Params], name: str, shares: str = "samples") -> np.ndarray:
    """The mean of a leaf over clients."""
    return sum(w * p[name] for w, p in zip(SHARES[shares], clients, strict=True))


def average(clients: list[Params], names: list[str], shares: str = "samples") -> None:
    """All clients receive the mean of what they hold."""
    for name in names:
        common = mean(clients, name, shares)
        for p in clients:
            p[name] = common


def fedavg_epochs(twin: Twin, p: Params, names: list[str], epochs: int = EPOCHS) -> None:
    """Local training of one adapter and head; the optimiser is new."""
    sgd = Momentum()
    for _ in range(epochs):
        sgd.step(p, twin.gradients(p, ONE, HEAD), names)


def expect(ours: Engine, expected: list[Params], names: list[str]) -> None:
    """The engine's leaves after all rounds are these."""
    state = run(ours)
    for k, p in enumerate(expected):
        assert apart(held(state, k), {name: p[name] for name in names}) < CLOSE


# APFL: algorithm 1 and equation 10 of arXiv 2003.13461; `alpha_update` of MLOPTPSU/FedTorch, which the authors call the
# official implementation: once a round, at its first step, by plain SGD, with 0.02 alpha, clipped after the step.


def apfl(ours: Engine, pull: float = 0.02) -> list[Params]:
    """Three rounds."""
    twins, clients = begun(ours)
    for p in clients:  # v begins as w.
        for own, common in zip(leaves("personal", "personal_head"), leaves("global", "head"), strict=True):
            p[own] = p[common].copy()
    for _ in range(ROUNDS):
        for twin, p in zip(twins, clients, strict=True):
            a = float(p["alpha"])
            found = twin.gradients(p, *mixture(a))
            between = [
                SCALE * (p[f"personal/{SITE}.B"] @ p[f"personal/{SITE}.A"] - p[B] @ p[A]),
                p["personal_head/weight"] - p["head/weight"],
                p["personal_head/bias"] - p["head/bias"],
            ]
            slope = sum((d * found[name]).sum() for d, name in zip(between, ("W", "head", "bias"), strict=True))
            p["alpha"] = np.clip(a - RATE * (slope + pull * a), 0.0, 1.0)
            of_w, of_v = Momentum(), Momentum()
            for _ in range(EPOCHS):
                w, v = twin.gradients(p, ONE, HEAD), twin.gradients(p, *mixture(float(p["alpha"])))
                of_w.step(p, w, leaves("global", "head"))
                of_v.step(p, v, leaves("personal", "personal_head"))
        average(clients, leaves("global", "head"), "uniform")
    return clients


def mixture(a: float) -> tuple[dict[str, float], dict[str, float]]:
    """Of w and v: alpha v + (1 - alpha) w."""
    return {"global": 1 - a, "personal": a}, {"head": 1 - a, "personal_head": a}


def test_apfl_is_the_authors_algorithm() -> None:
    ours = engine(method("apfl"))
    expect(ours, apfl(ours), ["alpha", *leaves("global", "personal", "head", "personal_head")])


def test_an_alpha_of_apfl_that_reaches_a_bound_comes_back() -> None:
    """It is projected after the step, so that its gradient is that of the mixture it stands for."""
    ours = engine(method("apfl"))
    state = ours.start([LANE])
    state, _ = ours.round(state, [LANE])
    for bound in (-3.0, 4.0):
        beyond = {**state.params, "alpha": torch.full_like(state.params["alpha"], bound)}
        after = type(state)(1, beyond, state.memory)
        for round in range(2):
            after, _ = ours.round(after, [LANE])
            alpha = after.params["alpha"]
            assert ((alpha >= 0) & (alpha <= 1)).all(), round
        if bound > 1:  # At zero there may be no way back, nor at one where the gradient points beyond it.
            assert (alpha < 1).any()


# FLoRA: fed_utils/model_aggregation.py and main.py of ATP-1010/FederatedLLM: every client wraps the model in a new
# adapter of its own in every round; the server concatenates, weighted by images, and merges.


def test_flora_stacks_what_clients_drew_apart() -> None:
    ours = engine(method("flora"))
    twins, clients = begun(ours)
    assert np.abs(clients[0][A] - clients[1][A]).max() > 0.1, "every client draws its own A, in the first round too"
    for round in range(ROUNDS):
        for twin, p in zip(twins, clients, strict=True):
            fedavg_epochs(twin, p, leaves("global", "head"))
        shares = SHARES["samples"]
        stack_a = np.concatenate([w * p[A] for w, p in zip(shares, clients, strict=True)], axis=0)
        stack_b = np.concatenate([p[B] for p in clients], axis=1)
        assert np.linalg.matrix_rank(stack_b @ stack_a, tol=1e-6) == len(COUNTS) * RANK
        average(clients, leaves("head"))
        for k, p in enumerate(clients):
            p[OFFSET] = p[OFFSET] + stack_b @ stack_a
            p[A], p[B] = fresh(ours, round + 1, k)[A], np.zeros_like(p[B])
        assert np.abs(clients[0][A] - clients[1][A]).max() > 0.1
    expect(ours, clients, [A, B, OFFSET, *leaves("head")])


# FedRep: algorithm 1 of arXiv 2102.07078; main_fedrep.py and models/Update.py of the official code, lgcollins/FedRep
# (commit d82e6298), with the settings for CIFAR-10: ten epochs of the head and one of the representation by one
# optimiser; weights by `lens`, the clients' numbers of samples; after the last average ten epochs of every head.


@pytest.mark.parametrize("rests", [True, False])
def test_fedrep_is_the_authors_program_but_that_the_head_rests_under_the_representation(rests: bool) -> None:
    """As in algorithm 1, and with today's torch: a leaf without a gradient takes no step.

    In the torch that the program names, 0.4.1, `zero_grad` leaves gradients of zero, so that the head goes on by its
    momentum while the representation is trained. That is another result.
    """
    ours = engine(method("fedrep"))
    twins, clients = begun(ours)
    for _ in range(ROUNDS):
        for twin, p in zip(twins, clients, strict=True):
            sgd = Momentum()
            for epoch in range(10 + EPOCHS):
                sgd.step(p, twin.gradients(p, ONE, HEAD), leaves("head" if epoch < 10 else "global"))
                if epoch >= 10 and not rests:
                    sgd.step(p, {name: np.zeros_like(p[name]) for name in leaves("head")}, leaves("head"))
        average(clients, leaves("global"))
    for twin, p in zip(twins, clients, strict=True):
        fedavg_epochs(twin, p, leaves("head"), 10)
    names, state = leaves("global", "head"), run(ours)
    away = max(apart(held(state, k), {name: p[name] for name in names}) for k, p in enumerate(clients))
    assert away < CLOSE if rests else away > 1e-3


# FedEx-LoRA: aggregate_models_ours of the authors' fed_agg.py: means over clients, all alike.


def test_fedex_lora_averages_uniformly() -> None:
    ours = engine(method("fedex_lora"))
    twins, clients = begun(ours)
    for _ in range(ROUNDS):
        for twin, p in zip(twins, clients, strict=True):
            fedavg_epochs(twin, p, leaves("global", "head"))
        exact = sum(p[B] @ p[A] for p in clients) / len(clients)
        average(clients, leaves("global", "head"), "uniform")
        residue = exact - clients[0][B] @ clients[0][A]
        assert np.linalg.matrix_rank(residue, tol=1e-9) <= len(COUNTS) * RANK
        for p in clients:
            p[OFFSET] = p[OFFSET] + residue
    expect(ours, clients, [A, B, OFFSET, *leaves("head")])


def test_fedex_lora_sends_means_and_a_residue_whose_rank_is_that_of_all_clients() -> None:
    """Numbers of eight bytes: an adapter and a head up; down, these, and K r columns and rows of the residue."""
    ours = engine(method("fedex_lora"))
    pair, head = RANK * (INPUTS + FEATURES), CLASSES * (FEATURES + 1)
    found = traffic(ours.model, "shared", len(COUNTS), 1, torch.float64)
    assert list(found.up) == [8 * (pair + head)]
    assert list(found.down) == [8 * (pair + head + len(COUNTS) * pair)]


# Ditto: algorithm 1 of arXiv 2012.04221 and flearn/trainers_MTL/ditto.py: `simple_average` of the updates.


def test_ditto_averages_uniformly() -> None:
    ours = engine(method("ditto"))
    twins, clients = begun(ours)
    for p in clients:
        for own, common in zip(leaves("personal", "personal_head"), leaves("global", "head"), strict=True):
            p[own] = p[common].copy()
    for _ in range(ROUNDS):
        for twin, p in zip(twins, clients, strict=True):
            centre = {name: p[name].copy() for name in leaves("global", "head")}
            of_w, of_v = Momentum(), Momentum()
            for _ in range(EPOCHS):
                w = twin.gradients(p, ONE, HEAD)
                v = twin.gradients(p, {"personal": 1.0}, {"personal_head": 1.0})
                for own, common in zip(leaves("personal", "personal_head"), leaves("global", "head"), strict=True):
                    v[own] = v[own] + 1.0 * (p[own] - centre[common])
                of_w.step(p, w, leaves("global", "head"))
                of_v.step(p, v, leaves("personal", "personal_head"))
        average(clients, leaves("global", "head"), "uniform")
    expect(ours, clients, leaves("global", "personal", "head", "personal_head"))


# SCAFFOLD: algorithm 1 of arXiv 1910.06378, option II: x + eta_g / |S| sum (y_i - x), c + sum (c_i+ - c_i) / N.


def test_scaffold_averages_uniformly() -> None:
    ours = engine(method("scaffold"), momentum=0.0)
    twins, clients = begun(ours)
    names = leaves("global", "head")
    own = [{name: np.zeros_like(p[name]) for name in names} for p in clients]
    common = {name: np.zeros_like(clients[0][name]) for name in names}
    for _ in range(ROUNDS):
        new = []
        for k, (twin, p) in enumerate(zip(twins, clients, strict=True)):
            x = {name: p[name].copy() for name in names}
            for _ in range(EPOCHS):
                g = twin.gradients(p, ONE, HEAD)
                for name in names:
                    p[name] = p[name] - RATE * (g[name] - own[k][name] + common[name])
            new.append({n: own[k][n] - common[n] + (x[n] - p[n]) / (EPOCHS * RATE) for n in names})
        common = {n: common[n] + sum(new[k][n] - own[k][n] for k in range(len(own))) / len(own) for n in names}
        own = new
        average(clients, names, "uniform")
    expect(ours, clients, names)


# FedDPA: get_weight and set_local of the authors' GlobalModel_generated.py: five items are drawn for every input, the
# mean cosine similarity to them times the largest weight is the weight of the *global* adapter.


@pytest.mark.parametrize("name", ["feddpa_t", "feddpa_f"])
@pytest.mark.parametrize("weighting", ["paper", "code"])
def test_feddpas_weight_has_both_readings(name: str, weighting: str) -> None:
    ours = engine(method(name, weight=0.4, weighting=weighting))
    state = run(ours)
    hospital, p = ours.clients[1], held(state, 1)
    support = hospital.support(SUPPORT, torch.float64)
    drawn = hospital.drawn(len(hospital.validation), DRAWN, len(support))
    assert DRAWN == 5
    assert len({tuple(row) for row in drawn.tolist()}) > 1, "items are drawn anew for every image"
    twin = Twin(hospital)
    expected = []
    for image, items in zip(pixels(hospital.validation), drawn.numpy(), strict=True):
        twin.x = np.concatenate([support.flatten(1).numpy()[items], image[None]])
        features, _ = twin.forward(p, {"personal": 1.0}, HEAD)
        norms = np.linalg.norm(features, axis=1)
        s = 0.4 * float(np.mean(features[:-1] @ features[-1] / (norms[:-1] * norms[-1])))
        weights = {"global": s, "personal": 1 - s} if weighting == "code" else {"global": 1 - s, "personal": s}
        expected.append(twin.forward(p, weights, HEAD)[1][-1])
    found = ours.predictions(hospital, hospital.validation.images, ours.deployed(state)[1])
    assert np.abs(torch.cat([own for _, own in found], 1)[0].numpy() - np.array(expected)).max() < CLOSE


# FedOPAL-R: arXiv 2510.12741. Loss + lambda * the mean over layers and batch of |cos(z_g, z_p)|; z are the outputs of
# the two adapters. What it does at z = 0, where an adapter begins, is not printed: here each norm is at least `eps`.


def overlap(layers: list[tuple[np.ndarray, np.ndarray]], eps: float) -> float:
    """The penalty of the two adapters' outputs (n, tokens, out) of every layer."""
    found = []
    for common, own in layers:
        cosines = [
            abs(float(g @ p)) / (max(float(np.sqrt(g @ g)), eps) * max(float(np.sqrt(p @ p)), eps))
            for g, p in zip(common.reshape(-1, common.shape[-1]), own.reshape(-1, own.shape[-1]), strict=True)
        ]
        found.append(sum(cosines) / len(cosines))
    return sum(found) / len(found)


class Outputs:
    """A batch whose adapters' outputs are the leaves themselves, and whose loss is the sum of all."""

    def __call__(self, params: dict[str, torch.Tensor], mix: None = None, *, trace: bool = False) -> Output:
        adapters = {a: [z for name, z in params.items() if name.startswith(a)] for a in ("global", "personal")}
        everything = torch.cat([z.flatten() for z in params.values()])
        return Output(everything, everything, adapters if trace else {}, {})

    def task_loss(self, output: Output) -> torch.Tensor:
        return output.prediction.sum()


@pytest.mark.parametrize("size", [1.0, 1e-3], ids=["above the floor", "below it"])
def test_fedopal_r_penalises_the_cosine_of_outputs(size: float) -> None:
    """Three layers of other widths, four images, five tokens: the value, and by differences the gradient."""
    source, strength, eps, step = np.random.default_rng(0), 0.7, 1e-2, 1e-6
    ours = method("fedopal_r", strength=strength, eps=eps)
    shapes = {f"{a}/{k}": (4, 5, width) for a in ("global", "personal") for k, width in enumerate((2, 6, 3))}
    z = {name: size * source.normal(0, 1, shape) for name, shape in shapes.items()}

    def loss(z: dict[str, np.ndarray]) -> float:
        layers = [(z[f"global/{k}"], z[f"personal/{k}"]) for k in range(3)]
        return sum(float(own.sum()) for own in z.values()) + strength * overlap(layers, eps)

    params = {name: torch.from_numpy(own.copy()).requires_grad_() for name, own in z.items()}
    found = ours.loss(Outputs(), params, params, {})
    assert found.item() == pytest.approx(loss(z), rel=1e-12)
    gradients = torch.autograd.grad(found, list(params.values()))
    for (name, own), gradient in zip(z.items(), gradients, strict=True):
        for place in [tuple(source.integers(own.shape)) for _ in range(12)]:
            beside = []
            for sign in (1, -1):
                moved = {**z, name: own.copy()}
                moved[name][place] += sign * step * size
                beside.append(loss(moved))
            expected = (beside[0] - beside[1]) / (2 * step * size)
            assert float(gradient[place]) - 1 == pytest.approx(expected - 1, rel=1e-4, abs=1e-5 * strength), name


def overlap_gradient(twin: Twin, p: Params, strength: float, eps: float) -> Params:
    """Of lambda times the penalty on the tiny network: by the factors of both adapters, by hand."""
    held = {a: (p[f"{a}/{SITE}.A"], p[f"{a}/{SITE}.B"]) for a in ("global", "personal")}
    z = {a: SCALE * twin.x @ A_.T @ B_.T for a, (A_, B_) in held.items()}
    norm = {a: np.linalg.norm(own, axis=1, keepdims=True) for a, own in z.items()}
    floored = {a: np.maximum(own, eps) for a, own in norm.items()}
    product = (z["global"] * z["personal"]).sum(1, keepdims=True)
    found: Params = {}
    for a, other in (("global", "personal"), ("personal", "global")):
        A_, B_ = held[a]
        both = floored[a] * floored[other]
        away = np.where(norm[a] > eps, product / np.maximum(norm[a], eps) ** 2, 0.0)
        dz = strength / twin.size * np.sign(product) * (z[other] - away * z[a]) / both
        found[f"{a}/{SITE}.A"] = SCALE * B_.T @ dz.T @ twin.x
        found[f"{a}/{SITE}.B"] = SCALE * dz.T @ (twin.x @ A_.T)
    return found


def test_fedopal_r_trains_both_adapters_against_their_overlap() -> None:
    """From outputs of zero: head and global adapter are averaged by images, the personal one stays."""
    ours, strength, eps = engine(method("fedopal_r", strength=3.0, eps=0.3)), 3.0, 0.3
    twins, clients = begun(ours)
    names, both = leaves("global", "personal", "head"), {"global": 1.0, "personal": 1.0}
    sizes = []
    for _ in range(ROUNDS):
        for twin, p in zip(twins, clients, strict=True):
            sgd = Momentum()
            for _ in range(EPOCHS):
                g, own = twin.gradients(p, both, HEAD), overlap_gradient(twin, p, strength, eps)
                sgd.step(p, {name: g[name] + own.get(name, 0.0) for name in names}, names)
                sizes += list(np.linalg.norm(SCALE * twin.x @ p[A].T @ p[B].T, axis=1))
        average(clients, leaves("global", "head"))
    assert min(sizes) < eps < max(sizes), "on both sides of the floor"
    expect(ours, clients, names)


# IOP-FL: federated/client.py and fl_api.py of med-air/IOP-FL: T <- alpha T + (1 - alpha) w after a client's pass, over
# the whole state, weights on the server by training images. The first T is a copy of the first w, which the released
# code does not make: its T and the model that goes on training share their tensors at first.


@pytest.mark.parametrize("kept", [0.1, 0.7])
def test_iop_fl_predicts_with_the_running_mean_of_a_clients_own_models(kept: float) -> None:
    ours, names = engine(method("iop_fl", kept=kept)), leaves("global", "head")
    twins, clients = begun(ours)
    trajectories: list[Params] = [{} for _ in clients]
    for round in range(ROUNDS):
        for twin, p, T in zip(twins, clients, trajectories, strict=True):
            fedavg_epochs(twin, p, names)
            T.update({name: kept * T[name] + (1 - kept) * p[name] if round else p[name].copy() for name in names})
        average(clients, names)
    expect(ours, clients, names)
    for deployed, T in zip(ours.deployed(run(ours)), trajectories, strict=True):
        assert apart({name: leaf[0].numpy() for name, leaf in deployed.items()}, T) < CLOSE
