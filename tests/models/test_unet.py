"""The U-Net: against plain torch, its settings, its roles, what it exports, and what a step of it keeps."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from benchmark.models.network import Setup
from benchmark.models.unet import Body, UNet, build
from benchmark.settings import BackboneSettings, InitialisationSettings, LoraSettings
from benchmark.tasks.segmentation import Segmentation

TASK = Segmentation(("background", "organ", "lesion"))
SIZE = 16
SMALL = {"channels": 4, "levels": 3, "norm": "batch"}


def network(norm: str = "batch") -> UNet:
    return UNet(build({**SMALL, "norm": norm}).double(), TASK, SIZE).on("cpu", "float64")  # type: ignore[return-value]


def images(count: int = 3) -> torch.Tensor:
    return torch.rand(count, 3, SIZE, SIZE, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def test_it_is_the_published_shape() -> None:
    """Each level halves the map and doubles the channels; the way up joins what the way down made."""
    body = build({"channels": 6, "levels": 4, "norm": "group"})
    shapes = {name: tuple(value.shape) for name, value in body.named_parameters()}
    assert shapes["encoder.3.0.weight"] == (48, 24, 3, 3)
    assert shapes["up.0.weight"] == (48, 24, 2, 2)
    assert shapes["decoder.0.0.weight"] == (24, 48, 3, 3)
    assert shapes["decoder.2.3.weight"] == (6, 6, 3, 3)
    features, grid = body(torch.rand(2, 3, 16, 24))
    assert (features.shape, grid.shape) == ((2, 6), (2, 16, 24, 6))


@pytest.mark.parametrize("norm", ["batch", "group"])
def test_leaves_run_it_as_torch_runs_its_modules(norm: str) -> None:
    """Prediction and gradients with leaves from outside are those of the module with a convolution of 1 x 1."""
    ours, plain = network(norm), build({**SMALL, "norm": norm}).double().eval()
    source = torch.Generator().manual_seed(1)
    params = {}
    for leaf in ours.leaves(("global",), ("head",), ("all",)):
        start = ours.pretrained(leaf) if leaf.initial.kind == "pretrained" else torch.zeros(leaf.shape).double()
        noise = 0.1 * torch.randn(leaf.shape, generator=source, dtype=torch.float64)
        params[leaf.name] = start + noise.abs() * (leaf.role == "buffer") + noise * leaf.trainable
    own = {name.removeprefix("global/"): value for name, value in params.items() if name.startswith("global/")}
    plain.load_state_dict(own, strict=False)
    wanted = torch.nn.functional.conv2d(
        plain(images())[1].permute(0, 3, 1, 2), params["head/weight"][:, :, None, None], params["head/bias"]
    )
    found = ours(images(), params, {"head": 1.0}, {"global": 1.0})
    assert torch.allclose(found.prediction, wanted, atol=1e-12, rtol=0)
    assert found.features.shape == (3, 4)


@pytest.mark.parametrize("norm", ["batch", "group"])
def test_lanes_run_on_images_in_a_packs_order_of_memory(norm: str) -> None:
    """Where the channels of a pixel lie side by side: two lanes equal each alone."""
    ours = network(norm)
    packed = images().contiguous(memory_format=torch.channels_last)
    source = torch.Generator().manual_seed(2)
    lanes = {
        leaf.name: 1 + 0.1 * torch.rand(2, *leaf.shape, generator=source, dtype=torch.float64)
        for leaf in ours.leaves(("global",), ("head",), ("all",))
    }

    def predicted(params: dict[str, torch.Tensor]) -> torch.Tensor:
        return ours(packed, params, {"head": 1.0}, {"global": 1.0}).prediction

    together = torch.vmap(predicted)(lanes)
    for lane in range(2):
        alone = predicted({name: own[lane] for name, own in lanes.items()})
        assert torch.allclose(together[lane], alone, atol=1e-12, rtol=1e-12)


def test_roles_tell_norms_and_both_ways_apart() -> None:
    leaves = network().leaves(("global",), ("head",), ("all",))
    roles = {leaf.name.removeprefix("global/"): leaf.role for leaf in leaves}
    assert roles["encoder.0.0.weight"] == "backbone"
    assert roles["encoder.1.4.bias"] == roles["decoder.0.1.weight"] == "norm"
    assert roles["up.0.bias"] == roles["decoder.1.0.weight"] == "decoder"
    assert roles["encoder.0.1.running_mean"] == "buffer"
    assert roles["head/bias"] == "head"
    only = {leaf.role for leaf in network("group").leaves(("global",), ("head",), ("decoder",))}
    assert only == {"decoder", "head"}


def test_weights_are_drawn_by_their_seed_or_read_from_a_file(tmp_path: Path) -> None:
    settings = BackboneSettings(network="unet", name="unet", weights="drawn", arguments=SMALL)
    state, origin = UNet.fetch(settings)
    assert origin == {"weights": "drawn"}
    assert all(torch.equal(value, state[name]) for name, value in UNet.fetch(settings)[0].items())
    other = settings.model_copy(update={"seed": 1})
    assert not torch.equal(state["up.0.weight"], UNet.fetch(other)[0]["up.0.weight"])
    save_file(UNet.fetch(other)[0], tmp_path / "other.safetensors")
    read = UNet.fetch(settings.model_copy(update={"weights": str(tmp_path / "other.safetensors")}))
    assert torch.equal(read[0]["up.0.weight"], UNet.fetch(other)[0]["up.0.weight"])
    assert read[1]["source"] == "other.safetensors"


def load(path: Path, size: int = SIZE, **arguments: int | str) -> UNet:
    return UNet.load(Setup(path, "unet", {**SMALL, **arguments}, TASK, size, LoraSettings(), InitialisationSettings()))


def test_what_cannot_be_built_is_said_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file(UNet.fetch(BackboneSettings(network="unet", weights="drawn", arguments=SMALL))[0], path)
    assert load(path).head.outputs == 3
    for said, arguments in {
        "a U-Net has no depth; allowed: channels, levels, norm": {"depth": 3},
        "levels is 0, but must be a number from 1": {"levels": 0},
        "norm is 'layer'; allowed: batch, group": {"norm": "layer"},
        "not the weights of this U-Net: ": {"channels": 8},
        "image_size: 18 is no multiple of 4, since 3 levels halve images 2 times; set it to 16 or 20": {"size": 18},
    }.items():
        with pytest.raises(ValueError, match=said) as error:
            load(path, **arguments)  # type: ignore[arg-type]
        assert "\n" not in str(error.value)
    with pytest.raises(OSError, match="allowed: `drawn`, or a safetensors file"):
        UNet.fetch(BackboneSettings(network="unet", arguments=SMALL))


def test_what_is_exported_is_the_state_of_its_module(tmp_path: Path) -> None:
    ours = network()
    leaves = ours.leaves(("global",), ("head",), ("all",))
    params = {leaf.name: torch.rand(leaf.shape, dtype=torch.float64) for leaf in leaves}
    ours.export(tmp_path, params, {"head": 1.0}, {"global": 1.0})
    body = Body(**SMALL).double()  # type: ignore[arg-type]
    missing = body.load_state_dict(load_file(tmp_path / "unet.safetensors"), strict=False)
    assert not missing.unexpected_keys
    assert all(name.endswith("batches_tracked") for name in missing.missing_keys)
    head = load_file(tmp_path / "head.safetensors")
    wanted = ours(images(), params, {"head": 1.0}, {"global": 1.0}).prediction
    found = body.eval()(images())[1] @ head["head/weight"].T + head["head/bias"]
    assert torch.allclose(found.permute(0, 3, 1, 2), wanted)
