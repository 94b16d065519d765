"""What a network's frozen part makes of images is computed once, and a run from it is a run from the images."""

import resource
from collections import namedtuple
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmark.federation import encoded as module
from benchmark.federation.client import Lane
from benchmark.federation.encoded import encoded
from benchmark.federation.engine import Engine, State, Validated
from benchmark.models.vit import ViT, build
from benchmark.settings import AugmentationSettings, LoraSettings
from benchmark.tasks.classification import Classification
from tests.federation.small import ARGUMENTS, CLASSES, SIZE, VIT, client, clients, engine, method, transformer
from tests.methods import test_sam
from tests.methods.test_masks import TASK, hospitals
from tests.models.small import network as small

STILL = {"flip": False, "rotate": False, "brightness": 0, "contrast": 0}
LANES = [Lane("0.01", 0), Lane("0.1", 0), Lane("0.1", 1)]
OTHER: dict[str, dict[str, Any]] = {
    "mean of patches": {"global_pool": "avg", "class_token": False},
    "registers": {"reg_tokens": 2, "no_embed_class": True},
}


def classes(trains: str) -> Engine:
    """Of whole images, by a transformer's class token."""
    return engine(method("fedit"), trains=trains.split())


def other(kind: str) -> Callable[[str], Engine]:
    """The same by another kind of transformer."""

    def made(trains: str) -> Engine:
        torch.manual_seed(0)
        vit = ViT(build(VIT, {**ARGUMENTS, **OTHER[kind]}, SIZE), Classification(CLASSES), LoraSettings())
        return engine(method("fedit"), network=vit, trains=trains.split())

    return made


def patches(trains: str) -> Engine:
    """Masks, by a transformer's tokens."""
    vit = ViT(transformer(), TASK, LoraSettings())
    return engine(method("fedit"), hospitals(), task=TASK, network=vit, trains=trains.split())


def sam(name: str) -> Engine:
    """Masks, by SAM, whose rows say what they train."""
    return test_sam.build(method(name), hospitals())


def first_layer(ours: Engine) -> torch.nn.Module:
    """What every image goes through that is not encoded."""
    network: Any = ours.model.network
    return network.body.vision_encoder if hasattr(network, "body") else network.backbone.vit.patch_embed


def run(ours: Engine, change: dict[str, Any]) -> tuple[int, State, Sequence[Validated]]:
    """Images of a lane that the frozen part looks at in the second round; and what comes of both rounds."""
    ours, seen = replace(ours, augmentation=AugmentationSettings(**{**STILL, **change})), list[int]()
    state, _ = ours.round(ours.start(LANES), LANES)
    ours.validate(state)
    first_layer(ours).register_forward_hook(lambda _, __, made: seen.append(len(made)))
    state, _ = ours.round(state, LANES)
    measured = ours.validated(state)
    return sum(seen), state, measured


@pytest.mark.parametrize(
    ("make", "trains", "change", "trained", "validated"),
    [
        (classes, "head", {}, True, True),
        (classes, "last_block head", {}, True, True),
        (classes, "head", {"flip": True}, False, True),
        (classes, "lora head", {}, False, False),
        (classes, "norm head", {}, False, False),
        (other("mean of patches"), "head", {}, True, True),
        (other("registers"), "last_block head", {}, True, True),
        (patches, "head", {}, True, True),
        (patches, "last_block head", {}, True, True),
        (patches, "lora head", {}, False, False),
        (sam, "sam_head", {}, True, True),
        (sam, "sam_decoder", {}, True, True),
        (sam, "sam_head", {"flip": True}, False, True),
        (sam, "sam_lora", {}, False, False),
        (sam, "sam_attention", {}, False, False),
        (sam, "sam_full", {}, False, False),
    ],
)
def test_images_are_encoded_once_where_neither_they_nor_the_frozen_part_change(
    make: Callable[[str], Engine], trains: str, change: dict[str, Any], trained: bool, validated: bool
) -> None:
    """A run from what was encoded is one from the images; the frozen part looks again at those alone that change."""
    again, state, measured = run(make(trains), change)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "IN_MEMORY", 0)
        patch.setattr(module, "ON_DISK", 0)
        everything, of_images, expected = run(make(trains), change)
    kinds = {"training": trained, "validation": validated}
    counts = {kind: sum(len(getattr(own, kind)) for own in make(trains).clients) for kind in kinds}
    assert everything == sum(counts.values())
    assert again == sum(counts[kind] for kind, once in kinds.items() if not once)
    for leaf, own in of_images.params.items():
        torch.testing.assert_close(state.params[leaf], own, rtol=1e-9, atol=1e-9)
    for one, two in zip(measured, expected, strict=True):
        torch.testing.assert_close(one.metrics["loss"], two.metrics["loss"], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("trains", ["head", "last_block head"])
def test_tokens_in_the_place_of_their_images_are_the_same_to_the_bit(precision: str, trains: str) -> None:
    """In the precision of the frozen part, too, in which they were made."""
    ours, images = small(transformer(), precision=precision), torch.rand(3, 3, SIZE, SIZE)
    leaves = ours.leaves(["global"], ["head"], trains.split())
    params = {leaf.name: 0.1 * torch.randn(leaf.shape) for leaf in leaves}
    tokens = ours.encode(images, leaves)
    assert tokens.dtype == images.dtype
    of_images, of_tokens = (ours(one, params, {"head": 1.0}, {"global": 1.0}) for one in (images, tokens))
    assert torch.equal(of_images.prediction, of_tokens.prediction)
    assert torch.equal(of_images.features, of_tokens.features)


def test_what_stands_in_front_of_the_first_leaf_is_frozen() -> None:
    """Whatever its leaves are called."""
    ours = small(transformer())
    asked = {"head": True, "last_block head": True, "lora head": False, "norm head": False, "all": False}
    for trains, once in asked.items():
        assert ours.encodes(ours.leaves(["global"], ["head"], trains.split())) is once, trains
    assert not ours.encodes(ours.leaves(["global"], ["head"], ["head"], offset=True))
    assert ours.encodes(ours.leaves(["blocks.0.attn"], ["norm_pre", "cls_token"], ["head"]))


# Where it is kept.


def made(images: Tensor) -> Tensor:
    """What a network might make of images: two numbers in each of three places."""
    mean = images.double().mean((1, 2, 3))
    return torch.stack([mean, -mean], 1).view(-1, 2, 1, 1).expand(-1, -1, 3, 1)


@pytest.mark.parametrize("memory", [True, False])
def test_each_client_has_what_was_made_of_its_own_images(memory: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """In memory, and in a file that leaves no name behind."""
    if not memory:
        monkeypatch.setattr(module, "IN_MEMORY", 0)
    hospitals = [own.training for own in (*clients(), client("west", 2 * module.CHUNK + 1))]
    found = encoded(hospitals, made, lambda work, sizes: [work(k) for k in range(len(sizes))])
    for own, now in zip(hospitals, found, strict=True):
        assert now.images.encoded
        assert torch.equal(now.images[:].movedim(-1, 1), made(own.images[:]))
        assert torch.equal(now.targets, own.targets)


@pytest.mark.parametrize("why", ["limit", "full"])
def test_images_stay_where_there_is_no_room(why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither above the limit, nor on a disk of which it would fill more than half of what is free."""
    hospitals = [own.training for own in clients()]
    needed = 8 * 6 * sum(map(len, hospitals))
    monkeypatch.setattr(module, "IN_MEMORY", needed - 1)
    usage, free = namedtuple("usage", "total used free"), needed if why == "full" else 1 << 40
    monkeypatch.setattr(module.shutil, "disk_usage", lambda folder: usage(1 << 50, 0, free))
    monkeypatch.setattr(module, "ON_DISK", needed - 1 if why == "limit" else 1 << 40)
    assert encoded(hospitals, made, lambda work, sizes: [work(k) for k in range(len(sizes))]) is hospitals
    monkeypatch.setattr(module, "IN_MEMORY", needed)
    assert encoded(hospitals, made, lambda work, sizes: [work(k) for k in range(len(sizes))]) is not hospitals


def test_images_stay_where_the_file_cannot_have_its_space(monkeypatch: pytest.MonkeyPatch) -> None:
    """All of it is taken before the first image is encoded: a quota, say, of which the free space tells nothing."""
    hospitals = [own.training for own in clients()]
    needed = 8 * 6 * sum(map(len, hospitals))
    monkeypatch.setattr(module, "IN_MEMORY", 0)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (needed - 1, before[1]))
    try:
        assert encoded(hospitals, made, lambda work, sizes: [work(k) for k in range(len(sizes))]) is hospitals
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert encoded(hospitals, made, lambda work, sizes: [work(k) for k in range(len(sizes))]) is not hospitals
