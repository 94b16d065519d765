"""IOP-FL's routing against experts side by side in plain torch, and against each defect of the released code."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import pad

from adaptations import iop
from benchmark.adaptation import COMMON, Adaptation, Batch, Leaves, entropy
from benchmark.federation.adapting import GATES, Bank, Mixture, batches, served
from benchmark.federation.model import Model
from benchmark.federation.packed_images import PackedImages
from benchmark.models import sam
from benchmark.models.sam_pretrain import random
from benchmark.settings import LoraSettings
from benchmarks.routing import EXPERTS, Case, both, difference, drawn, naive
from tests.adaptations.test_adapting import CLOSE, adaptation, predicted
from tests.federation.small import SIZE, engine, method
from tests.methods import tiny
from tests.methods.test_masks import TASK, unet
from tests.methods.test_sam import SMALL

UNET, VIT = Case("unet", 32, 3, depth=2), Case("vit", 32, 3, depth=2)
DOUBLE = torch.float64
STILL = {"batch_statistics": False}
"""An image's prediction then depends on that image alone."""


@dataclass(frozen=True)
class Fixed(iop.IOP):
    """Gates that say the same of every image, whatever they have learned."""

    weights: tuple[float, ...] = ()

    def weigh(self, gate: Leaves, pooled: Tensor) -> Tensor:
        return torch.tensor(self.weights).to(pooled).expand(len(pooled), -1)


def pictures(count: int, side: int = SIZE, seed: int = 0) -> PackedImages:
    source = torch.Generator().manual_seed(seed)
    return PackedImages.of(torch.randint(256, (count, side, side, 3), generator=source, dtype=torch.uint8))


@cache
def model(network: str) -> Model:
    """Of the small transformer with LoRA, under one or two adapters; the small U-Net, likewise; the small SAM."""
    kind, _, name = network.partition("-")
    if kind == "unet":
        return unet(method(name or "iop_fl"), None).model
    if kind == "lora":
        return engine(method(name or "iop_fl")).model
    body, head = sam.build("sam_tiny", SMALL, TASK.outputs, SIZE)
    tensors = random("sam_tiny", SMALL, seed=0)
    network_ = sam.Sam(body, head, sam.fill(body, tensors), LoraSettings(targets=["q", "v"], rank=2, alpha=2))
    return Model.of(network_.on("cpu", "float64"), TASK, method("iop_fl"))


@cache
def bank(network: str) -> Bank:
    return drawn(model(network), DOUBLE)


def widened(network: str, held: Bank, of: Adaptation, **weights: float) -> tuple[Mixture, dict[str, Tensor]]:
    """What an adaptation begins with; what has no gate is the common model's, or has these weights."""
    chosen = {**dict.fromkeys(held.experts, 0.0), **(weights or {COMMON: 1.0})}
    return Mixture.of(model(network), held, chosen, of.batch_statistics).widened(of)


def moved(leaves: Mapping[str, Tensor]) -> None:
    """Gates that say something else of every image and place."""
    source = torch.Generator().manual_seed(2)
    for leaf in leaves.values():
        leaf.data += torch.rand(leaf.shape, generator=source, dtype=leaf.dtype) - 0.5


@pytest.mark.parametrize(
    ("case", "settings"),
    [
        (UNET, STILL),
        (UNET, {"batch_statistics": True, "gate": "sigmoid"}),
        (UNET, {**STILL, "router": "affine"}),
        (VIT, STILL),
        (replace(VIT, targets=("qkv", "proj", "fc1", "fc2")), STILL),
    ],
)
def test_the_network_that_runs_once_is_all_experts_side_by_side(case: Case, settings: dict[str, Any]) -> None:
    """Logits, and the gradients by every gate and norm, of plain modules: each expert's layers run, one by one.

    A gate reads the mean of all tokens, in the last block too, though its head sees the class token alone.
    The released convolutions mix experts 0 to 3 and the common one, transposed ones all six: here all six, everywhere.
    """
    ours, theirs = (step() for step in both(case, DOUBLE, **settings))
    assert difference(ours, theirs) < 1e-9
    assert all(own.any() for own in ours)


@pytest.mark.parametrize("network", ["lora", "lora-fedpal", "unet", "unet-ditto", "sam"])
def test_a_gate_that_is_open_for_one_expert_gives_what_it_predicts(network: str) -> None:
    """With its norms where there is no gate; whatever adapters and heads it has."""
    held, images = bank(network), pictures(3)
    for number, expert in enumerate(EXPERTS[::2]):
        one = tuple(float(k == 2 * number) for k in range(len(EXPERTS)))
        mixture, _ = widened(network, held, Fixed(weights=one, **STILL), **{expert: 1.0})
        alone = Mixture.of(model(network), held, {expert: 1.0})
        assert float((predicted(mixture, images) - predicted(alone, images)).abs().max()) < CLOSE


@pytest.mark.parametrize("network", ["lora", "unet", "sam"])
def test_without_a_pass_all_experts_count_the_same(network: str) -> None:
    """It is `mean` to rounding, where norms, which have no gate, are equal: of LoRA always, of a U-Net if made so.

    Of SAM the decoder runs for each head, and in each run all adapters are mixed, as in `mean`.
    """
    held, images = bank(network), pictures(3)
    if network == "unet":
        common = held.experts[COMMON]
        norms = {n: common[n] for n, leaf in model(network).leaves.items() if leaf.role in ("norm", "buffer")}
        held = Bank({expert: {**leaves, **norms} for expert, leaves in held.experts.items()})
    both = (
        {name: torch.cat([own for _, own in chunks]) for name, chunks in served(of, model(network), held, images, 0)}
        for of in (adaptation("mean"), adaptation("iop", passes=0, **STILL))
    )
    (mean,), (found,) = (own.values() for own in both)
    assert float((mean - found).abs().max()) < CLOSE


@pytest.mark.parametrize("network", ["lora", "unet"])
def test_equal_experts_routed_are_the_expert_unless_weights_do_not_sum_to_one(network: str) -> None:
    """Softmax changes nothing, whatever gates have learned; the released sigmoid does."""
    held, images = Bank(dict.fromkeys(EXPERTS, bank(network).experts[COMMON])), pictures(3)
    alone = predicted(Mixture.of(model(network), held, {COMMON: 1.0}), images)
    apart = {}
    for gate in ("softmax", "sigmoid"):
        mixture, learned = widened(network, held, adaptation("iop", gate=gate, **STILL))
        moved({name: leaf for name, leaf in learned.items() if name.startswith(GATES)})
        apart[gate] = float((predicted(mixture, images) - alone).detach().abs().max())
    assert apart["softmax"] < CLOSE
    assert apart["sigmoid"] > 1e-3


def test_adapters_are_added_to_the_whole_frozen_weight_whatever_gates_sum_to() -> None:
    """As mixing adapters says. Released kernels mixed by a sigmoid would scale it by the sum, about three at first."""
    common = bank("lora").experts[COMMON]
    none = {name: torch.zeros_like(leaf) if name.endswith(".B") else leaf for name, leaf in common.items()}
    mixture, _ = widened("lora", Bank(dict.fromkeys(EXPERTS, none)), adaptation("iop", gate="sigmoid"))
    alone = Mixture.of(model("lora"), Bank({COMMON: none}), {COMMON: 1.0})
    with torch.no_grad():
        routed, frozen = (own.images(pictures(3)[:])(own.params) for own in (mixture, alone))
    assert float((routed.features - frozen.features).abs().max()) < CLOSE
    assert float((routed.prediction - len(EXPERTS) / 2 * frozen.prediction).abs().max()) < CLOSE


def test_experts_change_places_with_the_columns_of_their_gates() -> None:
    held, images, of = bank("lora"), pictures(3), adaptation("iop", **STILL)
    mixture, learned = widened("lora", held, of)
    moved(learned)
    turned, others = widened("lora", Bank(dict(reversed(held.experts.items()))), of)
    for name, leaf in learned.items():
        others[name].data = leaf.data.flip(0) if "/last." in name else leaf.data
    assert float((predicted(mixture, images) - predicted(turned, images)).abs().max()) < CLOSE


@pytest.mark.parametrize("network", ["lora", "unet"])
def test_every_gate_knows_all_experts_and_every_expert_counts_everywhere(network: str) -> None:
    """The released convolutions never read the fifth client: its kernels would have no gradient here."""
    held = bank(network)
    asked = {e: {n: leaf.clone().requires_grad_() for n, leaf in own.items()} for e, own in held.experts.items()}
    mixture, learned = widened(network, Bank(asked), adaptation("iop", **STILL))
    moved(learned)
    assert {len(leaf) for name, leaf in learned.items() if "/last." in name} == {len(EXPERTS)}
    logits = mixture.images(pictures(2)[:])(mixture.params).prediction
    (logits**2).sum().backward()
    roles = {name: leaf.role for name, leaf in model(network).leaves.items()}
    for leaves in asked.values():
        routed = [leaf for name, leaf in leaves.items() if roles[name] not in ("norm", "buffer")]
        assert all(leaf.grad is not None and leaf.grad.any() for leaf in routed)


@pytest.mark.parametrize("network", ["lora", "unet"])
def test_all_gates_and_norms_are_trained_and_nothing_else(network: str) -> None:
    """The released code leaves the bottleneck's gates out of what it trains: here `encoder.1`, the deepest stage."""
    held, of = bank(network), adaptation("iop", passes=2)
    before = {e: {n: leaf.clone() for n, leaf in own.items()} for e, own in held.experts.items()}
    start, learned = widened(network, held, of)
    after = Mixture.of(model(network), held, {**dict.fromkeys(EXPERTS, 0.0), COMMON: 1.0}, True).adapted(
        of, pictures(7), 0
    )
    assert after.params.keys() == start.params.keys()
    assert all(not torch.equal(after.params[name], leaf.detach()) for name, leaf in learned.items())
    assert all(after.params[name] is leaf for name, leaf in start.params.items() if name not in learned)
    assert all(torch.equal(before[e][n], leaf) for e, own in held.experts.items() for n, leaf in own.items())
    places = {name.split("/")[1] for name in learned if name.startswith(GATES)}
    deepest = {"blocks.0.attn.q", "blocks.1.attn.q"} if network == "lora" else {"encoder.1.0", "encoder.1.3", "up.0"}
    assert deepest | {"head"} <= places


def test_adapting_is_what_a_plain_loop_does_and_its_last_pass_predicts() -> None:
    """Experts side by side, Adam, the loss written out: two passes over seven images in batches of three.

    The released code takes the best of ten passes by labels, and keeps dropout in its gates on: either would be seen.
    """
    of, images = adaptation("iop", passes=2, batch_size=3, rate=0.01), pictures(7, UNET.size)
    body, own, held = UNET.made(DOUBLE)
    found = dict(served(of, own, held, images, seed=4))
    start, learned = Mixture.of(own, held, {**dict.fromkeys(EXPERTS, 0.0), COMMON: 1.0}, True).widened(of, 4)
    plain, theirs = naive(body, own, held, learned, of)
    plain.train()
    for buffer in plain.modules():
        buffer.track_running_stats = False  # type: ignore[assignment]
    optimiser, order = torch.optim.Adam(theirs.values(), lr=0.01), torch.Generator().manual_seed(4)
    for number in range(2):
        for step, which in enumerate(torch.randperm(7, generator=order).split(3)):
            batch = start.images(images[which], 4, number, step)
            view, back = batch.view(0.5)
            logits = plain(batch.pixels)
            p = logits.softmax(1)
            decided = -(p * p.log()).sum(1).mean() / np.log(3)
            agreed = ((p - back(plain(view.pixels)).softmax(1)) ** 2).mean()
            optimiser.zero_grad()
            (10 * decided + 0.1 * agreed + 1e-6 * contour(p)).backward()
            optimiser.step()
    for which, ours in found["iop"]:
        with torch.no_grad():
            expected = plain(start.images(images[which]).pixels)
        assert float((ours - expected).abs().max()) < 1e-9


def contour(p: Tensor) -> Tensor:
    """The mean over images of the length of local maxima less local minima, of all squares of 21 x 21 pixels."""
    high, low = (
        pad(p[:, 1:], [10] * 4, value=edge).unfold(2, 21, 1).unfold(3, 21, 1) for edge in (-torch.inf, torch.inf)
    )
    return (high.amax((4, 5)) - low.amin((4, 5))).square().sum((1, 2, 3)).sqrt().mean()


def test_the_contour_is_nothing_on_even_maps_and_follows_no_batch() -> None:
    """The length of the released code's is that of all images of a batch: it would grow with their number."""
    assert float(iop._contour(torch.full((2, 3, 24, 24), 0.3))) == 0
    assert float(iop._contour(torch.rand(4, 3))) == 0, "classes of whole images have no contour"
    p = torch.rand(2, 3, 24, 25, generator=torch.Generator().manual_seed(0), dtype=DOUBLE)
    assert float(iop._contour(p)) == pytest.approx(float(contour(p)), rel=1e-12)
    assert float(iop._contour(torch.cat([p] * 3))) == pytest.approx(float(iop._contour(p)), rel=1e-12)
    assert float(entropy(torch.cat([p] * 3))) == pytest.approx(float(entropy(p)), rel=1e-12)


def test_a_view_turned_back_is_the_image_and_its_noise() -> None:
    """To the bit without noise. The noise is as large as it is said to be, in the image's own measure."""
    images = pictures(40, 16)
    batch = Mixture.of(model("unet"), bank("unet"), {COMMON: 1.0}).images(images[:], "view")
    view, back = batch.view(0.0)
    assert torch.equal(back(view.pixels), batch.pixels)
    kinds = {
        (mirrored, turned)
        for k in range(40)
        for mirrored in (False, True)
        for turned in range(4)
        if torch.equal(view.pixels[k], seen(batch.pixels[k], mirrored, turned))
    }
    assert len(kinds) == 8
    noisy, back = batch.view(0.5)
    noise = (back(noisy.pixels) - batch.pixels) / batch.pixels.std((1, 2, 3), keepdim=True)
    assert float(noise.std()) == pytest.approx(0.5, rel=0.02)
    assert abs(float(noise.mean())) < 0.02
    whole = Mixture.of(model("lora"), bank("lora"), {COMMON: 1.0}).images(images[:], "view")
    logits = torch.rand(40, 3)
    assert whole.view(0.5)[1](logits) is logits, "what is predicted of whole images"


def seen(image: Tensor, mirrored: bool, turned: int) -> Tensor:
    return torch.rot90(image.flip(2) if mirrored else image, turned, (1, 2))


def test_every_step_draws_another_view_and_the_same_step_the_same() -> None:
    """The released code seeds its noise anew in every step, so that it is always the same."""
    mixture, images = Mixture.of(model("unet"), bank("unet"), {COMMON: 1.0}), pictures(3)[:]
    keys = [(0, 0, 0), (0, 0, 1), (0, 1, 0), (1, 0, 0)]
    views = [mixture.images(images, *key).view(0.5)[0].pixels for key in keys]
    assert all(not torch.equal(one, other) for k, one in enumerate(views) for other in views[:k])
    assert torch.equal(views[1], mixture.images(images, 0, 0, 1).view(0.5)[0].pixels)
    twice = mixture.images(images, 0)
    assert not torch.equal(twice.view(0.5)[0].pixels, twice.view(0.5)[0].pixels)


@dataclass(frozen=True)
class Killed(iop.IOP):
    """Ends in its third step."""

    steps: tuple[list[int], ...] = ()

    def loss(self, batch: Batch, params: Leaves) -> Tensor:
        self.steps[0].append(0)
        if len(self.steps[0]) == 3:
            raise KeyboardInterrupt
        return super().loss(batch, params)


def outcome(network: str, of: Adaptation, images: PackedImages, seed: int = 0, **options: Any) -> Tensor:
    ((_, chunks),) = served(of, model(network), bank(network), images, seed, **options)
    return torch.cat([own for _, own in chunks])


def test_killed_and_begun_anew_it_predicts_the_same_to_the_bit() -> None:
    """And another seed something else: of gates, of the order, and of views."""
    images, settings = pictures(5), {"passes": 2, "batch_size": 2}
    steps: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        outcome("lora", Killed(steps=(steps,), **settings), images)
    first, again, other = (outcome("lora", adaptation("iop", **settings), images, seed) for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("network", ["lora", "unet"])
def test_a_hospital_with_one_image_is_served(network: str) -> None:
    found = outcome(network, adaptation("iop", passes=2), pictures(1))
    assert len(found) == 1
    assert torch.isfinite(found).all()
    assert not torch.equal(found, outcome(network, adaptation("iop", passes=0), pictures(1)))


def test_an_image_depends_on_its_neighbours_by_batch_statistics_alone_and_then_on_those_of_its_case() -> None:
    """The released code's volumes meet in a batch: what is predicted for one depends on which stands before it."""
    images, cases = pictures(6), torch.tensor([0, 0, 0, 1, 1, 1])
    other = PackedImages.of(torch.cat([pictures(3, seed=9)[:], images[:][3:]]))
    last = slice(3, 6)
    for settings, told, same in [
        ({"batch_statistics": False}, None, True),
        ({"batch_size": 4}, None, False),
        ({"batch_size": 4}, cases, True),
    ]:
        of = adaptation("iop", passes=0, **settings)
        one, two = (outcome("unet", of, own, cases=told)[last] for own in (images, other))
        assert (float((one - two).abs().max()) < CLOSE) is same


def test_batches_are_of_one_case_whose_images_stand_side_by_side() -> None:
    images, cases = pictures(6), torch.tensor([7, 7, 7, 2, 5, 5])
    assert batches(images, 2) == [slice(0, 2), slice(2, 4), slice(4, 6)]
    assert batches(images, 2, cases) == [slice(0, 2), slice(2, 3), slice(3, 4), slice(4, 6)]
    part = PackedImages(images.pack, torch.tensor([1, 2, 4]))
    assert batches(part, 5, cases) == [slice(0, 2), slice(2, 3)]
    with pytest.raises(ValueError, match="images of one case must stand side by side"):
        batches(PackedImages(images.pack, torch.tensor([0, 4, 1])), 5, cases)


def test_with_a_split_no_image_that_is_predicted_is_learned_from() -> None:
    """The released code adapts to the very images that it is scored on: here that is one of two ways."""
    images, learned = pictures(4), pictures(5, seed=3)
    other = PackedImages.of(torch.cat([images[:][:1], pictures(3, seed=8)[:]]))
    of = adaptation("iop", passes=2, **STILL)
    split = [outcome("unet", of, own, learned=learned)[0] for own in (images, other)]
    assert float((split[0] - split[1]).abs().max()) < CLOSE
    here = [outcome("unet", of, own)[0] for own in (images, other)]
    assert float((here[0] - here[1]).abs().max()) > 1e-6


def test_two_layers_are_one_affine_map() -> None:
    """F2 (F1 m + b1) + b2 = (F2 F1) m + F2 b1 + b2: so `router: affine` has the same functions."""
    two, one = adaptation("iop"), adaptation("iop", router="affine")
    source = torch.Generator().manual_seed(0)
    gate = {n: torch.rand(shape, generator=source, dtype=DOUBLE) for n, (shape, _) in two.gates(4, 3).items()}
    product = {
        "last.weight": gate["last.weight"] @ gate["first.weight"],
        "last.bias": gate["last.weight"] @ gate["first.bias"] + gate["last.bias"],
    }
    assert {n: leaf.shape for n, leaf in product.items()} == {n: shape for n, (shape, _) in one.gates(4, 3).items()}
    pooled = torch.rand(5, 4, generator=source, dtype=DOUBLE)
    assert float((two.weigh(gate, pooled) - one.weigh(product, pooled)).abs().max()) < CLOSE


def test_gates_that_cannot_be_are_one_line() -> None:
    held = bank("lora")
    mixture, _ = widened("lora", held, Fixed(weights=(0.5, 0.5)))
    with pytest.raises(
        ValueError, match=r"^weigh\(\) returned \(2, 2\) at blocks.0.attn.q; expected \(2, 6\): a weight"
    ):
        predicted(mixture, pictures(2))
    ours = tiny.engine(method("iop_fl"))
    alone = Mixture.of(ours.model, Bank.of(ours, tiny.run(ours, 1)), {COMMON: 1.0})
    with pytest.raises(ValueError, match=r"^IOP-FL routing: it has gates, but the network tiny has no place for one$"):
        alone.widened(adaptation("iop"))
