"""Leaves: the tensors of a network that are trained or carried, and what the network says about each."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from torch import Tensor

Leaves = Mapping[str, Tensor]
"""Tensors by leaf name. What stands before the leaf's own shape (lanes, clients) is said where it is used."""


@dataclass(frozen=True)
class Initial:
    """What a leaf begins with.

    Attributes:
        kind: `zero`; `constant`, the number `size`; `uniform`, between -size and size; `normal`, with the standard
            deviation `size`; or `pretrained`, what the network's weights say.
        size: See there.
    """

    kind: Literal["zero", "constant", "uniform", "normal", "pretrained"] = "zero"
    size: float = 0.0


@dataclass(frozen=True)
class Leaf:
    """One tensor that a client holds.

    Attributes:
        name: Unique among the leaves of a run; begins with its part: `global/blocks.0.attn.q.A`.
        part: What it belongs to: the name of an adapter, of a head or of a scalar, or `offset`.
        role: What it is, as its network says: `lora`, `head`, `norm`, `attention`, `backbone`, ..., `buffer`, `scalar`
            or `offset`. Never guessed from the name.
        shape: Of one client in one lane.
        initial: What it begins with.
        trainable: Whether it has a gradient. One that has none is carried: a buffer changes with every forward pass.
        reached: Whether predictions depend on it. One that they do not depend on is counted and sent like the others
            that a configuration trains, and never changes.
        site: For `lora` and `offset`: the adapted projection, `blocks.0.attn.q`. For a weight of the network itself:
            its name there, `blocks.0.norm1.weight`.
        factor: For `lora`: `A`, of shape (rank, in), or `B`, of shape (out, rank).
        partner: For `lora`: the name of the pair's other factor.
    """

    name: str
    part: str
    role: str
    shape: tuple[int, ...]
    initial: Initial = Initial()
    trainable: bool = True
    reached: bool = True
    site: str = ""
    factor: str = ""
    partner: str = ""


class Pair(NamedTuple):
    """The two factors of an adapter at one site, A (..., rank, in) and B (..., out, rank)."""

    A: Tensor
    B: Tensor

    @property
    def product(self) -> Tensor:
        """B A, (..., out, in)."""
        return self.B @ self.A


def lora_name(adapter: str, site: str, factor: str) -> str:
    """The name of a LoRA leaf."""
    return f"{adapter}/{site}.{factor}"


def dense_name(part: str, tensor: str) -> str:
    """The name of the leaf that is a weight or buffer of the network itself."""
    return f"{part}/{tensor}"


def offset_name(site: str) -> str:
    """The name of the leaf that is added to a frozen weight."""
    return f"offset/{site}"


def part(*names: str) -> Callable[[Leaf], bool]:
    """A predicate that holds for the leaves of the named parts: `part("personal", "head")`."""
    return lambda leaf: leaf.part in names


def belonging(leaves: Leaves, part: str) -> dict[str, Tensor]:
    """The leaves of one part, by what stands behind the part in their names: what the same leaf of another part has."""
    return {name.removeprefix(f"{part}/"): leaf for name, leaf in leaves.items() if name.startswith(f"{part}/")}


def pairs(leaves: Leaves, adapter: str) -> dict[str, Pair]:
    """An adapter's pairs, by site."""
    own = belonging(leaves, adapter)
    return {name.removesuffix(".A"): Pair(A, own[f"{name[:-2]}.B"]) for name, A in own.items() if name.endswith(".A")}


def named(found: Mapping[str, Pair], adapter: str) -> dict[str, Tensor]:
    """Pairs by site as leaves of an adapter: what `pairs` takes apart."""
    return {
        lora_name(adapter, site, factor): leaf
        for site, pair in found.items()
        for factor, leaf in zip(("A", "B"), pair, strict=True)
    }
