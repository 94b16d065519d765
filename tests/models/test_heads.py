"""The upscaling head: against torch's own layers, and its stages."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from benchmark.models.heads import Upscaler, stages


def drawn(head: Upscaler, seed: int = 0) -> dict[str, Tensor]:
    source = torch.Generator().manual_seed(seed)
    return {
        leaf.name: torch.randn(leaf.shape, generator=source, dtype=torch.float64) / 3 for leaf in head.leaves("head")
    }


def plain(head: Upscaler, params: dict[str, Tensor], seen: Tensor) -> Tensor:
    """The same by transposed convolutions on (n, channels, side, side)."""
    x = seen.permute(0, 3, 1, 2)
    for stage, factor in enumerate(head.factors):
        x = F.conv_transpose2d(x, params[f"head/up{stage}.weight"], params[f"head/up{stage}.bias"], stride=factor)
        if stage < len(head.factors) - 1:
            own = (params[f"head/norm{stage}.{kind}"] for kind in ("weight", "bias"))
            x = F.layer_norm(x.permute(0, 2, 3, 1), x.shape[1:2], *own).permute(0, 3, 1, 2)
        x = F.gelu(x)
    return F.conv2d(x, params["head/weight"][:, :, None, None], params["head/bias"])


@pytest.mark.parametrize("factors", [(), (2, 2), (2, 2, 3), (2, 7)])
def test_it_is_a_stack_of_transposed_convolutions(factors: tuple[int, ...]) -> None:
    head = Upscaler(12, 3, 2, factors)
    params, seen = drawn(head), torch.rand(2, 2, 2, 12, dtype=torch.float64)
    found = head(params, "head", seen)
    assert torch.allclose(found, plain(head, params, seen), atol=1e-12, rtol=0)
    side = 2 * torch.tensor(factors).prod() if factors else 2
    assert found.shape == (2, 3, side, side)


def test_lanes_predict_as_they_do_alone() -> None:
    head, seen = Upscaler(12, 2, 2, (2, 3)), torch.rand(2, 2, 2, 12, dtype=torch.float64)
    lanes = [drawn(head, seed) for seed in range(3)]
    together = {name: torch.stack([lane[name] for lane in lanes]) for name in lanes[0]}
    found = torch.vmap(lambda params: head(params, "head", seen))(together)
    assert torch.allclose(found, torch.stack([head(lane, "head", seen) for lane in lanes]), atol=1e-12, rtol=0)


def test_its_size_is_that_of_the_published_head() -> None:
    """Of ViT-Tiny's tokens, 16 pixels wide: 64, 32, 16 and 8 channels, by hand."""
    leaves = Upscaler(192, 2, 14, stages(16)).leaves("head")
    convolutions = sum(4 * a * b + b for a, b in ((192, 64), (64, 32), (32, 16), (16, 8)))
    norms = 2 * (64 + 32 + 16)
    assert sum(torch.Size(leaf.shape).numel() for leaf in leaves) == convolutions + norms + 2 * 8 + 2
    assert {leaf.role for leaf in leaves} == {"head"}


def test_stages_are_prime_factors() -> None:
    assert [stages(n) for n in (1, 2, 12, 14, 16)] == [[], [2], [2, 2, 3], [2, 7], [2, 2, 2, 2]]
