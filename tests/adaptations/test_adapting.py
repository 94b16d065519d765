"""Mixtures of experts against what they stand for, and what adapting to images moves."""

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmark.adaptation import COMMON, Adaptation, entropy
from benchmark.adaptations import adaptation_file, discovered
from benchmark.config import ConfigError
from benchmark.contract.adaptation import RULES, Serving
from benchmark.contract.rules import Outcome, outcomes
from benchmark.federation.adapting import OUTSIDE, Bank, DivergedError, Mixture, mixed, served, side_by_side
from benchmark.federation.client import ClientData
from benchmark.federation.engine import Engine
from benchmark.federation.methods import made
from benchmark.method import Method
from tests.federation.small import BRIEF, CLASSES, LANES, METHODS, ROOT, clients, engine, method, train
from tests.methods import tiny
from tests.methods.test_masks import unet

CLOSE = 1e-12
BUILDS: dict[str, Any] = {"lora": engine, "unet": unet}


def build(network: str, of: Method, own: Sequence[ClientData] | None = None) -> Engine:
    return BUILDS[network](of, own)


def adaptation(name: str, **settings: float) -> Adaptation:
    return made(ROOT / adaptation_file(name), Adaptation, "adaptation", settings)


def predicted(mixture: Mixture, images: Any) -> Tensor:
    return torch.cat([own for _, own in mixture.predictions(images)])


@pytest.mark.parametrize("network", BUILDS)
@pytest.mark.parametrize("name", sorted(discovered()))
def test_an_adaptation_keeps_the_contract(network: str, name: str) -> None:
    serving = Serving(ROOT / adaptation_file(name), {}, BUILDS[network], "iop_fl")
    assert [found for found in outcomes(serving, RULES) if found.word not in ("ok", "skipped")] == []


@pytest.mark.parametrize(
    ("network", "name"),
    [("lora", "fedit"), ("lora", "fedpal"), ("lora", "apfl"), ("lora", "flora"), ("unet", "iop_fl"), ("unet", "ditto")],
)
def test_an_expert_alone_predicts_as_its_client_does(network: str, name: str) -> None:
    """Whatever adapters, heads and offsets it has, and whatever their mix; after its last round.

    The released code of IOP-FL picks each client's expert by hand, from rounds 50 to 99 of 500.
    """
    ours = build(network, method(name))
    state = train(ours, LANES[:1], 2)
    bank, images = Bank.of(ours, state), ours.clients[1].validation.images
    for client, own in zip(ours.clients, ours.deployed(state), strict=True):
        expected = torch.cat([part for _, part in ours.predictions(client, images, own)], 1)[0]
        found = predicted(Mixture.of(ours.model, bank, {client.name: 1.0}), images)
        assert float((found - expected).abs().max()) < CLOSE


@pytest.mark.parametrize("name", METHODS)
def test_every_method_serves_a_hospital_outside(name: str) -> None:
    """With its common model as it is, and with the mean of its experts: a prediction of every image, all finite.

    What `none` serves is what the network says with the common leaves; but for what a method does image by image.
    """
    *inside, outside = clients()
    ours = engine(method(name, **BRIEF.get(name, {})), inside)
    bank, images = Bank.of(ours, train(ours, LANES[:1], 1)), outside.validation.images
    assert list(bank.experts) == [*(own.name for own in inside), COMMON]
    found: dict[str, Tensor] = {}
    for way in ("none", "mean"):
        ((_, chunks),) = served(adaptation(way), ours.model, bank, images, 0)
        found[way] = torch.cat([own for _, own in chunks])
        assert found[way].shape == (len(images), len(CLASSES))
        assert found[way].isfinite().all()
    if type(ours.model.method).predict is Method.predict:
        common = {leaf: own[None] for leaf, own in bank.experts[COMMON].items()}
        expected = torch.cat([own for _, own in ours.predictions(inside[0], images, common)], 1)[0]
        assert float((found["none"] - expected).abs().max()) < CLOSE


def test_the_common_model_is_what_all_hold_or_the_mean_of_what_they_keep() -> None:
    ours = engine(method("fedper"))
    state = train(ours, LANES[:2], 2)
    found = Bank.of(ours, state, lane=1).experts[COMMON]
    for name, leaf in state.params.items():
        if name.startswith("head/"):
            expected = sum(float(w) * leaf[k, 1] for k, w in enumerate(ours.weights))
            assert float((found[name] - expected).abs().max()) < CLOSE
            assert not torch.equal(leaf[0], leaf[1])
        else:
            assert torch.equal(found[name], leaf[0, 1])


def test_a_mixture_of_adapters_is_that_of_kernels() -> None:
    """W0 + scale sum_e w_e B_e A_e, written out in NumPy; the head's predictions are mixed with the same weights."""
    ours = tiny.engine(method("iop_fl"))
    state = tiny.run(ours)
    bank, images, weights = Bank.of(ours, state), ours.clients[0].validation.images, (0.5, 0.2, 0.3)
    found = predicted(Mixture.of(ours.model, bank, dict(zip(bank.experts, weights, strict=True))), images)
    experts = [{name: leaf.numpy() for name, leaf in own.items()} for own in bank.experts.values()]
    W = tiny.W0 + tiny.SCALE * sum(
        w * e["global/layer.B"] @ e["global/layer.A"] for w, e in zip(weights, experts, strict=True)
    )
    features = tiny.pixels(ours.clients[0].validation) @ W.T
    head, bias = (sum(w * e[f"head/{n}"] for w, e in zip(weights, experts, strict=True)) for n in ("weight", "bias"))
    assert np.abs(found.numpy() - (features @ head.T + bias)).max() < CLOSE
    factors = sum(w * e["global/layer.B"] for w, e in zip(weights, experts, strict=True)) @ sum(
        w * e["global/layer.A"] for w, e in zip(weights, experts, strict=True)
    )
    assert np.abs(W - tiny.W0 - tiny.SCALE * factors).max() > 1e-6, "the mean of factors is another model"


def test_the_mean_of_unets_is_the_unet_of_means() -> None:
    """Weights and running statistics alike, of the clients' models and the common one."""
    ours = unet(method("iop_fl"), None)
    state = train(ours, LANES[:1], 2)
    bank, images = Bank.of(ours, state), ours.clients[0].validation.images
    means = {name: torch.stack([own[name] for own in bank.experts.values()]).mean(0) for name in state.params}
    ((_, chunks),) = served(adaptation("mean"), ours.model, bank, images, 0)
    expected = torch.cat(
        [o for _, o in ours.predictions(ours.clients[0], images, {n: t[None] for n, t in means.items()})], 1
    )
    assert len(bank.experts) == 4
    assert float((torch.cat([own for _, own in chunks]) - expected[0]).abs().max()) < CLOSE


@pytest.mark.parametrize("network", BUILDS)
def test_equal_experts_mixed_are_the_expert_and_their_order_does_not_matter(network: str) -> None:
    ours = build(network, method("iop_fl"))
    bank, images = Bank.of(ours, train(ours, LANES[:1], 1)), ours.clients[2].validation.images
    same = Bank(dict.fromkeys(bank.experts, bank.experts["north"]))
    weights = {"north": 0.1, "east": 0.2, "south": 0.3, COMMON: 0.4}
    alone, mixed = (
        predicted(Mixture.of(ours.model, b, w), images) for b, w in ((bank, {"north": 1.0}), (same, weights))
    )
    assert float((alone - mixed).abs().max()) < CLOSE
    turned = dict(reversed(weights.items()))
    one, other = (predicted(Mixture.of(ours.model, bank, w), images) for w in (weights, turned))
    assert float((one - other).abs().max()) < CLOSE
    assert float((one - mixed).abs().max()) > 1e-6


@pytest.mark.parametrize("classes", [2, 3, 7])
@pytest.mark.parametrize("n", [1, 2, 5])
def test_entropy_knows_neither_the_batch_nor_the_number_of_classes(n: int, classes: int) -> None:
    """The released code of IOP-FL sums over the batch where it means classes: its value is n / C times too large."""
    for more in ((), (4, 6)):
        shape = (n, classes, *more)
        assert float(entropy(torch.zeros(shape))) == pytest.approx(1)
        certain = torch.zeros(shape)
        certain[:, 0] = 1e4
        assert float(entropy(certain)) == 0
    logits = torch.randn(n, classes, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    p = np.exp(logits.numpy()) / np.exp(logits.numpy()).sum(1, keepdims=True)
    assert float(entropy(logits)) == pytest.approx(-(p * np.log(p)).sum() / n / math.log(classes))


@pytest.mark.parametrize("network", BUILDS)
def test_tent_moves_normalisation_alone_and_decides(network: str) -> None:
    """Entropy falls; without a pass the mixture is what it was, and so is all but what is added."""
    ours = build(network, method("iop_fl"))
    bank, images = Bank.of(ours, train(ours, LANES[:1], 1)), ours.clients[2].training.images
    tent = adaptation("norm", passes=4, rate=1e-2, batch_size=5)
    before = Mixture.of(ours.model, bank, {COMMON: 1.0}, batch_statistics=True)
    after = before.adapted(tent, images, seed=0)
    assert before.adapted(adaptation("norm", passes=0), images, 0) is before
    assert all(after.params[name] is leaf for name, leaf in before.params.items())
    added = after.params.keys() - before.params.keys()
    assert added
    assert all(name.startswith(f"{OUTSIDE}/") for name in added)
    roles = {leaf.name: leaf.role for leaf in ours.model.network.leaves((OUTSIDE,), (), ("all",))}
    assert {roles[name] for name in added} == {"norm"}
    start, _ = before.widened(tent)
    with torch.no_grad():
        first, still = (predicted(own, images) for own in (start, before))
        assert float((first - still).abs().max()) < CLOSE, "the first step begins where the mixture stands"
        # A U-Net of one round has hardly begun to decide.
        assert 1 - float(entropy(predicted(after, images))) > 1.2 * (1 - float(entropy(still)))
    assert not torch.equal(predicted(after, images), predicted(before.adapted(tent, images, seed=1), images))


@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("name", ["norm", "iop"])
@pytest.mark.parametrize(
    ("network", "of"), [("lora", "iop_fl"), ("lora", "apfl"), ("unet", "iop_fl"), ("unet", "ditto")]
)
def test_seeds_side_by_side_learn_what_each_learns_alone(network: str, of: str, name: str, told: bool) -> None:
    """From banks, gates, orders and views of their own, whatever the method makes of experts.

    Of five images of one case and the others of another, a seed sees a small batch where others see a whole one.
    """
    ours = build(network, method(of))
    state, images = train(ours, LANES[:3], 1), ours.clients[2].training.images
    cases = torch.zeros(len(images.pack), dtype=torch.int64)
    cases[images.own[5:]] = 1
    way = adaptation(name, passes=2, rate=1e-2, batch_size=4, **({"noise": 0.3} if name == "iop" else {}))
    banks = {seed: Bank.of(ours, state, lane) for lane, seed in enumerate((4, 1, 7))}
    begins = {seed: next(iter(mixed(way, ours.model, bank).values())) for seed, bank in banks.items()}
    together = side_by_side(way, begins, images, cases if told else None)
    assert list(together) == list(begins)
    moved = dict[int, Tensor]()
    for seed, mixture in begins.items():
        alone, found = mixture.adapted(way, images, seed, cases if told else None), together[seed]
        assert isinstance(found, Mixture)
        assert found.params.keys() == alone.params.keys()
        for leaf, own in alone.params.items():
            torch.testing.assert_close(found.params[leaf], own, rtol=1e-9, atol=1e-9)
        assert all(found.params[leaf] is own for leaf, own in mixture.params.items())
        torch.testing.assert_close(predicted(found, images), predicted(alone, images), rtol=1e-9, atol=1e-9)
        start, added = mixture.widened(way, seed)
        assert any(float((found.params[leaf] - start.params[leaf]).detach().abs().max()) > 1e-3 for leaf in added)
        moved[seed] = torch.cat([found.params[leaf].flatten() for leaf in added])
    assert not any(torch.equal(moved[4], moved[seed]) for seed in (1, 7))


def test_a_seed_that_diverges_disturbs_none_beside_it() -> None:
    """It ends alone; the others learn what they learn without it."""
    ours = build("unet", method("iop_fl"))
    state, images = train(ours, LANES[:3], 1), ours.clients[2].training.images
    way = adaptation("norm", passes=2, batch_size=4)
    banks = {seed: Bank.of(ours, state, seed) for seed in range(3)}
    lost = {name: leaf * math.nan for name, leaf in banks[1].experts[COMMON].items()}
    begins = {
        seed: Mixture.of(ours.model, Bank({COMMON: lost}) if seed == 1 else bank, {COMMON: 1.0}, True)
        for seed, bank in banks.items()
    }
    found = side_by_side(way, begins, images)
    assert isinstance(found[1], DivergedError)
    assert "a step's loss is nan; take a smaller `rate`" in str(found[1])
    for seed in (0, 2):
        alone, own = begins[seed].adapted(way, images, seed), found[seed]
        assert isinstance(own, Mixture)
        for name, leaf in alone.params.items():
            torch.testing.assert_close(own.params[name], leaf, rtol=1e-9, atol=1e-9)
    with pytest.raises(DivergedError):
        begins[1].adapted(way, images, 1)


@pytest.mark.parametrize("network", BUILDS)
def test_statistics_are_what_tent_does_before_it_learns(network: str) -> None:
    """A prediction then depends on the images beside it where they are normalised together, and only there."""
    ours = build(network, method("iop_fl"))
    bank, images = Bank.of(ours, train(ours, LANES[:1], 1)), ours.clients[2].training.images

    def served_by(name: str, images: Any, **settings: float) -> Tensor:
        (mixture,) = mixed(adaptation(name, **settings), ours.model, bank).values()
        return predicted(mixture, images)

    found = served_by("statistics", images)
    assert torch.equal(found, served_by("norm", images, passes=0))
    together = network == "unet"
    for other, same in (("none", images), ("statistics", images[:2])):
        apart = (found[: len(same)] - served_by(other, same)).abs().max()
        assert (apart > 1e-3) if together else (apart < CLOSE), other


@pytest.mark.parametrize("network", BUILDS)
def test_the_order_of_images_decides_which_meet_in_a_step_and_nothing_else(network: str) -> None:
    """A step over all images learns the same, however they are listed; in smaller ones others meet.

    Steps are drawn over places, and likewise the order of cases. A pack sorts its images by name, so that the order of
    files decides nothing (`tests/data/test_dataset.py`).
    """
    ours = build(network, method("iop_fl"))
    bank, images = Bank.of(ours, train(ours, LANES[:1], 1)), ours.clients[2].training.images
    count = len(images)
    turned, halves = images.only(torch.arange(count).flip(0)), torch.zeros(len(images.pack), dtype=torch.int64)
    halves[images.own[count // 2 :]] = 1
    before = Mixture.of(ours.model, bank, {COMMON: 1.0}, batch_statistics=True)
    for size, cases, same in ((count, None, True), (count // 2, None, False), (count, halves, False)):
        tent = adaptation("norm", passes=2, batch_size=size)
        one, other = (before.adapted(tent, own, 0, cases).params for own in (images, turned))
        added = one.keys() - before.params.keys()
        apart = max(float((one[leaf] - other[leaf]).abs().max()) for leaf in added)
        assert apart < 1e-9 if same else apart > 1e-6


def test_a_hospital_outside_has_neither_targets_nor_support() -> None:
    ours = engine(method("fedit"))
    bank = Bank.of(ours, train(ours, LANES[:1], 1))
    batch = Mixture.of(ours.model, bank, {COMMON: 1.0}).images(ours.clients[0].training.images[:])
    with pytest.raises(ValueError, match="a hospital outside has no targets here"):
        batch.task_loss(batch(batch.mixture.params))
    with pytest.raises(ValueError, match="has no support images"):
        _ = batch.drawn


def test_a_bank_that_cannot_be_mixed_is_one_line() -> None:
    ours = engine(method("fedit"))
    state = train(ours, LANES[:1], 1)
    bank = Bank.of(ours, state)

    class Wrong(Adaptation):
        title, paper = "Wrong", "none"

        def __init__(self, weights: dict[str, float]) -> None:
            self.weights = weights

        def mixtures(self, experts: Sequence[str]) -> dict[str, dict[str, float]]:
            return {"own": self.weights}

    images = ours.clients[0].training.images
    with pytest.raises(
        ValueError, match=r"^Wrong: the mixture 'own' names west; experts are north, east, south, common$"
    ):
        next(served(Wrong({"west": 1.0}), ours.model, bank, images, 0))
    with pytest.raises(
        ValueError, match=r"^Wrong: the mixture 'own' has weights that sum to 0.7; they must sum to one$"
    ):
        next(served(Wrong({"north": 0.7}), ours.model, bank, images, 0))
    named = [ClientData(COMMON, own.training, own.validation) for own in ours.clients[:1]]
    with pytest.raises(ValueError, match="a client is called 'common'"):
        Bank.of(engine(method("fedit"), named), state)
    with pytest.raises(ConfigError, match=r"^there is no adaptation nrm; did you mean norm\?$"):
        adaptation_file("nrm")


def test_the_example_of_the_docs_keeps_the_contract(tmp_path: Path) -> None:
    """As it stands there, on both networks; and all that an adaptation can say is in the table behind it."""
    text = (ROOT / "docs/methods.md").read_text(encoding="utf-8")
    own = text.partition("## An adaptation of your own")[2].partition("\n## ")[0]
    (example,) = re.findall(r"```python\n(.*?)```", own, re.DOTALL)
    path = tmp_path / "weighed.py"
    path.write_text(example, encoding="utf-8")
    for network in BUILDS.values():
        assert {found.word for found in outcomes(Serving(path, {}, network, "iop_fl"), RULES)} == {"ok"}
    said = {name for name in (*vars(Adaptation), *Adaptation.__annotations__) if not name.startswith("_")}
    assert {name for name in said - {"title", "paper"} if f"`{name}" not in own} == set()


HEAD = '"""Mine."""\n\nfrom benchmark.adaptation import Adaptation, COMMON, entropy\n'
BODY = '\n\nclass Mine(Adaptation):\n    """Mine."""\n\n    title = "Mine"\n    paper = "none"\n'


@pytest.mark.parametrize(
    ("imports", "body", "rule", "said"),
    [
        ("from benchmark.federation.engine import Engine\n", "", "imports the contract alone", "benchmark.adaptation"),
        (
            "",
            "    def mixtures(self, experts):\n        return {name: {name: 1.0} for name in experts}\n",
            "serves one model, or is an oracle",
            "returned 3 models; expected one",
        ),
        (
            "",
            "    passes = 1\n    def loss(self, batch, params):\n        return 0\n",
            "serves one model",
            "adds nothing to train",
        ),
        (
            "",
            '    passes = 1\n    adds = ("norm",)\n'
            "    def loss(self, batch, params):\n"
            '        return params["outside/norm.weight"].sum()\n',
            "the loss depends on what it adds",
            "has no gradient by",
        ),
        (
            "",
            '    passes = 1\n    adds = ("norm",)\n'
            "    def loss(self, batch, params):\n"
            "        found = entropy(batch(params).prediction)\n"
            "        return found if float(found.detach()) > 0.1 else found**2\n",
            "seeds side by side learn what each learns alone",
            "let no Python `if`, `.item()` or `float()` look at a tensor's value",
        ),
        (
            "",
            '    passes = 1\n    adds = ("norm",)\n'
            "    def loss(self, batch, params):\n"
            "        next(iter(params.values())).add_(1e-3)\n"
            "        return entropy(batch(params).prediction)\n",
            "experts stay as they are",
            "expected all but what it adds to stay",
        ),
        (
            "",
            '    passes = 1\n    adds = ("norm",)\n    seen = []\n'
            "    def loss(self, batch, params):\n"
            "        self.seen.append(0)\n"
            "        return len(self.seen) * entropy(batch(params).prediction) ** len(self.seen)\n",
            "a second time is equal to the bit",
            "a second time 'common' predicts otherwise",
        ),
    ],
)
def test_a_broken_adaptation_is_told_what_is_wrong(
    tmp_path: Any, imports: str, body: str, rule: str, said: str
) -> None:
    path = tmp_path / "mine.py"
    path.write_text(HEAD + imports + BODY + "\n" + body, encoding="utf-8")
    found: list[Outcome] = list(outcomes(Serving(path, {}), RULES))
    failed = [own for own in found if own.word == "FAILED"]
    assert failed[0].rule.startswith(rule)
    assert said in failed[0].text
