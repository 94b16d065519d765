"""Weights of a network as leaves: against a plain torch loop, under lanes, with buffers, and exported."""

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torch.nn.functional as F
from peft import PeftModel
from torch import Tensor, nn

from benchmark.data.augmentation import augment, draws, to_float
from benchmark.draws import generator, initial
from benchmark.federation import costs
from benchmark.federation.client import Lane
from benchmark.federation.engine import Engine, State
from benchmark.method import Batch, Leaves, Method
from benchmark.models.heads import Linear
from benchmark.settings import OptimiserSettings
from benchmark.tasks.classification import Classification
from tests.federation.small import (
    ARGUMENTS,
    CLASSES,
    SIZE,
    TRAINING,
    VIT,
    apart,
    clients,
    engine,
    method,
    predictions,
    same,
    train,
    weights,
)
from tests.seams.convnet import WIDTH, ConvNet, build

EXACT = 1e-9
ROUNDS = 2
LANES = (Lane("1e-1", 0), Lane("2e-2", 0), Lane("2e-2", 1))
HEAVY = TRAINING.model_copy(update={"optimiser": OptimiserSettings(momentum=0.9, weight_decay=0.02)})
WORDS = {
    "norm": lambda name: "norm" in name,
    "attention": lambda name: "attn" in name,
    "last_block": lambda name: name.startswith("blocks.1."),
    "all": lambda name: True,
}


class Standard(nn.Module):
    """timm's model reads images as it was pretrained."""

    def __init__(self, body: nn.Module, centre: float) -> None:
        super().__init__()
        self.body, self.centre = body, centre

    def forward(self, images: Tensor) -> Tensor:
        """Logits."""
        return self.body((images - self.centre) / (self.centre or 1.0))


def plain(make: Any, trained: Any, lane: Lane) -> list[dict[str, Tensor]]:
    """FedAvg of weights, buffers and head by torch's own modules, SGD and Python loops: each hospital's final state."""
    hospitals = clients()
    sizes = torch.tensor([len(own.training) for own in hospitals], dtype=torch.float64)
    models = [make(lane.seed) for _ in hospitals]
    for round in range(ROUNDS):
        for own, model in zip(hospitals, models, strict=True):
            parameters = [p for name, p in model.body.named_parameters() if trained(name)]
            optimiser = torch.optim.SGD(parameters, lr=float(lane.rate), momentum=0.9, weight_decay=0.02)
            model.train()
            key = (lane.seed, own.name, f"round {round} pass 0")
            order = torch.randperm(len(own.training), generator=generator(*key, "order"))
            changes = draws(len(own.training), generator(*key, "augmentation"))
            for chosen, drawn in zip(order.split(8), changes.split(8), strict=True):
                images = augment(
                    own.training.images[chosen], engine(method("fedit")).augmentation, drawn, torch.float64
                )
                loss = F.cross_entropy(model(images), own.training.targets[chosen])
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
        states = [model.body.state_dict() for model in models]
        mean = {
            name: sum(w * state[name] for w, state in zip(sizes / sizes.sum(), states, strict=True))
            for name in states[0]
            if states[0][name].is_floating_point()
        }
        for model in models:
            model.body.load_state_dict(mean, strict=False)
    return [{name: value.clone() for name, value in model.body.state_dict().items()} for model in models]


def vit(seed: int) -> Standard:
    """The small transformer with a head as the engine draws it."""
    body = timm.create_model(VIT, num_classes=len(CLASSES), img_size=SIZE, **ARGUMENTS).double()
    body.load_state_dict({name: value.double() for name, value in weights().items()}, strict=False)
    return _with_head(body, body.head, seed, 0.5)


def convnet(seed: int) -> Standard:
    """The small convolutional network likewise."""
    body = build().double()
    state, _ = ConvNet.fetch(None)  # type: ignore[arg-type]
    body.load_state_dict(state, strict=False)
    body.add_module("head", nn.Linear(WIDTH, len(CLASSES)).double())
    return _with_head(body, body.head, seed, 0.0)


def _with_head(body: nn.Module, head: nn.Linear, seed: int, centre: float) -> Standard:
    weight, _ = Linear(head.in_features, head.out_features).leaves("head")
    with torch.no_grad():
        head.weight.copy_(initial(weight, seed, torch.float64))
        head.bias.zero_()
    return Standard(body, centre)


def conv_engine(name: str = "fedit", **options: Any) -> Engine:
    """A method on the convolutional network, trained whole."""
    task = Classification(CLASSES)
    body = build()
    body.load_state_dict(ConvNet.fetch(None)[0], strict=False)  # type: ignore[arg-type]
    return engine(method(name), training=HEAVY, task=task, network=ConvNet(task, body), trains=("all",), **options)


def difference(state: State, number: int, expected: dict[str, Tensor], k: int) -> float:
    """The largest difference of the leaves of client k in a lane from a plain model's state."""
    found = {name: leaf[k, number] for name, leaf in state.params.items()}
    assert found
    wanted = {name: expected[name.replace("global/", "").replace("head/", "head.")] for name in found}
    return max(float((found[name] - wanted[name]).abs().max()) for name in found)


@pytest.mark.parametrize("word", WORDS)
def test_weights_of_a_transformer_train_as_in_a_plain_loop(word: str) -> None:
    """Norms alone, attention alone, the last block, everything; with the head, three lanes of two seeds at once."""
    ours = engine(method("fedit"), training=HEAVY, trains=(word, "head"))
    state = train(ours, LANES, ROUNDS)
    named = {name for name, _ in vit(0).body.named_parameters() if WORDS[word](name) or name.startswith("head")}
    assert {leaf.site or leaf.name.replace("/", ".") for leaf in ours.model.leaves.values()} == named
    for number in (0, 2):
        for k, expected in enumerate(plain(vit, named.__contains__, LANES[number])):
            assert difference(state, number, expected, k) < EXACT


def test_a_head_alone_trains_as_in_a_plain_loop() -> None:
    """No adapter, nothing of the network."""
    ours = engine(method("fedit"), training=HEAVY, trains=("head",))
    assert set(ours.model.leaves) == {"head/weight", "head/bias"}
    (expected, *_) = plain(vit, lambda name: name.startswith("head"), LANES[1])
    assert difference(train(ours, LANES, ROUNDS), 1, expected, 0) < EXACT


def test_a_network_with_buffers_trains_as_in_a_plain_loop() -> None:
    """Running means and variances too, averaged as the weights are, in three lanes at once."""
    ours = conv_engine()
    assert {leaf.role for leaf in ours.model.leaves.values()} == {"norm", "backbone", "buffer", "head"}
    state = train(ours, LANES, ROUNDS)
    for number, lane in enumerate(LANES):
        for k, expected in enumerate(plain(convnet, lambda name: True, lane)):
            assert difference(state, number, expected, k) < EXACT
    moved = [not torch.equal(leaf[0, 0], leaf[1, 0]) for name, leaf in state.params.items()]
    assert not any(moved), "all leaves travel"


def test_a_plain_model_predicts_what_ours_does() -> None:
    """Running statistics are used where nothing is trained: the plain model in evaluation mode."""
    ours = conv_engine()
    found = predictions(ours, train(ours, LANES, ROUNDS))
    lane = 2
    for k, state in enumerate(plain(convnet, lambda name: True, LANES[lane])):
        model = convnet(0)
        model.body.load_state_dict(state)
        images = to_float(ours.clients[k].validation.images[:], torch.float64)
        with torch.no_grad():
            assert (model.eval()(images) - found[k][lane]).abs().max() < EXACT


def test_lanes_and_threads_do_not_meet() -> None:
    """A lane trained alone is the lane beside others; clients side by side are those one after the other."""
    from dataclasses import replace

    ours = conv_engine()
    together = train(ours, LANES, ROUNDS)
    alone = train(ours, LANES[1:2], ROUNDS)
    assert apart({name: leaf[:, 1:2] for name, leaf in together.params.items()}, alone.params) < 1e-12
    threaded = train(replace(ours, threads=3), LANES, ROUNDS)
    assert same(threaded.params, together.params)


def test_two_adapters_of_weights_are_added() -> None:
    """W0 + (G - W0) + (P - W0): FedPAL's two sets begin at W0, and what they predict is that of the sum."""
    ours = engine(method("fedpal"), training=HEAVY, trains=("norm", "head"))
    state = train(ours, LANES[:1], ROUNDS)
    leaves = {name: leaf[0, 0] for name, leaf in state.params.items()}
    summed = {
        name: leaf
        + leaves[name.replace("global/", "personal/")]
        - ours.model.network.pretrained(ours.model.leaves[name])
        if name.startswith("global/")
        else leaf
        for name, leaf in leaves.items()
        if not name.startswith("personal/")
    }
    images = to_float(ours.clients[0].validation.images[:], torch.float64)
    both, one = (
        ours.model.network(images, own, {"head": 1.0}, mix).prediction
        for own, mix in ((leaves, {"global": 1.0, "personal": 1.0}), (summed, {"global": 1.0}))
    )
    assert (both - one).abs().max() < 1e-12
    shared = [name for name, leaf in state.params.items() if torch.equal(leaf[0], leaf[1])]
    assert all(name.startswith(("global/", "head/")) for name in shared)


class ByImage(Method):
    """Weights its adapter by how bright an image is."""

    title, paper = "By image", "none"

    def predict(self, batch: Batch, support: Batch, params: Leaves) -> Tensor:
        return batch(params, {"global": batch(params).features.mean(1)}).prediction


def test_weights_cannot_be_mixed_image_by_image() -> None:
    """Adapters' outputs can, as FedDPA's; a layer's own weights are the same for all images of a batch."""
    ours = engine(ByImage(), trains=("norm", "head"))
    with pytest.raises(ValueError, match="weighted image by image"):
        predictions(ours, ours.start(LANES[:1]))


def test_what_a_network_has_not_is_named() -> None:
    """With what it has."""
    with pytest.raises(ValueError, match="trains: the network has no decoder; it has all, attention, backbone,"):
        engine(method("fedit"), trains=("decoder",))


def test_a_method_that_needs_adapters_is_refused_without_them() -> None:
    """In one line, before anything is trained."""
    with pytest.raises(ValueError, match=r"FedSA-LoRA needs lora among what is trained \(`trains`: all\)"):
        conv_engine("fedsa_lora")


def test_costs_count_buffers_and_heads_as_they_travel() -> None:
    """By hand: 2 convolutions, 2 norms with 2 buffers each, a head. Buffers travel, and are no parameters."""
    ours = conv_engine()
    parameters = WIDTH * 3 * 9 + WIDTH * WIDTH * 9 + 2 * 2 * WIDTH + len(CLASSES) * (WIDTH + 1)
    sent = costs.traffic(ours.model, ours.head, len(ours.participants), 1, ours.dtype)
    assert costs.trainable_parameters(ours.model, ROUNDS) == parameters
    assert sent.up[0] == 8 * (parameters + 2 * 2 * WIDTH)


def test_timm_and_peft_load_what_is_deployed(tmp_path: Path) -> None:
    """LoRA, the last block and the head: timm's model with exported weights and PEFT's adapter predicts the same."""
    ours = engine(method("fedpal"), trains=("lora", "last_block", "head"))
    state = train(ours, LANES[:1], ROUNDS)
    leaves = {name: leaf[0] for name, leaf in ours.deployed(state)[1].items()}
    ours.model.network.export(tmp_path, leaves, *ours.model.parted(ours.model.method.mix(leaves)))
    body = timm.create_model(VIT, num_classes=len(CLASSES), img_size=SIZE, **ARGUMENTS)
    body.load_state_dict(weights(), strict=False)
    from safetensors.torch import load_file

    missing = body.load_state_dict(load_file(tmp_path / "weights.safetensors"), strict=False)
    assert not missing.unexpected_keys
    loaded = PeftModel.from_pretrained(body, tmp_path).double().eval()
    images = to_float(ours.clients[1].validation.images[:], torch.float64)
    with torch.no_grad():
        assert (loaded((images - 0.5) / 0.5) - predictions(ours, state)[1][0]).abs().max() < 1e-5
