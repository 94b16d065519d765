"""The vision transformer: normalisation, image sizes, weights."""

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file

from benchmark.models.vit import build
from benchmark.settings import LoraSettings
from tests.federation.small import ARGUMENTS, SIZE, VIT, transformer, weights
from tests.models.small import features, loaded, network

TINY_DEIT: dict[str, Any] = {"patch_size": 8, "embed_dim": 48, "depth": 1, "num_heads": 3}


@pytest.fixture
def stored(tmp_path: Path) -> Path:
    """The small transformer's weights, as the fetching job writes them."""
    path = tmp_path / "model.safetensors"
    save_file(weights(), path)
    return path


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "vit_tiny_patch16_224.augreg_in21k", "deit_tiny_patch16_224"])
def test_images_are_normalised_as_the_backbone_was_pretrained(name: str) -> None:
    """Mean and standard deviation are timm's for this very model: (0.5, 0.5, 0.5) here, ImageNet's there."""
    vit = build(name, TINY_DEIT, SIZE)
    ours = network(vit)
    expected = timm.data.resolve_model_data_config(vit)
    images = torch.rand(2, 3, SIZE, SIZE, dtype=torch.float64)
    normal = torch.stack([(images[:, c] - expected["mean"][c]) / expected["std"][c] for c in range(3)], 1)
    wanted = vit.forward_head(vit.forward_features(normal), pre_logits=True)
    assert (features(ours, images, {}, {})[0] - wanted).abs().max() < 1e-5
    wrong = vit.forward_head(vit.forward_features(images), pre_logits=True)
    assert (wanted - wrong).abs().max() > 1e-3


def test_normalisation_differs_between_models() -> None:
    """The test above would pass if every model had the same."""
    means = {name: build(name, TINY_DEIT, SIZE).pretrained_cfg["mean"] for name in (VIT, "deit_tiny_patch16_224")}
    assert len(set(means.values())) == 2


@pytest.mark.parametrize("size", [32, 48, 64])
def test_position_embeddings_are_resampled_to_the_images(stored: Path, size: int) -> None:
    """One embedding per patch and one for the class token, which has no place and stays as it is."""
    ours = loaded(stored, VIT, ARGUMENTS, size)
    embedding, native = ours.backbone.vit.pos_embed, weights()["pos_embed"]
    assert embedding.shape == (1, (size // 8) ** 2 + 1, 48)
    assert torch.equal(embedding[:, :1], native[:, :1])
    found, _ = features(ours, torch.rand(2, 3, size, size), {}, {})
    assert found.shape == (2, 48)
    assert torch.isfinite(found).all()
    # Resampling keeps the picture: its mean stays, and shrinking the enlarged one gives back nearly the original.
    assert torch.allclose(embedding[:, 1:].mean(1), native[:, 1:].mean(1), atol=0.05)


def test_native_size_leaves_every_weight_as_it_is(stored: Path) -> None:
    """To the bit."""
    state = loaded(stored, VIT, ARGUMENTS, SIZE, LoraSettings(targets=("q",))).backbone.vit.state_dict()
    state = {name.replace(".frozen.", "."): tensor for name, tensor in state.items()}
    assert state.keys() == weights().keys()
    for name, tensor in weights().items():
        assert torch.equal(state[name], tensor), name


def test_a_constant_position_embedding_stays_constant(tmp_path: Path) -> None:
    """Whatever the interpolation: a picture of one colour has that colour at every size."""
    state = {name: tensor.clone() for name, tensor in weights().items()}
    state["pos_embed"][:, 1:] = torch.linspace(-1, 1, 48)
    save_file(state, tmp_path / "flat.safetensors")
    embedding = loaded(tmp_path / "flat.safetensors", VIT, ARGUMENTS, 64).backbone.vit.pos_embed
    assert torch.allclose(embedding[0, 1:], torch.linspace(-1, 1, 48).expand(64, 48), atol=1e-5)


def test_everything_is_frozen(stored: Path) -> None:
    """No parameter asks for a gradient, and dropout and the like are off."""
    backbone = loaded(stored, VIT, ARGUMENTS, SIZE).backbone
    assert not any(parameter.requires_grad for parameter in backbone.parameters())
    assert not backbone.vit.training


def test_weights_of_another_model_are_an_error_of_one_line(tmp_path: Path) -> None:
    """It names the file and the model."""
    path = tmp_path / "other.safetensors"
    save_file({name: tensor for name, tensor in weights().items() if "blocks.1" not in name}, path)
    with pytest.raises(ValueError, match="not the weights of vit_tiny_patch16_224") as caught:
        loaded(path, VIT, ARGUMENTS, SIZE)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["vit_tinny_patch16_224", "nonsense"])
def test_a_model_that_timm_lacks_is_an_error_that_names_it(name: str) -> None:
    """With the setting's place."""
    with pytest.raises(ValueError, match=f"backbone.name: timm has no model '{name}'"):
        build(name, {}, SIZE)


@pytest.mark.parametrize("name", ["swin_tiny_patch4_window7_224", "resnet18"])
def test_a_model_that_is_no_plain_vision_transformer_is_an_error_that_says_so(name: str) -> None:
    """With the model's kind, and what is needed."""
    with pytest.raises(ValueError, match="adapters need a plain VisionTransformer"):
        build(name, {}, SIZE)


def test_the_small_transformer_of_these_tests_is_timms() -> None:
    """The stand-in has 2 blocks, 4 x 4 patches and a class token."""
    vit = transformer()
    assert vit.pos_embed.shape == (1, 17, 48)
    assert len(vit.blocks) == 2


def test_images_that_patches_do_not_cover_are_refused(stored: Path) -> None:
    """The edge would be seen by no patch, and a mask's prediction would be smaller than the mask."""
    said = f"image_size: 20 is no multiple of 8, the side of a patch of {VIT}; set it to 16 or 24"
    with pytest.raises(ValueError, match=f"^{said}$"):
        loaded(stored, VIT, ARGUMENTS, 20)


@pytest.mark.parametrize(("trains", "alone"), [("head", False), ("lora,head", True)])
def test_lanes_share_what_lies_below_their_first_leaf(trains: str, alone: bool) -> None:
    """All of the transformer where the head alone is trained; with adapters, what the first block reads."""
    ours, found = network(transformer()), list[bool]()
    leaves = ours.leaves(["global"], ["head"], trains.split(","))
    lanes = {leaf.name: torch.rand(2, *leaf.shape, dtype=torch.float64) for leaf in leaves}
    for layer in (ours.backbone.vit.patch_embed, ours.backbone.vit.norm):
        layer.register_forward_hook(lambda _, __, out: found.append(torch._C._functorch.is_batchedtensor(out)))
    images = torch.rand(2, 3, SIZE, SIZE, dtype=torch.float64)
    torch.vmap(lambda own: ours(images, own, {"head": 1.0}, {"global": 1.0}).prediction)(lanes)
    assert found == [False, alone]
