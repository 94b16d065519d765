"""Leaves: the trainable tensors of a model, and what the model says about each."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

Leaves = Mapping[str, Tensor]
"""Tensors by leaf name. What stands before the leaf's own shape (lanes, clients) is said where it is used."""


@dataclass(frozen=True)
class Leaf:
    """One trainable tensor.

    Attributes:
        name: Unique among the leaves of a run: `global/blocks.0.attn.q.A`.
        part: What it belongs to: the name of an adapter, or `head`.
        role: What it is, as its model says: `lora` or `head`. Never guessed from the name.
        shape: Of one client in one lane.
        site: For `lora`: the adapted projection, `blocks.0.attn.q`.
        factor: For `lora`: `A`, of shape (rank, in), or `B`, of shape (out, rank).
        partner: For `lora`: the name of the pair's other factor.
    """

    name: str
    part: str
    role: str
    shape: tuple[int, ...]
    site: str = ""
    factor: str = ""
    partner: str = ""


def part(*names: str) -> Callable[[Leaf], bool]:
    """A predicate that holds for the leaves of the named parts: `part("personal", "head")`."""
    return lambda leaf: leaf.part in names
