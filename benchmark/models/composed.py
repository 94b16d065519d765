"""A network composed of one torch module, adapters in it, and heads: all that its leaves are of, said once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Self

import torch
from torch import Tensor

from benchmark.leaf import Leaf, Leaves, lora_name
from benchmark.method import Mix, Output
from benchmark.models import lora
from benchmark.models.dense import Dense, public
from benchmark.models.heads import Head, weighted
from benchmark.models.network import LEAVES, Network
from benchmark.models.routed import Route, replaced
from benchmark.settings import BackboneSettings, InitialisationSettings, LoraSettings


@dataclass(frozen=True)
class Adapters:
    """What adapters are added to.

    Attributes:
        settings: Their rank, and how strong they are.
        adaptation: What the adapted layers read.
        sites: The adapted projections, in the order of the forward pass.
    """

    settings: LoraSettings
    adaptation: lora.Adaptation
    sites: Sequence[lora.Site]


class Composed(Network):
    """A network whose leaves are LoRA pairs at its sites, weights and buffers of its module, and heads.

    The module makes features (n, dim) of images, and what its head sees; a network whose module reads or makes
    something else says so in `inputs`, `features` and `predicted`.

    Attributes:
        head: Makes predictions of what the module lets it see.
        settings: Which projections are adapted, and how; unused where there are none.

    Args:
        dense: The module.
        head: See there.
        initialisation: What leaves begin with that were not pretrained.
        adapters: The adapted projections; none where LoRA has no place in the module.
    """

    def __init__(
        self, dense: Dense, head: Head, initialisation: InitialisationSettings, adapters: Adapters | None = None
    ) -> None:
        if adapters is None:
            adapters = Adapters(LoraSettings(), lora.Adaptation(1.0), ())
        self._dense, self.head, self._begins = dense, head, initialisation
        self.settings, self._adaptation, self._sites = adapters.settings, adapters.adaptation, adapters.sites
        self.sites, self.scale = [site.name for site in adapters.sites], adapters.adaptation.scale

    @classmethod
    def fetch(cls, settings: BackboneSettings) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """As the module beside the network's says, `vit_weights` of `vit`."""
        # Found by its name: how weights are fetched is no part of what names a trained lane.
        beside = import_module(f"{cls.__module__}_weights")
        found: tuple[dict[str, Tensor], dict[str, Any]] = beside.fetch(settings)
        return found

    def on(self, device: torch.device | str, precision: str) -> Self:
        """Moved; all of the module has the precision of leaves, which a network may change for what stays frozen."""
        self._dense.to(device, LEAVES[precision])
        return self

    def leaves(
        self, adapters: Sequence[str], heads: Sequence[str], trains: Sequence[str], *, offset: bool = False
    ) -> list[Leaf]:
        """LoRA pairs of every adapter, offsets, every adapter's weights of the module, and heads."""
        elsewhere = ("head", "lora") if self.sites else ("head",)
        found: list[Leaf] = []
        for adapter in adapters if "lora" in trains else ():
            found += lora.leaves(adapter, self._sites, self.settings.rank, self._begins.lora)
        found += lora.offsets(self._sites) if offset else []
        found += self._dense.leaves(adapters, [word for word in trains if word not in elsewhere])
        trained = bool({"head", "all"} & set(trains))
        return found + [leaf for name in heads for leaf in self.head.leaves(name, trainable=trained)]

    def __call__(
        self,
        images: Tensor,
        params: Leaves,
        heads: Mix,
        adapters: Mix,
        *,
        trace: bool = False,
        training: bool = False,
        dropout: Tensor | None = None,
        route: Route | None = None,
    ) -> Output:
        """See `Network`."""
        seen, pairs = self.inputs(images, params, heads), self._pairs(params, adapters)
        with self._adaptation.using(params, pairs, trace, dropout, route) as outputs:
            made, buffers = self._dense(seen, params, adapters, training=training, route=route)
        features = self.features(made)
        if route is not None:
            heads = replaced(heads, route("head", features))
        return Output(self.predicted(made, params, heads), features, outputs, buffers)

    def places(self, params: Leaves, adapters: Mix) -> dict[str, int]:
        """Layers that have LoRA pairs, by their first sites; layers whose weights are leaves; the head."""
        found = {own.sites[0].name: own.frozen.in_features for own in self.layers.values()}
        found = found if self._pairs(params, adapters) else {}
        return {**found, **self._dense.places(params, adapters), "head": self.head.inputs}

    def _pairs(self, params: Leaves, adapters: Mix) -> Mix:
        """The weights of those adapters that have LoRA pairs."""
        first = self.sites[0] if self.sites else ""
        return {name: weight for name, weight in adapters.items() if lora_name(name, first, "A") in params}

    def inputs(self, images: Tensor, params: Leaves, heads: Mix) -> Sequence[Any]:
        """What the module reads: the images (n, 3, size, size) in [0, 1]."""
        return [images]

    def features(self, made: Any) -> Tensor:
        """The features (n, dim), of what the module made of n images."""
        features: Tensor = made[0]
        return features

    def predicted(self, made: Any, params: Leaves, heads: Mix) -> Tensor:
        """The prediction (n, outputs, ...), of what the module made of n images."""
        return weighted(lambda name: self.head(params, name, made[1]), heads)

    def pretrained(self, leaf: Leaf) -> Tensor:
        """The module's own tensor."""
        return self._dense.pretrained(leaf)

    @property
    def layers(self) -> dict[str, lora.AdaptedLinear]:
        """The adapted layers, by their paths in the network as everybody knows it."""
        named = self._dense.module.named_modules()
        return {public(path): layer for path, layer in named if isinstance(layer, lora.AdaptedLinear)}

    def adapted(self, site: str) -> Tensor:
        """The site's rows of its layer's weight: a third of a fused one, or all."""
        for layer in self.layers.values():
            for own in layer.sites:
                if own.name == site:
                    return layer.frozen.weight.detach()[own.first : own.first + own.rows]
        return super().adapted(site)

    def frozen(self) -> Mapping[str, Tensor]:
        """The module's weights and buffers."""
        state: Mapping[str, Tensor] = self._dense.module.state_dict()
        return state
