"""What the plain path takes from PEFT is what the papers say: checked by hand before anything is compared with it."""

from dataclasses import replace

import numpy as np
import pytest
import timm
import torch
from torch import Tensor

from benchmark.federation.client import ClientData
from tests.federation.small import ARGUMENTS, CLASSES, SIZE, VIT, clients, weights
from tests.reference.hospital import Drawn, Hospital, Images, SeparateQKV, Setting, average, changed, cosine


def images(own: ClientData) -> Images:
    """A hospital, and the steps of one pass, in which images stand in order and are changed as little as may be."""
    stored, labels = own.training.images[:].numpy(), own.training.targets.numpy()
    still = np.tile([0.9, 0.9, 0.0, 0.5, 0.5], (len(labels), 1))
    steps = [Drawn(stored[i : i + 8], labels[i : i + 8], still[i : i + 8]) for i in range(0, len(labels), 8)]
    return Images(own.name, stored, labels, own.validation.images[:].numpy(), stored[:, None], iter(steps))


def initial(name: str, k: int, round: int) -> Tensor:
    """Drawn leaves, not the same at two hospitals."""
    source = torch.Generator().manual_seed(k + sum(name.encode()))
    shapes = {"head/weight": (len(CLASSES), 48), "head/bias": (len(CLASSES),)}
    return torch.randn(shapes.get(name, (4, 48) if name.endswith(".A") else (48, 4)), generator=source)


def setting() -> Setting:
    """Three hospitals."""
    data = [images(own) for own in clients()]
    return Setting((VIT, {**ARGUMENTS, "img_size": SIZE}), weights(), data, len(CLASSES), initial, rank=4, alpha=8.0)


@pytest.fixture
def hospital() -> Hospital:
    """One with two adapters, every B as large as every A."""
    made = Hospital(setting(), setting().data[0], ["global", "personal"])
    source = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for adapter in made.adapters:
            for B in made.B(adapter):
                B.copy_(0.3 * torch.randn(B.shape, generator=source, dtype=B.dtype))
    return made


def test_separate_projections_are_the_fused_one() -> None:
    """Taking qkv apart changes nothing."""
    vit = timm.create_model(VIT, **ARGUMENTS, img_size=SIZE).double()
    fused = vit.blocks[0].attn.qkv
    x = torch.randn(2, 5, 48, dtype=torch.float64)
    assert (SeparateQKV(fused).double()(x) - fused(x)).abs().max() < 1e-12


@pytest.mark.parametrize(
    "mix",
    [{"global": 1.0}, {"global": 1.0, "personal": 1.0}, {"global": 0.5, "personal": 0.5}, {"personal": 0.2}],
    ids=str,
)
def test_peft_sums_the_outputs_of_active_adapters(hospital: Hospital, mix: dict[str, float]) -> None:
    """W0 x + b + sum of mix * alpha/rank * B A x; adapters that are not in use take no part."""
    hospital.use({"global": 3.0, "personal": 4.0})
    hospital.use(mix)
    for layer in hospital.layers.values():
        x = torch.randn(2, 5, 48, dtype=torch.float64)
        expected = x @ layer.base_layer.weight.T + layer.base_layer.bias
        for adapter, weight in mix.items():
            A, B = layer.lora_A[adapter].weight, layer.lora_B[adapter].weight
            expected = expected + weight * (8.0 / 4) * (x @ A.T @ B.T)
        assert (layer(x) - expected).abs().max() < 1e-12


def test_only_what_is_trained_changes(hospital: Hospital) -> None:
    """Training the personal adapter beside the global one leaves global adapter, head and backbone as they are."""
    before = {name: parameter.detach().clone() for name, parameter in hospital.model.named_parameters()}
    hospital.use({"global": 0.5, "personal": 0.5})
    hospital.train(hospital.AB("personal"), "round 0 pass 0", 0.1)
    for name, parameter in hospital.model.named_parameters():
        assert torch.equal(parameter, before[name]) == (".personal." not in name), name


def test_averages_are_weighted_by_images(hospital: Hospital) -> None:
    """By hand, for two hospitals of 13 and 21 images."""
    other = Hospital(setting(), setting().data[1], ["global", "personal"], 1)
    assert (hospital.size, other.size) == (13, 21)
    expected = [(13 * a + 21 * b) / 34 for a, b in zip(hospital.A("global"), other.A("global"), strict=True)]
    average([hospital, other], lambda h: h.A("global"))
    for mean, mine, theirs in zip(expected, hospital.A("global"), other.A("global"), strict=True):
        assert torch.equal(mine, theirs)
        assert torch.allclose(mine, mean, atol=1e-15)


def test_uniform_averages_are_means(hospital: Hospital) -> None:
    """Whatever the hospitals' sizes."""
    other = Hospital(setting(), setting().data[1], ["global", "personal"], 1)
    expected = [(a + b) / 2 for a, b in zip(hospital.A("global"), other.A("global"), strict=True)]
    average([hospital, other], lambda h: h.A("global"), uniform=True)
    for mean, mine in zip(expected, hospital.A("global"), strict=True):
        assert torch.allclose(mine, mean, atol=1e-15)


def test_an_image_is_mirrored_turned_and_brightened_as_its_numbers_say() -> None:
    """A marked pixel is followed through every change; brightness and contrast by hand."""
    image = np.full((4, 4, 3), 100, np.uint8)
    image[0, 1] = 200
    still = [0.9, 0.9, 0.0, 0.5, 0.5]
    assert np.allclose(changed(image, np.array(still)), image.transpose(2, 0, 1) / 255)
    for numbers, place in (
        ([0.1, 0.9, 0.0], (0, 2)),
        ([0.9, 0.1, 0.0], (3, 1)),
        ([0.9, 0.9, 0.3], (3, 2)),
        ([0.9, 0.9, 0.6], (2, 0)),
        ([0.9, 0.9, 0.8], (1, 3)),
    ):
        found = changed(image, np.array([*numbers, 0.5, 0.5]))[0]
        assert np.unravel_index(found.argmax(), found.shape) == place, numbers
    found = changed(image, np.array([0.9, 0.9, 0.0, 1.0, 0.0]))
    mean = image.mean() / 255
    assert np.allclose(found, ((image / 255 - mean) * 0.9 + mean + 0.15).transpose(2, 0, 1))


def test_a_pass_that_shows_an_image_twice_is_refused(hospital: Hospital) -> None:
    """Every epoch shows every image once."""
    first = next(hospital.data.steps)
    again = replace(hospital.data, steps=iter([first, first]), passes={})
    with pytest.raises(AssertionError):
        list(Hospital(setting(), again, ["global"]).batches("round 0 pass 0", 1))


def test_the_cosine_has_a_floor_and_the_gradient_of_what_it_returns() -> None:
    """Numbers by hand; gradients by finite differences, above the floor, below it, and on one side only."""
    x, y = torch.tensor([3.0, 4.0], dtype=torch.float64), torch.tensor([1.0, 0.0], dtype=torch.float64)
    assert float(cosine(x, y, 1e-6)) == pytest.approx(3 / 5)
    assert float(cosine(x, y, 2.0)) == pytest.approx(3 / (5 * 2))

    def product(a: Tensor, b: Tensor) -> Tensor:
        return cosine(a, b, 0.5)

    for first, second in ((1.0, 1.0), (0.05, 0.2), (0.05, 1.0)):
        a, b = (torch.randn(3, 4, dtype=torch.float64) for _ in range(2))
        a = (first * a / a.norm(dim=-1, keepdim=True)).requires_grad_()
        b = (second * b / b.norm(dim=-1, keepdim=True)).requires_grad_()
        assert torch.autograd.gradcheck(product, (a, b))
