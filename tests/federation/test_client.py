"""One client's local training."""

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from benchmark.federation.client import Lane, LocalTraining
from benchmark.method import Batch, Leaves, Method, Phase, part
from benchmark.settings import AugmentationSettings
from benchmark.tasks.classification import Classification
from tests.federation.small import LANES, TRAINING, client, engine, method


def test_a_pass_takes_every_image_once_and_the_last_batch_is_smaller() -> None:
    """Thirteen images in batches of eight: eight and five, each image once, in every epoch, in a new order."""
    hospital = client("north", 13)
    hospital = replace(hospital, training=replace(hospital.training, targets=torch.arange(13)))
    ours = engine(method("fedit"))
    local = LocalTraining(ours.model, TRAINING, AugmentationSettings(), torch.float64)
    batches = [targets for _, targets in local._batches(hospital, 0, "round 0 pass 0", 2)]
    assert [len(targets) for targets in batches] == [8, 5, 8, 5]
    first, second = torch.cat(batches[:2]), torch.cat(batches[2:])
    assert sorted(first.tolist()) == sorted(second.tolist()) == list(range(13))
    assert first.tolist() != second.tolist()


def test_batches_are_keyed_by_seed_client_and_pass() -> None:
    """Order and changes are equal for equal keys, and differ where any part of the key differs."""
    ours = engine(method("fedit"))
    local = LocalTraining(ours.model, TRAINING, AugmentationSettings(), torch.float64)
    north = client("north", 13)
    east = replace(north, name="east")
    first, second = "round 0 pass 0", "round 1 pass 0"
    keys = [(north, 0, first), (north, 1, first), (north, 0, second), (east, 0, first)]

    def drawn(key: tuple) -> torch.Tensor:
        return torch.cat([images for images, _ in local._batches(*key, 1)])

    assert torch.equal(drawn(keys[0]), drawn(keys[0]))
    for k, key in enumerate(keys):
        for other in keys[:k]:
            assert not torch.equal(drawn(key), drawn(other))


class Unchanged(Classification):
    """In place of changed images it gives the random numbers that would have changed them."""

    def augment(
        self, images: torch.Tensor, targets: torch.Tensor, settings: Any, draws: torch.Tensor, dtype: torch.dtype
    ) -> tuple[torch.Tensor, torch.Tensor]:
        return draws, targets


def test_the_numbers_that_change_images_are_uniform_and_independent() -> None:
    """Of every image five in [0, 1), as training draws them: of variance 1/12, and none is known from another.

    Means, variances, shares and correlations stay within so many of their standard deviations as so many of them reach.
    Numbers are compared within an image, with those of the next image, and between clients, passes and seeds.
    """
    model, hospital, epochs = engine(method("fedit")).model, client("north", 40), 100
    model = replace(model, task=Unchanged(["a", "b"]))
    local = LocalTraining(model, TRAINING, AugmentationSettings(), torch.float64)
    keys = [(hospital, 0, "a"), (hospital, 0, "b"), (hospital, 1, "a"), (replace(hospital, name="east"), 0, "a")]
    found = [torch.cat([numbers for numbers, _ in local._batches(*key, epochs)]) for key in keys]
    n = 40 * epochs
    assert all(own.shape == (n, 5) and own.dtype == torch.float64 for own in found)
    numbers = torch.cat(found, 1)
    assert 0 <= numbers.min() < 0.001
    assert 0.999 < numbers.max() < 1
    assert ((numbers.mean(0) - 1 / 2).abs() < 4 * (12 * n) ** -0.5).all()
    assert ((numbers.var(0) - 1 / 12).abs() < 4 * ((1 / 80 - 1 / 144) / n) ** 0.5).all()
    tenths = torch.stack([torch.histc(own, 10, 0, 1) for own in numbers.T]) / n
    assert ((tenths - 0.1).abs() < 4.5 * (0.09 / n) ** 0.5).all()
    correlations = torch.corrcoef(torch.cat([numbers[:-1], numbers[1:]], 1).T).fill_diagonal_(0)
    assert correlations.abs().max() < 5 * n**-0.5


def test_further_changes_leave_order_and_mirroring_as_they_were() -> None:
    """Their numbers are drawn apart: where a hundredth of half the images is erased, all other pixels are the same."""
    ours, hospital = engine(method("fedit")), client("north", 40)
    plain, further = AugmentationSettings(), AugmentationSettings(erase=(0.01, 0.01))
    found = []
    for settings in (plain, further):
        local = LocalTraining(ours.model, TRAINING, settings.model_copy(update={"contrast": 0.0}), torch.float64)
        found.append(torch.cat([images for images, _ in local._batches(hospital, 0, "round 0 pass 0", 1)]))
    changed = (found[0] != found[1]).any(1).flatten(1)
    assert 0.2 < changed.any(1).double().mean() < 0.8, "half the images have lost a rectangle"
    assert changed.double().mean() < 0.02, "and all other pixels are the same"


def test_lanes_of_one_seed_see_the_same_images_and_others_do_not() -> None:
    """Two lanes of equal rate and seed are equal, but for the rounding of their places; that of another seed is not."""
    lanes = (Lane("1e-1", 0), Lane("1e-1", 0), Lane("1e-1", 1))
    ours = engine(method("fedit"))
    state = ours.start(lanes)
    same_start = {name: leaf[:, :1].expand(-1, 3, *leaf.shape[2:]).contiguous() for name, leaf in state.params.items()}
    after, _ = ours.round(type(state)(0, same_start, {}), lanes)
    for name, leaf in after.params.items():
        assert (leaf[:, 0] - leaf[:, 1]).abs().max() < 1e-12, name
    assert (after.params["head/weight"][:, 0] - after.params["head/weight"][:, 2]).abs().max() > 1e-6


def test_the_objective_is_the_mean_over_images() -> None:
    """At a rate too small to change anything: the cross-entropy of the initial model, batch sizes weighed in."""
    lanes = (Lane("1e-30", 0),)
    ours = engine(method("fedit"))
    state = ours.start(lanes)
    params = {name: leaf[0, 0] for name, leaf in state.params.items()}
    local = LocalTraining(ours.model, TRAINING, AugmentationSettings(), torch.float64)
    hospital = ours.clients[0]
    images, labels = (
        torch.cat(tensors) for tensors in zip(*local._batches(hospital, 0, "round 0 pass 0", 1), strict=True)
    )
    logits = ours.model.network(images, params, {"head": 1.0}, {"global": 1.0}).prediction
    expected = F.cross_entropy(logits, labels)
    _, measured = ours.round(state, lanes)
    assert float(measured.objectives[0, 0]) == pytest.approx(float(expected), abs=1e-12)


def test_support_images_are_the_same_every_time_and_no_more_than_there_are() -> None:
    """What a method sees of the client's own images, without augmentation."""
    hospital = client("north", 13)
    chosen = hospital.support(5, torch.float64)
    assert chosen.shape == (5, 3, 32, 32)
    assert torch.equal(chosen, hospital.support(5, torch.float64))
    pixels = {
        tuple(image.flatten().tolist()) for image in (hospital.training.images[:].permute(0, 3, 1, 2).double() / 255)
    }
    assert {tuple(image.flatten().tolist()) for image in chosen} <= pixels
    assert len(hospital.support(99, torch.float64)) == 13


def test_support_images_are_drawn_for_every_image_anew() -> None:
    """Each of them as often as the others, none twice for one image, and the same whenever it is asked."""
    hospital = client("north", 13)
    drawn = hospital.drawn(4000, 5, 13)
    assert torch.equal(drawn, hospital.drawn(4000, 5, 13))
    assert all(len(set(row)) == 5 for row in drawn.tolist())
    often = torch.bincount(drawn.flatten(), minlength=13) / drawn.numel()
    assert (often - 1 / 13).abs().max() < 0.01
    assert hospital.drawn(2, 5, 3).shape == (2, 3)


class Stopped(Method):
    """Every round, one step of the head and then a pass of it."""

    title, paper = "Stopped", "none"

    def phases(self, round: int) -> list[Phase]:
        return [Phase(trains=part("head"), steps=1), Phase(trains=part("head"))]

    def loss(self, batch: Batch, params: Leaves, start: Leaves, memory: Leaves) -> torch.Tensor:
        return params["head/bias"].sum() + 0 * params["head/weight"].sum()


def test_a_pass_ends_after_as_many_steps_as_it_says() -> None:
    """One step, and two of thirteen images: the bias moves by three rates; the one step counts as no pass."""
    ours = engine(Stopped(), [client("north", 13)])
    state = ours.start(LANES)
    after, measured = ours.round(state, LANES)
    for number, lane in enumerate(LANES):
        moved = (after.params["head/bias"] - state.params["head/bias"])[0, number]
        assert torch.allclose(moved, torch.full_like(moved, -3 * float(lane.rate)))
    assert ours.epochs(ours.model.method.phases(0)) == 1
    assert torch.isfinite(measured.objectives).all()


class Twice(Method):
    """Two passes of the head's bias; the gradient is its distance from one beyond where the round began."""

    title, paper = "Twice", "none"

    def phases(self, round: int) -> list[Phase]:
        return [Phase(trains=part("head")), Phase(trains=part("head"))]

    def loss(self, batch: Batch, params: Leaves, start: Leaves, memory: Leaves) -> torch.Tensor:
        return sum(((params[name] - start[name] - 1) ** 2).sum() / 2 for name in ("head/weight", "head/bias"))


def test_start_is_where_the_round_began_in_every_pass() -> None:
    """`Method.loss`: "start: the client's leaves as this round began".

    Each step shrinks the distance to (start + 1) by (1 - rate). Thirteen images make two steps a pass, four a round:
    so the leaf moves by 1 - (1 - rate)^4; with a start that is renewed in the second pass it would move further.
    """
    ours = engine(Twice(), [client("north", 13)])
    state = ours.start(LANES)
    after, _ = ours.round(state, LANES)
    for number, lane in enumerate(LANES):
        moved = (after.params["head/bias"] - state.params["head/bias"])[0, number]
        expected = torch.full_like(moved, 1 - (1 - float(lane.rate)) ** 4)
        assert torch.allclose(moved, expected, rtol=1e-10)


class Copied(Method):
    """A phase that copies an adapter that does not exist."""

    title, paper = "Copied", "none"

    def phases(self, round: int) -> list[Phase]:
        return [Phase(copies={"personal": "global"})]


def test_copying_an_adapter_that_does_not_exist_is_an_error_that_names_it() -> None:
    """The author reads which adapters the phase wanted."""
    ours = engine(Copied())
    with pytest.raises(ValueError, match="'global' to 'personal'"):
        ours.round(ours.start(LANES), LANES)
