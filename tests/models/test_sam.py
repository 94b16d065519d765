"""SAM without prompts: against `transformers.SamModel`, a plain torch loop, and FLAP-SAM's numbers of parameters."""

import copy
import hashlib
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from timm.models.tiny_vit import TinyVit
from torch import Tensor, nn
from transformers import SamModel
from transformers.models.sam.configuration_sam import SamMaskDecoderConfig
from transformers.models.sam.modeling_sam import SamAttention, SamMaskDecoder, SamPromptEncoder

from benchmark.data.drawn_shapes import draw_shapes
from benchmark.leaf import Leaves
from benchmark.models import attention, lora, sam, tiny_vit
from benchmark.models.network import Setup
from benchmark.models.sam import Sam
from benchmark.models.sam_pretrain import pretrain
from benchmark.settings import BackboneSettings, InitialisationSettings, LoraSettings
from benchmark.tasks.segmentation import Segmentation

SIZE, CLASSES = 64, 4
TINY = {
    "encoder_width": 24,
    "encoder_depth": 2,
    "encoder_heads": 2,
    "global_every": 2,
    "window": 3,
    "width": 64,
    "decoder_mlp": 16,
    "decoder_heads": 2,
}
TASK = Segmentation(("nothing", "kidney", "tumour", "cyst"))
LORA = LoraSettings(targets=["q", "v"], rank=2, alpha=4)
MOBILE = Path(__file__).parents[3] / "shared/data/mobilesam/mobilesam_timm_hf.safetensors"


def library(attention: str) -> SamModel:
    """The library's, for images of 128 pixels, its weights at random."""
    config = sam.configured(TINY, CLASSES, 2 * SIZE)
    config._attn_implementation = attention
    return SamModel(config).eval()


@pytest.fixture(scope="module")
def original() -> SamModel:
    """A small SAM of the library's, for images of 128 pixels, with weights that are nowhere zero."""
    torch.manual_seed(0)
    model = library("sdpa")  # In the weights' precision.
    with torch.no_grad():
        for tensor in model.parameters():
            tensor.normal_(0, 0.2)
    return model.double()


@pytest.fixture(scope="module")
def weights(original: SamModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its weights in a file."""
    path = tmp_path_factory.mktemp("sam") / "model.safetensors"
    save_file({name: tensor.float().clone() for name, tensor in original.state_dict().items()}, path)
    return path


def network(weights: Path, size: int = 2 * SIZE, arguments: dict[str, Any] | None = None) -> Sam:
    """Ours with these weights, in float64."""
    chosen = arguments or {**TINY, "normalisation": "published"}
    return Sam.load(Setup(weights, "sam_tiny", chosen, TASK, size, LORA, InitialisationSettings())).on("cpu", "float64")


def start(network: Sam, trains: Sequence[str], seed: int = 0) -> dict[str, Tensor]:
    """Leaves that are nowhere zero; those that begin as pretrained begin near it."""
    drawn = torch.Generator().manual_seed(seed)
    found = {}
    for leaf in network.leaves(["global"], ["head"], trains):
        noise = 0.1 * torch.randn(leaf.shape, generator=drawn, dtype=torch.float64)
        begun = network.pretrained(leaf).double() if leaf.initial.kind == "pretrained" else 0
        found[leaf.name] = begun + noise
    return found


def close(found: Tensor, wanted: Tensor) -> bool:
    """Whether numbers of float64 are equal but for 1e-9, absolute or relative."""
    return bool(((found - wanted).abs() <= 1e-9 * wanted.abs().clamp(min=1)).all())


# The forward pass.


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", ["sam_tiny", "mobile_sam"])
def test_a_grid_in_the_place_of_its_images_is_the_same_to_the_bit(name: str, precision: str) -> None:
    """And only what has no leaf in the encoder may be given one."""
    ours = Sam.load(Setup(None, name, {}, TASK, SIZE, LORA, InitialisationSettings())).on("cpu", precision)
    images = torch.rand(3, 3, SIZE, SIZE)
    leaves = ours.leaves(["global"], ["head"], ["head"])
    params = {leaf.name: 0.1 * torch.randn(leaf.shape) for leaf in leaves}
    grid = ours.encode(images, leaves)
    assert grid.shape == (3, ours.head.inputs, SIZE // 16, SIZE // 16)
    assert grid.dtype == images.dtype
    of_images, of_grid = (ours(one, params, {"head": 1.0}, {}) for one in (images, grid))
    assert torch.equal(of_images.prediction, of_grid.prediction)
    assert torch.equal(of_images.features, of_grid.features)
    touched = {"head": True, "decoder,head": True, "prompt": True, "lora": False, "attention": False, "norm": False}
    for trains, once in {**touched, "encoder": False, "all": False}.items():
        assert ours.encodes(ours.leaves(["global"], ["head"], trains.split(","))) is once, trains
    assert not ours.encodes(ours.leaves(["global"], ["head"], ["head"], offset=True))


def test_encoder_equals_the_librarys_to_the_bit(original: SamModel, weights: Path) -> None:
    images = torch.rand(2, 3, 2 * SIZE, 2 * SIZE)
    ours, theirs = network(weights).on("cpu", "float32"), library("eager")
    theirs.load_state_dict(original.state_dict())
    assert torch.equal(ours.body.encode(images), theirs.get_image_embeddings(images))


def test_two_way_transformer_equals_the_librarys_to_the_bit(
    original: SamModel, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the same tensors, where attention of any number of queries is the fused kernel, as in the library.

    The library gives the kernel d^-1/2, which is torch's own 1 / sqrt(d) but for the last digit, unless d is 4, 16 or
    64. Weights that may be trained would be multiplied in another order where the tokens of all images are one tensor.
    """
    monkeypatch.setattr(attention, "FUSED_FROM", 0)
    images = torch.rand(2, 3, 2 * SIZE, 2 * SIZE, dtype=torch.float64)
    ours, seen = network(weights), list[tuple[dict[str, Any], tuple[Tensor, Tensor]]]()
    transformer = ours.body.mask_decoder.transformer
    transformer.register_forward_hook(lambda _, __, given, out: seen.append((given, out)), with_kwargs=True)
    with torch.no_grad():
        ours.body(images, original.mask_decoder.mask_tokens.weight[None])
        ((given, found),) = seen
        theirs = copy.deepcopy(original.mask_decoder.transformer).requires_grad_(False)
        for part in (part for part in theirs.modules() if isinstance(part, SamAttention)):
            part.scaling = 1 / math.sqrt(part.internal_dim // part.num_attention_heads)
        expected = theirs(**given)
    assert [torch.equal(*both) for both in zip(found, expected, strict=True)] == [True, True]


def test_decoder_equals_the_librarys(original: SamModel, weights: Path) -> None:
    """To 1e-12: see above, and the library copies tokens and grid, whose products round otherwise."""
    images = torch.rand(2, 3, 2 * SIZE, 2 * SIZE, dtype=torch.float64)
    ours, theirs, seen = network(weights), copy.deepcopy(original), dict[str, Any]()
    decoder = theirs.mask_decoder
    decoder.transformer.register_forward_hook(lambda _, __, out: seen.update(out=out))
    with torch.no_grad():
        masks = theirs(image_embeddings=ours.body.encode(images), multimask_output=True).pred_masks[:, 0]
        read, grid = ours.body(images, decoder.mask_tokens.weight[None])
        # The library's own head, on what ours made.
        maps = decoder.activation(decoder.upscale_layer_norm(decoder.upscale_conv1(grid[0].permute(0, 3, 1, 2))))
        maps = decoder.activation(decoder.upscale_conv2(maps))
        hyper = torch.stack([mlp(read[0][:, c]) for c, mlp in enumerate(decoder.output_hypernetworks_mlps)], 1)
        product = (hyper @ maps.flatten(2)).unflatten(-1, maps.shape[2:])
    tokens, places = seen["out"]
    assert torch.allclose(read[0], tokens[:, 0, 1 : 1 + CLASSES], rtol=0, atol=1e-12)
    assert torch.allclose(grid[0].flatten(1, 2), places[:, 0], rtol=0, atol=1e-12)
    assert torch.allclose(product[:, 1:], masks, rtol=1e-10, atol=1e-12)


def test_positions_are_the_librarys(original: SamModel, weights: Path) -> None:
    assert torch.equal(network(weights).body.positions, original.get_image_wide_positional_embeddings())


class Head(nn.Module):
    """FLAP-SAM's head in torch's own layers: what `MaskHead` is compared with."""

    def __init__(self, params: Leaves) -> None:
        super().__init__()
        own = {name.removeprefix("head/"): tensor for name, tensor in params.items() if name.startswith("head/")}
        self.tokens = nn.Parameter(own["tokens"])
        self.mlps = nn.ModuleList(
            nn.ModuleList(self._linear(own[f"mlp{i}.weight"][c], own[f"mlp{i}.bias"][c]) for i in range(3))
            for c in range(CLASSES)
        )
        self.ups = nn.ModuleList()
        for i in range(4):
            weight = own[f"up{i}.weight"]
            up = nn.ConvTranspose2d(*weight.shape[:2], 2, stride=2).double()
            up.weight, up.bias = nn.Parameter(weight), nn.Parameter(own[f"up{i}.bias"])
            self.ups.append(up)
        self.norms = nn.ParameterList(own[f"norm{i}.{kind}"] for i in range(3) for kind in ("weight", "bias"))

    @staticmethod
    def _linear(weight: Tensor, bias: Tensor) -> nn.Linear:
        linear = nn.Linear(weight.shape[1], weight.shape[0]).double()
        linear.weight, linear.bias = nn.Parameter(weight), nn.Parameter(bias)
        return linear

    def forward(self, read: Tensor, grid: Tensor) -> Tensor:
        maps = grid
        for i, up in enumerate(self.ups):
            maps = up(maps)
            if i < 3:
                mean, var = maps.mean(1, keepdim=True), maps.var(1, keepdim=True, unbiased=False)
                weight, bias = (self.norms[2 * i + k].view(1, -1, 1, 1) for k in (0, 1))
                maps = (maps - mean) / torch.sqrt(var + 1e-6) * weight + bias
            maps = F.gelu(maps)
        hyper = []
        for c, (one, two, three) in enumerate(self.mlps):
            hyper.append(three(F.relu(two(F.relu(one(read[:, c]))))))
        return torch.einsum("nck,nkhw->nchw", torch.stack(hyper, 1), maps)


def plain(original: SamModel, params: Leaves, images: Tensor, lora: LoraSettings) -> tuple[Tensor, dict[str, Tensor]]:
    """Logits by the library's modules, adapters multiplied out; and the tensors with a gradient, by leaf."""
    held: dict[str, Tensor] = {}
    state = {name: tensor.detach().clone() for name, tensor in original.state_dict().items()}
    tracked = {name: tensor.clone().requires_grad_() for name, tensor in params.items()}
    for name, tensor in tracked.items():
        if name.startswith("global/") and not name.endswith((".A", ".B")):
            state[name.removeprefix("global/")] = tensor
    for name, A in tracked.items():
        if not name.endswith(".A"):
            continue
        path, _, kind = name.removeprefix("global/").removesuffix(".A").rpartition(".")
        change = lora.alpha / lora.rank * tracked[f"{name[:-1]}B"] @ A
        if path.startswith("vision_encoder"):
            key, third = f"{path}.qkv.weight", "qkv".index(kind)
            rows = len(change)
            change = F.pad(change, (0, 0, third * rows, (2 - third) * rows))
        else:
            key = f"{path}.{kind}_proj.weight"
        state[key] = state[key] + change
    held.update(tracked)
    head = Head(params)
    head_leaves = {f"head/{name}": tensor for name, tensor in _head_tensors(head).items()}

    class Whole(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.sam = original

        def forward(self, pixels: Tensor) -> Tensor:
            sam_, n = self.sam, len(pixels)
            grid = sam_.vision_encoder(pixels).last_hidden_state
            seen = grid + sam_.prompt_encoder.no_mask_embed.weight.view(1, -1, 1, 1)
            queries = torch.cat([sam_.mask_decoder.iou_token.weight, head.tokens]).expand(n, 1, -1, -1)
            code = sam_.get_image_wide_positional_embeddings().expand(n, -1, -1, -1)
            read, keys = sam_.mask_decoder.transformer(queries, seen, code, None)
            return head(read[:, 0, 1:], keys[:, 0].transpose(1, 2).unflatten(-1, grid.shape[2:]))

    logits: Tensor = torch.func.functional_call(
        Whole(), {f"sam.{name}": tensor for name, tensor in state.items()}, (images,), tie_weights=False
    )
    return logits, {**{name: t for name, t in held.items() if name.startswith("global/")}, **head_leaves}


def _head_tensors(head: Head) -> dict[str, Any]:
    found: dict[str, Any] = {"tokens": head.tokens}
    for i in range(3):
        found[f"mlp{i}.weight"] = [mlp[i].weight for mlp in head.mlps]
        found[f"mlp{i}.bias"] = [mlp[i].bias for mlp in head.mlps]
    for i, up in enumerate(head.ups):
        found[f"up{i}.weight"], found[f"up{i}.bias"] = up.weight, up.bias
    for i in range(3):
        found[f"norm{i}.weight"], found[f"norm{i}.bias"] = head.norms[2 * i], head.norms[2 * i + 1]
    return found


@pytest.mark.parametrize(
    "trains",
    [("lora", "head"), ("lora",), ("all",), ("decoder", "head"), ("attention", "head"), ("head",), ("norm", "head")],
    ids=",".join,
)
def test_gradients_of_two_lanes_equal_a_plain_loop(original: SamModel, weights: Path, trains: tuple[str, ...]) -> None:
    ours = network(weights)
    drawn = torch.Generator().manual_seed(3)
    images = torch.rand(2, 3, 2 * SIZE, 2 * SIZE, generator=drawn, dtype=torch.float64)
    target = torch.randint(CLASSES, (2, 2 * SIZE, 2 * SIZE), generator=drawn)
    lanes = [start(ours, trains, seed) for seed in (1, 2)]
    stacked = {name: torch.stack([lane[name] for lane in lanes]).requires_grad_() for name in lanes[0]}

    def loss(params: Leaves) -> Tensor:
        mix = {"global": 1.0}
        return F.cross_entropy(ours(images, params, {"head": 1.0}, mix, training=True).prediction, target)

    losses = torch.vmap(loss)(stacked)
    gradients = torch.autograd.grad(losses.sum(), list(stacked.values()), materialize_grads=True)
    for lane, params in enumerate(lanes):
        logits, tensors = plain(original, params, images, LORA)
        expected = F.cross_entropy(logits, target)
        assert losses[lane].item() == pytest.approx(expected.item(), abs=1e-10)
        expected.backward()
        for (name, _), found in zip(stacked.items(), gradients, strict=True):
            own = tensors[name]
            parts = own if isinstance(own, list) else [own]
            wanted = [torch.zeros_like(part) if part.grad is None else part.grad for part in parts]
            want = torch.stack(wanted) if isinstance(own, list) else wanted[0]
            assert close(found[lane], want), name


@pytest.mark.parametrize(
    ("trains", "alone"), [("head", [False, False]), ("lora,head", [True, True]), ("attention,head", [True, True])]
)
def test_lanes_share_what_lies_below_their_first_leaf(weights: Path, trains: str, alone: list[bool]) -> None:
    """Of the encoder's layers, those are computed lane by lane that have a leaf in them or below them."""
    ours, found = network(weights), list[bool]()
    lanes = [start(ours, trains.split(","), seed) for seed in (1, 2)]
    stacked = {name: torch.stack([lane[name] for lane in lanes]) for name in lanes[0]}
    for path in ("patch_embed", "layers.0", "neck"):
        layer = ours.body.vision_encoder.get_submodule(path)
        layer.register_forward_hook(lambda _, __, out: found.append(torch._C._functorch.is_batchedtensor(out)))
    images, mix = torch.rand(1, 3, 2 * SIZE, 2 * SIZE, dtype=torch.float64), {"global": 1.0}
    torch.vmap(lambda params: ours(images, params, {"head": 1.0}, mix).prediction)(stacked)
    assert found == [False, *alone]


def test_leaves_that_are_not_reached_are_those_without_a_gradient(weights: Path) -> None:
    ours = network(weights)
    params = {name: tensor.requires_grad_() for name, tensor in start(ours, ["all"]).items()}
    images = torch.rand(1, 3, 2 * SIZE, 2 * SIZE, dtype=torch.float64)
    ours(images, params, {"head": 1.0}, {"global": 1.0}).prediction.square().sum().backward()
    dead = {leaf.name for leaf in ours.leaves(["global"], ["head"], ["all"]) if not leaf.reached}
    assert {name for name, tensor in params.items() if tensor.grad is None} == dead
    assert sum(params[name].numel() for name in dead if "prompt" in name) > 0


def test_what_an_adapter_changes_is_the_layers_own_weight(original: SamModel, weights: Path) -> None:
    """A third of the encoder's fused layer; all of a layer of the decoder."""
    ours, state = network(weights), original.state_dict()
    fused = state["vision_encoder.layers.1.attn.qkv.weight"]
    assert torch.equal(ours.adapted("vision_encoder.layers.1.attn.v"), fused[2 * len(fused) // 3 :])
    site = "mask_decoder.transformer.layers.0.self_attn.q"
    assert torch.equal(ours.adapted(site), state[f"{site}_proj.weight"])
    assert {leaf.site for leaf in ours.leaves(["global"], [], ["lora"])} == {*ours.sites}
    for name in ours.sites:
        assert ours.adapted(name).shape[0] > 0


def test_what_is_exported_is_read_again(weights: Path, tmp_path: Path) -> None:
    """Adapters and trained weights by the library's names, and the head beside them."""
    ours = network(weights)
    params = start(ours, ["lora", "norm", "head"])
    ours.export(tmp_path, params, {"head": 1.0}, {"global": 1.0})
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert "mask_decoder.transformer.layers.0.self_attn.q_proj" in config["target_modules"]
    norm = "vision_encoder.layers.0.layer_norm1.weight"
    assert torch.equal(load_file(tmp_path / "weights.safetensors")[norm], params[f"global/{norm}"])
    assert torch.equal(load_file(tmp_path / "head.safetensors")["head/tokens"], params["head/tokens"])


# The weights.


def test_tables_are_resampled_to_the_size_of_the_images_and_nothing_else_changes(
    original: SamModel, weights: Path
) -> None:
    ours, theirs = network(weights, SIZE).frozen(), original.state_dict()
    resampled = set()
    for name, tensor in ours.items():
        public = name.replace(".frozen.", ".")
        if public in ("mean", "std", "positions") or "iou_prediction_head" in public:
            continue
        if not torch.equal(tensor.double(), theirs[public].float().double()):
            resampled.add(public)
    assert resampled == {
        "vision_encoder.pos_embed",
        "vision_encoder.layers.1.attn.rel_pos_h",
        "vision_encoder.layers.1.attn.rel_pos_w",
    }
    grid = theirs["vision_encoder.pos_embed"].float().permute(0, 3, 1, 2)
    halved = F.avg_pool2d(grid, 2).permute(0, 2, 3, 1)  # Bilinear, at half the size: the mean of four neighbours.
    assert torch.allclose(ours["vision_encoder.pos_embed"].float(), halved, atol=1e-6)


def test_only_the_listed_leaves_of_the_head_are_fresh(original: SamModel, weights: Path) -> None:
    ours = network(weights)
    leaves = ours.leaves(["global"], ["head"], ["lora", "head"])
    fresh = {leaf.name for leaf in leaves if leaf.role == "head" and leaf.initial.kind != "pretrained"}
    ends = ("weight", "bias")
    assert fresh == {
        "head/tokens",
        *(f"head/mlp{layer}.{end}" for layer in range(3) for end in ends),
        *(f"head/norm{stage}.{end}" for stage in (1, 2) for end in ends),
        *(f"head/up{stage}.{end}" for stage in (2, 3) for end in ends),
    }
    for leaf in leaves:
        if leaf.role == "head" and leaf.initial.kind == "pretrained":
            assert torch.equal(ours.pretrained(leaf), original.mask_decoder.state_dict()[leaf.site].double()), leaf.name


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("mask_decoder.iou_token.weight"), "there is no mask_decoder.iou_token.weight"),
        (lambda t: t.pop("shared_image_embedding.positional_embedding"), "there is no shared_image_embedding"),
        (lambda t: t.update(more=torch.ones(1)), "more is too much"),
        (lambda t: t.pop("mask_decoder.upscale_conv2.bias"), "there is no mask_decoder.upscale_conv2.bias"),
        (
            lambda t: t.update({"vision_encoder.neck.conv1.weight": torch.ones(2, 2, 1, 1)}),
            "vision_encoder.neck.conv1.weight has the shape (2, 2, 1, 1); expected (64, 24, 1, 1)",
        ),
        (
            lambda t: t.update({"mask_decoder.upscale_conv1.weight": torch.ones(64, 8, 2, 2)}),
            "mask_decoder.upscale_conv1.weight has the shape (64, 8, 2, 2); expected (64, 16, 2, 2)",
        ),
        (
            lambda t: t.update({"mask_decoder.upscale_layer_norm.bias": torch.ones(8)}),
            "mask_decoder.upscale_layer_norm.bias has the shape (8,); expected (16,)",
        ),
        (
            lambda t: t.update({"shared_image_embedding.positional_embedding": torch.ones(2, 128)}),
            "shared_image_embedding.positional_embedding has the shape (2, 128); expected (2, 32)",
        ),
        (
            lambda t: t.update({"vision_encoder.pos_embed": torch.ones(2, 4, 4, 24)}),
            "vision_encoder.pos_embed has the shape (2, 4, 4, 24); expected (1, 8, 8, 24)",
        ),
        (
            lambda t: t.update({"vision_encoder.layers.1.attn.rel_pos_h": torch.ones(7, 5)}),
            "vision_encoder.layers.1.attn.rel_pos_h has the shape (7, 5); expected (",
        ),
        (  # Its windows are of another size: no image's size mends that.
            lambda t: t.update({"vision_encoder.layers.0.attn.rel_pos_h": torch.ones(7, 12)}),
            "vision_encoder.layers.0.attn.rel_pos_h has the shape (7, 12); expected (5, 12)",
        ),
    ],
)
def test_weights_of_another_network_are_refused(weights: Path, tmp_path: Path, change: Any, message: str) -> None:
    tensors = load_file(weights)
    change(tensors)
    save_file(tensors, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match=r"other.safetensors: not the weights of sam_tiny .*") as raised:
        network(tmp_path / "other.safetensors")
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("name", "arguments", "size", "message"),
    [
        (
            "sam_vit_base",
            {},
            100,
            "100 is no multiple of 16, which the grid of SAM needs; set it to 96 or 112",
        ),
        ("mobile_sam", {}, 80, "image_size: 80 is no multiple of 32, which TinyViT needs; set it to 64 or 96"),
        ("sam", {}, 64, "there is no SAM 'sam'; allowed: sam_vit_base"),
        (
            "mobile_sam",
            {"window": 3},
            64,
            "mobile_sam has no window; allowed: width, decoder_mlp, decoder_heads, normal",
        ),
        ("sam_tiny", {"normalisation": "none"}, 64, "normalisation is 'none'; allowed: sam, published"),
    ],
)
def test_settings_that_are_none(weights: Path, name: str, arguments: dict[str, Any], size: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Sam.load(Setup(weights, name, arguments, TASK, size, LORA, InitialisationSettings()))


def test_targets_that_sam_has_not(weights: Path) -> None:
    with pytest.raises(ValueError, match=r"lora.targets: SAM has no fc1; allowed: q, k, v"):
        Sam.load(Setup(weights, "sam_tiny", TINY, TASK, SIZE, LoraSettings(targets=["fc1"]), InitialisationSettings()))


def test_a_sam_pretrained_on_drawn_shapes_is_a_checkpoint(tmp_path: Path) -> None:
    """The same from the same seed; with all that a checkpoint holds."""
    settings = BackboneSettings(network="sam", name="sam_tiny", weights="drawn", arguments=TINY)
    (once, told), (again, _) = (pretrain(settings, images=6, image_size=32, epochs=1, batch_size=3) for _ in range(2))
    assert 0 < told < 1
    assert all(torch.equal(tensor, again[name]) for name, tensor in once.items())
    save_file({name: tensor.contiguous() for name, tensor in once.items()}, tmp_path / "model.safetensors")
    ours = Sam.load(Setup(tmp_path / "model.safetensors", "sam_tiny", TINY, TASK, SIZE, LORA, InitialisationSettings()))
    assert torch.equal(ours.body.mask_decoder.iou_token.weight, once["mask_decoder.iou_token.weight"])


def test_drawn_shapes_are_these() -> None:
    """Integers, so the same on every machine."""
    images, masks = draw_shapes(3, 24, 7)
    assert (images.shape, masks.shape) == ((3, 24, 24, 3), (3, 24, 24))
    assert set(np.unique(masks)) == {0, 1, 2}
    assert hashlib.sha256(images.tobytes() + masks.tobytes()).hexdigest()[:16] == "bea68b5b7bc64feb"


# FLAP-SAM's rows, from shapes alone.


@pytest.mark.parametrize(
    ("trains", "two", "three"),
    [
        (("all",), 90_398_774, 90_532_927),
        (("attention", "head"), None, 30_053_104),
        (("decoder", "head"), 3_768_042, 3_902_195),
        (("head",), 344_424, 478_320),
        (("lora",), 1_368_064, 1_368_064),
        (("lora", "decoder", "head"), 5_136_106, 5_270_259),
        (("lora", "head"), 1_712_488, 1_846_384),
    ],
    ids=["full", "attention", "decoder", "head", "lora", "lora_decoder", "flap_sam"],
)
def test_numbers_of_parameters_are_the_papers(trains: tuple[str, ...], two: int | None, three: int) -> None:
    for classes, expected in ((2, two), (3, three)):
        with torch.device("meta"):
            body, head = sam.build("sam_vit_base", {}, classes, 224)
            ours = Sam(body, head, {}, LoraSettings(targets=["q", "v"], rank=32, alpha=32))
        found = sum(shape.numel() for shape in _trained(ours, trains))
        assert expected is None or found == expected, classes


def _trained(network: Sam, trains: Sequence[str]) -> list[torch.Size]:
    return [torch.Size(leaf.shape) for leaf in network.leaves(["global"], ["head"], trains) if leaf.trainable]


# TinyViT.


SIZES: dict[str, Any] = {"embed_dims": (8, 16, 16, 32), "depths": (1, 1, 2, 1), "num_heads": (1, 2, 2, 4)}
"""A small TinyViT, of whose maps of 8 and 4 places a side windows of 7 and 14 do not fit."""


def test_tiny_vit_equals_timms_with_its_fused_layers() -> None:
    ours = tiny_vit.Encoder(12, SIZE, SIZES).double()
    torch.manual_seed(0)
    theirs = TinyVit(**SIZES, window_sizes=(7, 7, 14, 7), num_classes=0, drop_path_rate=0.0).double().eval()
    theirs.stages[3].downsample.conv2.conv.stride = (1, 1)
    with torch.no_grad():
        for bias in (m.attention_biases for m in theirs.modules() if hasattr(m, "attention_biases")):
            bias.normal_()
    for norm in (module for module in theirs.modules() if isinstance(module, nn.BatchNorm2d)):
        for tensor in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
            assert tensor is not None
            nn.init.uniform_(tensor, 0.5, 1.5)
    ours.load_state_dict(tiny_vit.rebuilt(theirs.float().state_dict(), SIZES), strict=False)
    theirs.double()
    images = torch.rand(2, 3, SIZE, SIZE, dtype=torch.float64)
    with torch.no_grad():
        expected = theirs.stages(theirs.patch_embed(images))
        assert torch.allclose(ours.stages(ours.patch_embed(images)), expected, rtol=1e-5, atol=1e-5)


def test_padding_of_tiny_vit_is_adapted_too() -> None:
    """Adapters weighted image by image: as weights of each image's own; and a trace changes nothing."""
    torch.manual_seed(0)
    plain = tiny_vit.Encoder(12, SIZE, SIZES).double().eval()
    with torch.no_grad():
        for tensor in plain.parameters():
            tensor.normal_(0, 0.3)
    ours, adaptation = copy.deepcopy(plain), lora.Adaptation(2.0)
    linear = {path: layer for path, layer in plain.named_modules() if path.endswith((".attn.q", ".attn.v"))}
    sites = {path: [lora.Site(path, 0, own.out_features, own.in_features)] for path, own in linear.items()}
    lora.replace(ours, sites, adaptation)
    leaves = lora.leaves("global", [site for (site,) in sites.values()], 2, "kaiming")
    params = {leaf.name: torch.randn(leaf.shape, dtype=torch.float64) for leaf in leaves}
    images, weights = torch.rand(2, 3, SIZE, SIZE, dtype=torch.float64), torch.tensor([0.5, 2.0]).double()
    with torch.no_grad():
        with adaptation.using(params, {"global": weights}, False):
            found = ours(images)
        with adaptation.using(params, {"global": weights}, True) as trace:
            assert torch.allclose(ours(images), found, atol=1e-12)
        for image, weight, own in zip(images, weights, found, strict=True):
            merged = copy.deepcopy(plain)
            for path in sites:
                change = params[f"global/{path}.B"] @ params[f"global/{path}.A"]
                merged.get_submodule(path).weight += 2 * weight * change
            assert torch.allclose(merged(image[None])[0], own, atol=1e-9)
    # Two windows of 7 a side, one of 14, one of 7; q and v of one block, of two and of one.
    assert [output.shape[1] for output in trace["global"]] == 2 * [14**2] + 4 * [14**2] + 2 * [7**2]


@pytest.mark.parametrize("trains", [("all",), ("attention", "head"), ("lora", "head")], ids=",".join)
def test_gradients_of_tiny_vit_in_two_lanes_equal_a_plain_loop(trains: tuple[str, ...]) -> None:
    """Lane by lane by torch's autograd, adapters multiplied out, in a SAM whose encoder is a small TinyViT."""
    config: Any = sam.configured({"width": 16, "decoder_mlp": 8, "decoder_heads": 2}, CLASSES, SIZE)
    torch.manual_seed(0)
    encoder, decoder = tiny_vit.Encoder(16, SIZE, SIZES), SamMaskDecoder(config.mask_decoder_config)
    whole = sam.Body(encoder, SamPromptEncoder(config), decoder, "published").double().eval()
    with torch.no_grad():
        for tensor in whole.parameters():
            tensor.normal_(0, 0.3)
    head = sam.MaskHead(16, CLASSES, SIZE // sam.PATCH)
    begun = {leaf.site: torch.randn(leaf.shape).double() for leaf in head.leaves("head") if leaf.site}
    ours = Sam(copy.deepcopy(whole), head, begun, LORA)
    images = torch.rand(2, 3, SIZE, SIZE, dtype=torch.float64)
    target = torch.randint(CLASSES, (2, SIZE, SIZE))
    lanes = [start(ours, trains, seed) for seed in (1, 2)]
    stacked = {name: torch.stack([lane[name] for lane in lanes]).requires_grad_() for name in lanes[0]}

    def loss(params: Leaves) -> Tensor:
        prediction = ours(images, params, {"head": 1.0}, {"global": 1.0}, training=True).prediction
        return F.cross_entropy(prediction, target)

    losses = torch.vmap(loss)(stacked)
    gradients = torch.autograd.grad(losses.sum(), list(stacked.values()), materialize_grads=True)
    for lane, params in enumerate(lanes):
        own = {name: tensor.clone().requires_grad_() for name, tensor in params.items()}
        state = dict(whole.state_dict())
        for name, tensor in own.items():
            path = name.removeprefix("global/")
            if name.endswith(".A"):
                site = path.removesuffix(".A")
                key = f"{site}.weight" if site.startswith("vision_encoder.") else f"{site}_proj.weight"
                state[key] = state[key] + LORA.alpha / LORA.rank * own[f"global/{site}.B"] @ tensor
            elif path in state:
                state[path] = tensor
        read, grid = torch.func.functional_call(whole, state, (images, own["head/tokens"][None]))
        expected = F.cross_entropy(head(own, "head", (read[0], grid[0])), target)
        assert close(losses[lane], expected)
        wanted = torch.autograd.grad(expected, list(own.values()), materialize_grads=True)
        for name, found, want in zip(own, gradients, wanted, strict=True):
            assert close(found[lane], want), name
    adapted = {name.rpartition(".")[0] for name in stacked if "vision_encoder" in name and "attn" in name}
    reached = [path for path in adapted if any(gradients[i].any() for i, n in enumerate(stacked) if path in n)]
    assert len(reached) == len(adapted) > 0


@pytest.mark.skipif(not MOBILE.is_file(), reason="the real weights of MobileSAM's architecture are not here")
def test_real_weights_of_mobile_sam_are_taken_over(tmp_path: Path) -> None:
    """Encoder and two-way decoder make of a drawn disc what the parts do, loaded by their own libraries."""
    settings = BackboneSettings(network="sam", name="mobile_sam", weights=str(MOBILE))
    tensors, about = Sam.fetch(settings)
    assert about["source"] == MOBILE.name
    save_file(tensors, tmp_path / "model.safetensors")
    ours = Sam.load(Setup(tmp_path / "model.safetensors", "mobile_sam", {}, TASK, 224, LORA, InitialisationSettings()))
    assert sum(t.numel() for name, t in ours.frozen().items() if "attn.q" in name) > 0
    raw = load_file(MOBILE)
    theirs = TinyVit(
        embed_dims=(64, 128, 160, 320),
        depths=(2, 2, 6, 2),
        num_heads=(2, 4, 5, 10),
        window_sizes=(7, 7, 14, 7),
        num_classes=0,
    ).eval()
    own = {name.removeprefix("encoder."): tensor for name, tensor in raw.items() if name.startswith("encoder.")}
    assert all(name.startswith("head.") for name in theirs.load_state_dict(own, strict=False).missing_keys)
    theirs.stages[3].downsample.conv2.conv.stride = (1, 1)
    rows, columns = torch.meshgrid(torch.arange(224), torch.arange(224), indexing="ij")
    disc = ((rows - 100) ** 2 + (columns - 120) ** 2 < 50**2).float()
    images = torch.stack([0.3 + 0.4 * disc, 0.5 - 0.2 * disc, 0.4 + 0 * disc])[None]
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in sam.PIXELS["sam"])
    with torch.no_grad():
        features = theirs.stages(theirs.patch_embed((images - mean) / std))
        narrow = F.conv2d(features, raw["neck.0.weight"])
        for norm, conv in (("neck.1", "neck.2"), ("neck.3", None)):
            narrow = F.layer_norm(
                narrow.permute(0, 2, 3, 1), (256,), raw[f"{norm}.weight"], raw[f"{norm}.bias"], 1e-6
            ).permute(0, 3, 1, 2)
            narrow = F.conv2d(narrow, raw[f"{conv}.weight"], padding=1) if conv else narrow
        assert torch.allclose(ours.body.encode(images), narrow, rtol=0, atol=1e-4 * narrow.abs().max().item())
        decoder, seen = SamMaskDecoder(SamMaskDecoderConfig(layer_norm_eps=1e-5)).eval(), dict[str, Any]()
        start = "mask_decoder."
        decoder.load_state_dict({n.removeprefix(start): t for n, t in raw.items() if n.startswith(start)})
        decoder.transformer.register_forward_hook(lambda _, __, out: seen.update(out=out))
        middles = (torch.arange(14) + 0.5) / 14
        across = torch.stack([middles.expand(14, 14), middles[:, None].expand(14, 14)], -1)
        angles = 2 * torch.pi * (2 * across - 1) @ raw["prompt_encoder.shared_embedding.positional_embedding"]
        code = torch.cat([angles.sin(), angles.cos()], -1).permute(2, 0, 1)[None]
        empty = raw["prompt_encoder.no_mask_embed.weight"].view(1, -1, 1, 1)
        decoder(narrow, code, None, empty.expand(1, -1, 14, 14), multimask_output=True)
        read, grid = ours.body(images, raw["mask_decoder.mask_tokens.weight"][None])
        tokens, places = seen["out"]
        assert torch.allclose(read[0], tokens[:, 0, 1:], rtol=0, atol=1e-4 * tokens.abs().max().item())
        assert torch.allclose(grid[0].flatten(1, 2), places[:, 0], rtol=0, atol=1e-4 * places.abs().max().item())
