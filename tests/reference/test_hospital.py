"""What the plain path takes from PEFT is what the papers say: checked by hand before anything is compared with it."""

import pytest
import timm
import torch
from torch import Tensor

from tests.federation.small import ARGUMENTS, CLASSES, SIZE, VIT, clients, weights
from tests.reference.hospital import Hospital, Images, SeparateQKV, Setting, average, cosine

DATA = [Images(own.name, own.training.images[:], own.training.targets, own.validation.images[:]) for own in clients()]
SETTING = Setting((VIT, {**ARGUMENTS, "img_size": SIZE}), weights(), DATA, len(CLASSES), rank=4, alpha=8.0)


@pytest.fixture
def hospital() -> Hospital:
    """One with two adapters, every B as large as every A."""
    made = Hospital(SETTING, DATA[0], 0, ["global", "personal"])
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
    other = Hospital(SETTING, DATA[1], 1, ["global", "personal"])
    assert (hospital.size, other.size) == (13, 21)
    expected = [(13 * a + 21 * b) / 34 for a, b in zip(hospital.A("global"), other.A("global"), strict=True)]
    average([hospital, other], lambda h: h.A("global"))
    for mean, mine, theirs in zip(expected, hospital.A("global"), other.A("global"), strict=True):
        assert torch.equal(mine, theirs)
        assert torch.allclose(mine, mean, atol=1e-15)


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
