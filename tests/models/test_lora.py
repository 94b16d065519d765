"""Adapted layers: W0 x + b + sum_a m_a (alpha / rank) B_a A_a x, by hand."""

import pytest
import torch
from torch import Tensor, nn

from benchmark.leaf import Leaves, lora_name
from benchmark.method import Mix
from benchmark.models.lora import AdaptedLinear, adapt
from benchmark.models.vit import ViT
from benchmark.settings import LoraSettings
from tests.federation.small import transformer
from tests.models.small import features, network

DIM, RANK, ALPHA = 48, 3, 6.0
SCALE = ALPHA / RANK
WHERE = {
    "q": ("attn.qkv", slice(0, DIM)),
    "k": ("attn.qkv", slice(DIM, 2 * DIM)),
    "v": ("attn.qkv", slice(2 * DIM, 3 * DIM)),
    "qkv": ("attn.qkv", slice(0, 3 * DIM)),
    "proj": ("attn.proj", slice(0, DIM)),
    "fc1": ("mlp.fc1", slice(0, 4 * DIM)),
    "fc2": ("mlp.fc2", slice(0, DIM)),
}
"""Of every target, its layer in timm's block, and its rows there."""
ADAPTERS = ("global", "personal", "third")
MIXES: dict[str, Mix] = {
    "one": {"personal": 1.0},
    "sum": {"global": 1.0, "personal": 1.0},
    "weights": {"global": 0.3, "third": -0.7},
    "per image": {"global": torch.tensor([0.2, 0.9, 0.0], dtype=torch.float64), "personal": 0.5, "third": 1.0},
    "none": {},
}


def adapted(*targets: str) -> tuple[ViT, dict[str, Tensor]]:
    """A backbone with these targets, and random leaves of three adapters."""
    vit = network(transformer(), LoraSettings(targets=targets, rank=RANK, alpha=ALPHA))
    source = torch.Generator().manual_seed(0)
    leaves = vit.leaves(ADAPTERS, [], ["lora"])
    return vit, {f.name: 0.3 * torch.randn(f.shape, generator=source, dtype=torch.float64) for f in leaves}


def by_hand(layer: AdaptedLinear, x: Tensor, params: Leaves, mix: Mix, block: int, targets: tuple[str, ...]) -> Tensor:
    """The formula, term by term and image by image."""
    rows = []
    for n in range(len(x)):
        y = x[n] @ layer.frozen.weight.T + layer.frozen.bias
        for adapter, weight in mix.items():
            own = weight[n] if isinstance(weight, Tensor) else weight
            for target in targets:
                path, where = WHERE[target]
                third = target in ("q", "k", "v")
                site = f"blocks.{block}.attn.{target}" if third else f"blocks.{block}.{path}"
                A, B = params[f"{adapter}/{site}.A"], params[f"{adapter}/{site}.B"]
                y[:, where] += own * SCALE * (x[n] @ A.T @ B.T)
        rows.append(y)
    return torch.stack(rows)


@pytest.mark.parametrize("mix", MIXES.values(), ids=MIXES.keys())
@pytest.mark.parametrize("targets", [(t,) for t in WHERE] + [("q", "v"), ("v", "k", "q")], ids="-".join)
def test_an_adapted_layer_is_the_formula(targets: tuple[str, ...], mix: Mix) -> None:
    """Every target, alone and with other thirds of the fused projection; one, several or no adapters."""
    vit, params = adapted(*targets)
    path, _ = WHERE[targets[0]]
    for block in (0, 1):
        layer = vit.backbone.vit.get_submodule(f"blocks.{block}.{path}")
        source = torch.Generator().manual_seed(block)
        x = torch.randn(3, 5, layer.frozen.in_features, generator=source, dtype=torch.float64)
        with vit._adaptation.using(params, mix, trace=False):
            found = layer(x)
        assert (found - by_hand(layer, x, params, mix, block, targets)).abs().max() < 1e-12


@pytest.mark.parametrize("targets", [("q", "v"), ("qkv", "fc1"), ("q", "k", "v", "proj", "fc1", "fc2")], ids="-".join)
@pytest.mark.parametrize("kind", ["sum", "weights", "per image"])
def test_the_trace_is_every_adapters_unweighted_output_at_every_site(targets: tuple[str, ...], kind: str) -> None:
    """(alpha / rank) B A x, whatever the mix, in the order of the sites; x is caught at the layer's door."""
    vit, params = adapted(*targets)
    mix = MIXES[kind]
    inputs: dict[str, Tensor] = {}
    for name, module in vit.backbone.vit.named_modules():
        if isinstance(module, AdaptedLinear):
            module.register_forward_pre_hook(lambda _, arguments, name=name: inputs.update({name: arguments[0]}))
    images = torch.rand(3, 3, 32, 32, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    _, trace = features(vit, images, params, mix, trace=True)
    assert trace.keys() == mix.keys()
    for adapter, outputs in trace.items():
        assert len(outputs) == len(vit.backbone.sites) == 2 * len(targets)
        for site, output in zip(vit.backbone.sites, outputs, strict=True):
            parent, _, last = site.name.rpartition(".")
            x = inputs[f"{parent}.qkv" if last in ("q", "k", "v") else site.name]
            A, B = (params[lora_name(adapter, site.name, factor)] for factor in "AB")
            assert (output - SCALE * (x @ A.T @ B.T)).abs().max() < 1e-12


def test_tracing_changes_nothing() -> None:
    """Features are the same with and without it, though the last block computes fewer tokens without a trace."""
    vit, params = adapted("q", "v")
    images = torch.rand(3, 3, 32, 32, dtype=torch.float64)
    (with_trace, _), (without, empty) = (
        features(vit, images, params, MIXES["weights"], trace=t) for t in (True, False)
    )
    assert (with_trace - without).abs().max() < 1e-12
    assert not empty


@pytest.mark.parametrize("targets", [("q", "v"), ("qkv", "proj", "fc1", "fc2")], ids="-".join)
def test_the_last_block_is_computed_for_the_class_token_alone(targets: tuple[str, ...]) -> None:
    """Its projection and MLP see one token, and the features and their gradients are those of the whole block."""
    vit, params = adapted(*targets)
    seen: list[int] = []
    last = vit.backbone.vit.blocks[-1]
    last.attn.proj.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape[1]))
    last.mlp.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape[1]))
    images = torch.rand(3, 3, 32, 32, dtype=torch.float64)
    leaves = {name: leaf.requires_grad_() for name, leaf in params.items()}
    found = []
    for trace in (False, True):
        output, _ = features(vit, images, leaves, {"global": 1.0}, trace=trace)
        own = [leaf for name, leaf in leaves.items() if name.startswith("global")]
        found.append([output, *torch.autograd.grad(output.sum(), own)])
    assert seen == [1, 1, 17, 17]
    for short, whole in zip(*found, strict=True):
        assert (short - whole).abs().max() < 1e-12


def test_adapters_with_b_zero_are_timms_own_model() -> None:
    """The common start changes nothing, and neither does an empty mix."""
    vit, params = adapted("q", "k", "v", "proj", "fc1", "fc2")
    images = torch.rand(3, 3, 32, 32, dtype=torch.float64)
    plain = transformer().double().eval()
    expected = plain((images - vit.backbone.mean) / vit.backbone.std)
    zero = {name: torch.zeros_like(leaf) if name.endswith(".B") else leaf for name, leaf in params.items()}
    assert (features(vit, images, zero, MIXES["sum"])[0] - expected).abs().max() < 1e-12
    assert (features(vit, images, params, {})[0] - expected).abs().max() < 1e-12
    assert (features(vit, images, params, MIXES["sum"])[0] - expected).abs().max() > 1e-3


def test_nothing_of_a_pass_is_left_behind() -> None:
    """Leaves are forgotten after every pass, also after one that fails: no tensor leaks into the next."""
    vit, params = adapted("q")
    images = torch.rand(2, 3, 32, 32, dtype=torch.float64)
    features(vit, images, params, MIXES["sum"], trace=True)
    with pytest.raises(KeyError):
        features(vit, images, {n: leaf for n, leaf in params.items() if not n.endswith(".B")}, MIXES["sum"])
    left = vit._adaptation
    assert not left.params
    assert not left.mix
    assert left.trace is None


@pytest.mark.parametrize("targets", [("q", "v"), ("qkv",), ("k", "proj", "fc1", "fc2")], ids="-".join)
def test_leaves_have_the_shapes_of_their_projections(targets: tuple[str, ...]) -> None:
    """A (rank, in), B (out, rank), at every site of every block, for every adapter."""
    vit, _ = adapted(*targets)
    outputs = {target: rows.stop - rows.start for target, (_, rows) in WHERE.items()}
    inputs = {target: 4 * DIM if target == "fc2" else DIM for target in WHERE}
    leaves = vit.leaves(["global", "personal"], [], ["lora"])
    assert len(leaves) == 2 * 2 * 2 * len(targets)
    assert len({leaf.name for leaf in leaves}) == len(leaves)
    for leaf in leaves:
        target = leaf.site.rpartition(".")[2]
        assert target in targets
        assert leaf.name == f"{leaf.part}/{leaf.site}.{leaf.factor}"
        assert leaf.shape == ((RANK, inputs[target]) if leaf.factor == "A" else (outputs[target], RANK))


def test_a_target_that_the_model_lacks_is_an_error_that_names_it() -> None:
    """A transformer with another kind of MLP has no fc1."""
    plain = transformer()
    plain.blocks[0].mlp = nn.Identity()
    vit, _ = adapted("q")
    with pytest.raises(ValueError, match=r"lora.targets: VisionTransformer has no linear layer blocks.0.mlp.fc1"):
        adapt(plain, ["fc1"], vit._adaptation)
