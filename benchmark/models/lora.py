"""LoRA as data: adapters are leaves that a frozen linear layer reads, not modules that own parameters.

An adapted layer computes, for the adapters a of a mix with weights m_a,

    y = W0 x + b + (alpha / rank) * (D x + sum_a m_a * B_a A_a x)

(LoRA, arXiv 2106.09685, eq. 3; several adapters as in FedOPAL, arXiv 2510.12741). D is the dense offset of methods that
have one. The adapters of one layer are concatenated along the rank, so that any number of them, on any thirds of a
fused `qkv`, costs two products. With dropout, the adapters of a layer see the same x, of which a share is zero.
"""

import math
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmark.leaf import Initial, Leaf, Leaves, lora_name, offset_name
from benchmark.method import Mix
from benchmark.models.dropout import dropped
from benchmark.models.routed import Route, replaced
from benchmark.settings import LoraSettings

LAYERS: Mapping[str, Mapping[str, tuple[int, int]]] = {
    "attn.qkv": {"q": (0, 3), "k": (1, 3), "v": (2, 3), "qkv": (0, 1)},
    "attn.proj": {"proj": (0, 1)},
    "mlp.fc1": {"fc1": (0, 1)},
    "mlp.fc2": {"fc2": (0, 1)},
}
"""Linear layers of a block, with their targets: `k` is the part 1, counted from 0, of three equal parts of the rows."""


@dataclass(frozen=True)
class Site:
    """An adapted projection: some or all rows of a linear layer.

    Attributes:
        name: `blocks.0.attn.q` is the first third of the rows of the layer `blocks.0.attn.qkv`.
        first: Its first row.
        rows: The number of its rows.
        inputs: The layer's number of inputs.
    """

    name: str
    first: int
    rows: int
    inputs: int


@dataclass
class Adaptation(threading.local):
    """What the adapted layers of one backbone read during one forward pass: a thread sees its own alone.

    Attributes:
        scale: alpha / rank.
        dropout: Share of a layer's inputs that its adapters do not see in a step of training.
        params: The leaves in use.
        mix: The weight of each adapter in use.
        trace: By adapter, the outputs met so far; None where no trace is wanted.
        key: Of this step's dropout, a scalar int64; None where nothing is dropped.
        route: Says each layer's mix, in place of `mix`, by the name of the layer's first site.
    """

    scale: float
    dropout: float = 0.0
    params: Leaves = field(default_factory=dict)
    mix: Mix = field(default_factory=dict)
    trace: dict[str, list[Tensor]] | None = None
    key: Tensor | None = None
    route: Route | None = None

    @classmethod
    def of(cls, settings: LoraSettings) -> "Adaptation":
        """As a configuration says."""
        return cls(settings.alpha / settings.rank, settings.dropout)

    @contextmanager
    def using(
        self, params: Leaves, mix: Mix, trace: bool, key: Tensor | None = None, route: Route | None = None
    ) -> Iterator[Mapping[str, Sequence[Tensor]]]:
        """Use these leaves within the block; yields the trace, filled as layers run."""
        self.params, self.mix, self.trace, self.key = params, mix, {name: [] for name in mix} if trace else None, key
        self.route = route
        try:
            yield self.trace or {}
        finally:
            self.params, self.mix, self.trace, self.key, self.route = {}, {}, None, None, None


class AdaptedLinear(nn.Module):
    """A linear layer, the network's layer number `place`, that adds the outputs of the adapters in use to some rows."""

    def __init__(self, frozen: nn.Linear, sites: Sequence[Site], adaptation: Adaptation, place: int) -> None:
        super().__init__()
        self.frozen = frozen
        self.sites = sites
        self.adaptation = adaptation
        self.place = place

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, tokens, in) to (n, tokens, out), both of the frozen layer's precision; adapters keep their own."""
        mix, params = self.adaptation.mix, self.adaptation.params
        y = self.frozen(x)
        if offset_name(self.sites[0].name) in params:
            y = y + self._offset(x)
        if not mix:
            return y.to(x.dtype)
        if self.adaptation.route is not None:
            mix = replaced(mix, self.adaptation.route(self.sites[0].name, x))
        pairs = [(adapter, site) for adapter in mix for site in self.sites]
        A = torch.cat([params[lora_name(adapter, site.name, "A")] for adapter, site in pairs])
        B = torch.cat([self.in_rows(params[lora_name(adapter, site.name, "B")], site) for adapter, site in pairs], 1)
        seen = x.to(A.dtype)
        if self.adaptation.dropout and self.adaptation.key is not None:
            seen = dropped(seen, self.adaptation.dropout, self.adaptation.key, self.place)
        hidden = F.linear(seen, self.adaptation.scale * A)
        own = hidden.split(A.shape[0] // len(mix), dim=-1)  # Of each adapter, over all sites of this layer.
        if self.adaptation.trace is not None:
            for adapter, h, b in zip(mix, own, B.split(own[0].shape[-1], dim=1), strict=True):
                output = F.linear(h, b)
                self.adaptation.trace[adapter] += [output[..., s.first : s.first + s.rows] for s in self.sites]
        if any(isinstance(weight, Tensor) or weight != 1 for weight in mix.values()):
            hidden = torch.cat([_weighted(h, weight) for h, weight in zip(own, mix.values(), strict=True)], -1)
        return (y + F.linear(hidden, B)).to(x.dtype)

    def _offset(self, x: Tensor) -> Tensor:
        """What the dense offsets of this layer's sites add: (n, tokens, in) to (n, tokens, out)."""
        offsets = [self.in_rows(self.adaptation.params[offset_name(site.name)], site) for site in self.sites]
        return F.linear(x.to(offsets[0].dtype), self.adaptation.scale * torch.stack(offsets).sum(0))

    def in_rows(self, B: Tensor, site: Site) -> Tensor:
        """B (rows, ...) of a site, padded with zeros to all rows of the layer."""
        return F.pad(B, (0, 0, site.first, self.frozen.out_features - site.first - site.rows))


def _weighted(hidden: Tensor, weight: float | Tensor) -> Tensor:
    """Hidden (n, tokens, rank) times one weight, or times one for each image (n,)."""
    if not isinstance(weight, Tensor) or not weight.dim():
        return hidden * weight
    each = weight.repeat_interleave(len(hidden) // len(weight))  # An image may have several windows, one by one.
    return hidden * each.reshape(-1, *[1] * (hidden.dim() - 1))


def adapt(model: nn.Module, targets: Sequence[str], adaptation: Adaptation) -> list[Site]:
    """Replace the targeted linear layers of every block of a timm vision transformer by adapted ones, in place.

    Targets are any of q, k, v, qkv, proj, fc1, fc2; a ValueError names one that the model has not. Returns every
    adapted site, in the order of the forward pass.
    """
    found: dict[str, list[Site]] = {}
    for number in range(len(model.get_submodule("blocks"))):  # type: ignore[arg-type]
        for path, places in LAYERS.items():
            if not (wanted := [target for target in places if target in targets]):
                continue
            place, _, layer = f"blocks.{number}.{path}".rpartition(".")
            linear = getattr(model.get_submodule(place), layer, None)
            if not isinstance(linear, nn.Linear):
                raise ValueError(f"lora.targets: {type(model).__name__} has no linear layer {place}.{layer} to adapt")
            for target in wanted:
                part, parts = places[target]
                rows = linear.out_features // parts
                site = Site(f"{place}.{target}", part * rows, rows, linear.in_features)
                found.setdefault(f"{place}.{layer}", []).append(site)
    return replace(model, found, adaptation)


def replace(model: nn.Module, layers: Mapping[str, Sequence[Site]], adaptation: Adaptation) -> list[Site]:
    """Replace linear layers by adapted ones, in place; returns all sites, in their order.

    Layers are named by their paths, in the order of the forward pass, each with its adapted projections.
    """
    adapted: list[Site] = []
    for path, sites in layers.items():
        parent, _, own = path.rpartition(".")
        linear: Any = model.get_submodule(path)
        setattr(model.get_submodule(parent), own, AdaptedLinear(linear, sites, adaptation, len(adapted)))
        adapted += sites
    return adapted


def leaves(adapter: str, sites: Sequence[Site], rank: int, kind: str) -> list[Leaf]:
    """The leaves of one adapter: a pair A (rank, in), B (out, rank) for every site; B begins at zero.

    A begins as PEFT has it: `kaiming`, uniform in (-1/sqrt(in), 1/sqrt(in)), which is Kaiming's with a = sqrt(5); or
    `gaussian`, normal with the standard deviation 1/rank.
    """
    found = []
    for site in sites:
        a, b = (lora_name(adapter, site.name, factor) for factor in "AB")
        begins = Initial("uniform", 1 / math.sqrt(site.inputs)) if kind == "kaiming" else Initial("normal", 1 / rank)
        found.append(Leaf(a, adapter, "lora", (rank, site.inputs), begins, site=site.name, factor="A", partner=b))
        found.append(Leaf(b, adapter, "lora", (site.rows, rank), site=site.name, factor="B", partner=a))
    return found


def offsets(sites: Sequence[Site]) -> list[Leaf]:
    """The leaves that are added to frozen weights: a dense one (out, in) for every site, zero at first."""
    return [
        Leaf(offset_name(site.name), "offset", "offset", (site.rows, site.inputs), site=site.name) for site in sites
    ]
