"""Layers whose weights are mixed image by image, by what the layer reads: the network runs once, whatever is mixed.

Of an image with the weights w_a (one for each adapter) and f (of the frozen weight), the layer's weight is

    W = sum_a w_a W_a + (f - sum_a w_a) W0

and its bias alike. The layer is linear in its weight, so this is what the same sum of the outputs of all W_a would be,
at the cost of one (arXiv 1904.04971, section 3). A batch of images is one grouped convolution.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmark.method import Mix


class Weights(NamedTuple):
    """How much counts at one place, for n images.

    Attributes:
        mix: The weights of adapters and heads, each (n,). Of those that are not named, the call's own mix holds.
        frozen: The weight of the network's own tensor where weights of the network are mixed, (n,). An adapter's
            products are added to the whole of it.
    """

    mix: Mix
    frozen: Tensor


Route = Callable[[str, Tensor], Weights]
"""The weights at a place of the network, by its name and what it reads there of n images: (m, ..., channels), m being n
or, where an image is read in several windows, one by one, a multiple of it."""


def replaced(mix: Mix, weights: Weights) -> Mix:
    """A mix, in its order, with the weights of one place."""
    return {name: weights.mix.get(name, weight) for name, weight in mix.items()}


def fits(layer: nn.Module) -> bool:
    """Whether a layer's weights can be mixed image by image."""
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
        return layer.padding_mode == "zeros"
    return isinstance(layer, nn.Linear)


def inputs(layer: nn.Module) -> int:
    """Channels that such a layer reads."""
    size: int = layer.in_features if isinstance(layer, nn.Linear) else layer.in_channels  # type: ignore[assignment]
    return size


@contextmanager
def routing(
    module: nn.Module, held: Mapping[str, tuple[str, Mapping[str, Mapping[str, Tensor]]]], mix: Mix, route: Route
) -> Iterator[None]:
    """Within the block, layers of a module mix their weights image by image.

    Args:
        module: One that no other thread runs meanwhile.
        held: By a layer's path, its place's name, and what is mixed of its `weight` and `bias`, by adapter.
        mix: The weights of adapters that the route does not name.
        route: Says all others.
    """
    layers = {path: module.get_submodule(path) for path in held}
    for path, (place, tensors) in held.items():
        layers[path].forward = partial(_forward, layers[path], place, tensors, mix, route)
    try:
        yield
    finally:
        for layer in layers.values():
            del layer.forward  # The class's own is there again.


def _forward(
    layer: Any, place: str, held: Mapping[str, Mapping[str, Tensor]], mix: Mix, route: Route, x: Tensor
) -> Tensor:
    """What the layer makes of images (m, ..., in), or of maps (n, in, H, W)."""
    linear = isinstance(layer, nn.Linear)
    weights = route(place, x if linear else x.movedim(1, -1))
    n, own = len(weights.frozen), {kind: getattr(layer, kind) for kind in ("weight", "bias")}
    mixed = {
        kind: _mixed(own[kind], adapters, replaced(mix, weights), weights.frozen) for kind, adapters in held.items()
    }
    weight, bias = mixed["weight"], mixed.get("bias", own["bias"])
    if bias is not None:
        bias = bias.expand(n, -1)
    if linear:
        y = x.reshape(n, -1, x.shape[-1]) @ weight.mT
        return (y if bias is None else y + bias[:, None]).reshape(*x.shape[:-1], -1)
    arguments = {"stride": layer.stride, "padding": layer.padding, "dilation": layer.dilation}
    run: Callable[..., Tensor] = F.conv2d
    if isinstance(layer, nn.ConvTranspose2d):
        run, arguments["output_padding"] = F.conv_transpose2d, layer.output_padding
    # Images side by side as groups of channels.
    groups, channels = n * layer.groups, x.reshape(1, -1, *x.shape[2:])
    bias = None if bias is None else bias.flatten()
    return run(channels, weight.flatten(0, 1), bias, groups=groups, **arguments).unflatten(1, (n, -1))[0]


def _mixed(own: Tensor, held: Mapping[str, Tensor], mix: Mix, frozen: Tensor) -> Tensor:
    """The tensor of each image, (n, ...), of the network's own precision."""
    weights = torch.stack([torch.as_tensor(mix[adapter]).to(frozen).expand(len(frozen)) for adapter in held], 1)
    weights = torch.cat([(frozen - weights.sum(1))[:, None], weights], 1)
    first = next(iter(held.values()))
    tensors = torch.stack([own.to(first.dtype), *held.values()])
    return torch.tensordot(weights.to(first.dtype), tensors, dims=1).to(own.dtype)
