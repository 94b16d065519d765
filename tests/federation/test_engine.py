"""The engine: what it promises to methods and to those who run it. Contracts of every method: tests/methods."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import balanced_accuracy_score
from torch import Tensor

from benchmark.data.augmentation import to_float
from benchmark.federation.client import Lane
from benchmark.federation.engine import DRAWN, SUPPORT, State, stack
from benchmark.federation.model import Images, predict
from benchmark.method import Batch, Leaf, Leaves, Method
from tests.federation.small import LANES, TRAINING, apart, client, clients, engine, method, predictions, same, train


def test_lanes_start_from_their_seed_and_clients_from_the_same() -> None:
    """Lanes of one seed start equal, of two seeds differ; all clients start equal."""
    state = engine(method("fedpal")).start(LANES)
    for name, leaf in state.params.items():
        assert (leaf == leaf[:1]).all()
        assert torch.equal(leaf[:, 0], leaf[:, 1]), "LANES 0 and 1 share their seed"
        assert torch.equal(leaf[:, 0], leaf[:, 2]) == (not leaf.any()), name


def test_lanes_taken_apart_and_stacked_are_the_same() -> None:
    """Resuming takes single lanes from the store and trains them side by side."""
    state = train(engine(method("fedpal")), LANES, 1)
    again = stack([state.lane(number) for number in range(len(LANES))])
    assert again.round == state.round == 1
    assert same(again.params, state.params)


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
def test_validation_is_that_of_the_logits() -> None:
    """Loss and score, lane by lane and client by client, by torch and scikit-learn from the predicted logits."""
    ours = engine(method("feddpa_t"))
    state = train(ours, LANES, 2)
    for hospital, rows, measured in zip(ours.clients, predictions(ours, state), ours.validate(state), strict=True):
        target = hospital.validation.targets
        assert measured["loss"].dtype == measured["balanced_accuracy"].dtype == torch.float64
        for number in range(len(LANES)):
            loss = F.cross_entropy(rows[number], target)
            score = balanced_accuracy_score(target, rows[number].argmax(-1))
            assert float(measured["loss"][number]) == pytest.approx(float(loss), abs=1e-12)
            assert float(measured["balanced_accuracy"][number]) == pytest.approx(score, abs=1e-12)


def test_predictions_do_not_depend_on_the_chunk() -> None:
    """How many images are predicted at once is a matter of memory."""
    ours = engine(method("feddpa_f"))
    state = train(ours, LANES, 1)
    hospital, params = ours.clients[0], ours.deployed(state)[0]
    images, support = hospital.validation.images, hospital.support(SUPPORT, torch.float64)
    drawn = hospital.drawn(len(images), DRAWN, len(support))
    few, many = (
        torch.cat([found for _, found in predict(ours.model, images, support, drawn, params, chunk)], 1)
        for chunk in (2, 64)
    )
    assert few.shape == (len(LANES), len(images), 4)
    assert (few - many).abs().max() < 1e-12


@pytest.mark.parametrize(("head", "equal"), [("shared", True), ("personal", False)])
def test_the_policy_of_the_head_is_the_configured_one(head: str, equal: bool) -> None:
    """Where the method does not say it."""
    params = train(engine(method("fedit"), head=head), LANES, 1).params
    for name in ("head/weight", "head/bias"):
        assert bool((params[name] == params[name][:1]).all()) == equal


def test_averages_are_weighted_by_training_images() -> None:
    """Server hooks see each client's share; shares sum to one."""
    seen: list[Tensor] = []

    class Look(Method):
        """Keep what the server sees."""

        title, paper = "Look", "none"

        def server(self, sent: Leaves, start: Leaves, weights: Tensor) -> Leaves:
            seen.append(weights)
            assert all(leaf.shape[0] == 3 for leaf in (*sent.values(), *start.values()))
            return super().server(sent, start, weights)

    ours = engine(Look())
    ours.round(ours.start(LANES), LANES)
    sizes = torch.tensor([len(hospital.training.targets) for hospital in clients()], dtype=torch.float64)
    assert torch.allclose(seen[0], sizes / sizes.sum(), rtol=1e-15)


def test_a_method_remembers_what_it_says_and_deploys_from_it() -> None:
    """Memory is each client's and each lane's; `after` sees what was trained, before it is averaged."""

    class Remember(Method):
        """Remember how far the bias went in all rounds; deploy that."""

        title, paper = "Remember", "none"

        def memory(self, params: Leaves) -> Leaves:
            return {"way": torch.zeros_like(params["head/bias"])}

        def after(self, params: Leaves, start: Leaves, memory: Leaves, gradients: Leaves) -> Leaves:
            return {"way": memory["way"] + params["head/bias"] - start["head/bias"]}

        def deployed(self, params: Leaves, memory: Leaves) -> Leaves:
            return {**params, "head/bias": memory["way"]}

    ours, local = engine(Remember()), engine(method("local"))
    first, _ = ours.round(ours.start(LANES), LANES)
    alone, _ = local.round(local.start(LANES), LANES)
    assert torch.equal(first.memory["way"], alone.params["head/bias"]), "the bias starts at zero"
    second, _ = ours.round(first, LANES)
    sizes = torch.tensor([len(hospital.training.targets) for hospital in clients()], dtype=torch.float64)
    mean = torch.tensordot(sizes / sizes.sum(), second.memory["way"], dims=1)
    assert torch.allclose(mean, second.params["head/bias"][0], atol=1e-12), "the mean of all ways is the shared bias"
    for k, deployed in enumerate(ours.deployed(second)):
        assert torch.equal(deployed["head/bias"], second.memory["way"][k])


class Sloppy(Method):
    """A server hook that an author got wrong."""

    title, paper = "Sloppy", "none"

    def __init__(self, fault: str) -> None:
        self.fault = fault

    def server(self, sent: Leaves, start: Leaves, weights: Tensor) -> Mapping[str, Tensor]:
        mean = dict(super().server(sent, start, weights))
        if self.fault == "missing":
            del mean["head/bias"]
        elif self.fault == "shape":
            mean["head/bias"] = sent["head/bias"]
        else:
            mean["head/scale"] = mean["head/bias"]
        return mean


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("missing", r"Sloppy.server\(\) returned nothing for leaf 'head/bias'; expected shape \(4,\)"),
        ("shape", r"Sloppy.server\(\) returned \(3, 4\) for leaf 'head/bias'; expected shape \(4,\)"),
        ("unknown", r"Sloppy.server\(\) returned leaves that are not shared: \['head/scale'\]"),
    ],
)
def test_a_wrong_server_hook_is_told_what_where_and_what_was_expected(fault: str, expected: str) -> None:
    """An author's mistake is one line, before it is anything else."""
    ours = engine(Sloppy(fault))
    with pytest.raises(ValueError, match=expected):
        ours.round(ours.start(LANES), LANES)


def test_predicting_with_targets_is_an_error() -> None:
    """A method that looks for the labels while predicting is told so."""
    ours = engine(method("fedit"))
    params = {name: leaf[0, 0] for name, leaf in ours.start(LANES).params.items()}
    batch = Images(ours.model, to_float(ours.clients[0].training.images[:], torch.float64), None, {"global": 1.0})
    with pytest.raises(ValueError, match="no targets"):
        batch.task_loss(batch(params))


def test_factors_come_in_the_order_of_the_sites() -> None:
    """Both adapters' factors pair up, site by site."""
    ours = engine(method("fedpal"))
    params = {name: leaf[0, 0] for name, leaf in ours.start(LANES).params.items()}
    batch = Images(ours.model, to_float(ours.clients[0].training.images[:], torch.float64), None, {})
    for adapter in ("global", "personal"):
        for factor in ("A", "B"):
            expected = [params[f"{adapter}/{site}.{factor}"] for site in ours.model.network.sites]
            found = batch.factors(params, adapter, factor)
            assert len(found) == len(expected) == 4
            assert all(left is right for left, right in zip(found, expected, strict=True))


def test_clients_without_change_in_another_federation_train_alike() -> None:
    """Draws are keyed by the client's name, so leaving one out changes the others through the server alone."""
    three, two = clients(), clients()[:2]
    first, second = (train(engine(method("local"), who), LANES, 1).params for who in (three, two))
    assert same({name: leaf[:2] for name, leaf in first.items()}, second)


def test_pooled_is_evaluated_on_every_client() -> None:
    """One participant trains; each hospital is validated on its own images."""
    ours = engine(method("pooled"))
    state = train(ours, LANES, 1)
    assert all(leaf.shape[0] == 1 for leaf in state.params.values())
    (union,) = ours.participants
    assert len(union.training.targets) == sum(len(hospital.training.targets) for hospital in ours.clients)
    measured = ours.validate(state)
    assert len(measured) == len(ours.clients)
    assert len({float(values["loss"][0]) for values in measured}) == len(ours.clients)


def test_float32_stays_float32() -> None:
    """Leaves have the configured precision from start to end."""
    ours = engine(method("fedopal_r"))
    single = engine(method("fedopal_r"), training=ours.training.model_copy(update={"precision": "float32"}))
    state = train(single, LANES, 1)
    assert {leaf.dtype for leaf in state.params.values()} == {torch.float32}


def test_bfloat16_is_the_frozen_backbones_alone() -> None:
    """Leaves, what a method remembers and what is predicted stay in float32; the result is near that of float32."""
    found = {}
    for precision in ("float32", "bfloat16"):
        ours = engine(method("fedpal"), training=TRAINING.model_copy(update={"precision": precision}))
        state = train(ours, LANES, 1)
        assert {leaf.dtype for leaf in (*state.params.values(), *predictions(ours, state))} == {torch.float32}
        found[precision] = state.params
    assert ours.model.network.backbone.vit.blocks[0].mlp.fc1.weight.dtype == torch.bfloat16
    assert ours.model.network.backbone.mean.dtype == torch.float32
    assert 0 < apart(*found.values()) < 2e-2


@pytest.mark.parametrize("name", ["fedit", "fedopal_r", "pooled"])
def test_the_number_of_threads_changes_no_bit(name: str) -> None:
    """Clients side by side do not meet: neither in what the layers read nor in the order of any sum."""
    alone = engine(method(name))
    beside = replace(alone, threads=3)
    first, second = (train(ours, LANES, 2) for ours in (alone, beside))
    assert same(first.params, second.params)
    for left, right in zip(alone.validate(first), beside.validate(second), strict=True):
        assert same(left, right)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", ["fedit", "fedopal_r"])
def test_in_less_precision_a_diverging_lane_leaves_its_neighbours_equal_to_the_bit(name: str, precision: str) -> None:
    """And a training is repeated to the bit; clients are computed side by side."""
    training = TRAINING.model_copy(update={"precision": precision})
    ours = replace(engine(method(name), training=training), threads=2)
    calm, wild = ((*LANES[:2], Lane(rate, 0)) for rate in ("1e-3", "1e30"))
    expected, found, again = (train(ours, lanes, 2).params for lanes in (calm, wild, calm))
    assert not all(torch.isfinite(leaf[:, 2]).all() for leaf in found.values())
    for leaf in expected:
        assert torch.equal(expected[leaf], again[leaf]), leaf
        assert torch.equal(expected[leaf][:, :2], found[leaf][:, :2]), leaf


def test_a_fault_of_one_client_is_the_rounds() -> None:
    """An error in a thread is not lost."""

    class Faulty(Method):
        """Fails."""

        title, paper = "Faulty", "none"

        def loss(self, batch: Batch, params: Leaves, start: Leaves, memory: Leaves) -> Tensor:
            raise ValueError("no loss")

    ours = replace(engine(Faulty()), threads=2)
    with pytest.raises(ValueError, match="no loss"):
        ours.round(ours.start(LANES), LANES)


def test_a_client_of_one_image_trains() -> None:
    """The smallest federation there is."""
    tiny = client("tiny", 1)
    ours = engine(method("feddpa_t"), [tiny, replace(tiny, name="other")])
    state = train(ours, (Lane("1e-1", 0),), 2)
    assert all(torch.isfinite(leaf).all() for leaf in state.params.values())


def test_leaves_know_their_partners() -> None:
    """Every A points to its B and back, at the same site of the same adapter; heads have none."""
    leaves: Mapping[str, Leaf] = engine(method("fedpal")).model.leaves
    for name, leaf in leaves.items():
        assert leaf.name == name
        if leaf.role == "head":
            assert leaf.partner == leaf.factor == leaf.site == ""
            continue
        partner = leaves[leaf.partner]
        assert partner.partner == name
        assert (partner.site, partner.part) == (leaf.site, leaf.part)
        assert {partner.factor, leaf.factor} == {"A", "B"}
        assert leaf.shape[0 if leaf.factor == "A" else 1] == 4


def test_clients_weigh_by_their_images_or_all_the_same() -> None:
    """`averaging`: with one step each and plain SGD, a shared leaf moves by the weighted mean of the clients' moves."""
    counts = torch.tensor([len(own.training.targets) for own in clients()], dtype=torch.float64)
    for averaging, weights in (("samples", counts / counts.sum()), ("uniform", torch.full((3,), 1 / 3).double())):
        ours = replace(engine(method("fedit")), averaging=averaging)
        begin = ours.start(LANES)
        moved = torch.stack([_alone(k, begin) for k in range(3)])
        expected = torch.einsum("k,k...->...", weights, moved)
        found = ours.round(begin, LANES)[0].params["head/weight"]
        assert torch.allclose(found[0], expected, atol=1e-12)


def _alone(number: int, begin: State) -> torch.Tensor:
    """What one client sends for the head's weight: alone, its average is its own."""
    ours = engine(method("fedit"), clients()[number : number + 1])
    own = State(0, {name: leaf[number : number + 1] for name, leaf in begin.params.items()}, {})
    return ours.round(own, LANES)[0].params["head/weight"][0]
