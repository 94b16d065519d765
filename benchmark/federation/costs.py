"""What a method costs: counted from shapes, so that no run has to be measured for it."""

import math
from collections.abc import Iterable

from benchmark.federation.engine import Engine
from benchmark.leaf import Leaf

_ACTIVATIONS = 18
"""Floats that a transformer block with a fourfold MLP keeps for the backward pass, per token and feature.

The gradients of its inputs need 10; the traces of two adapters on q and v, as FedOPAL-R's, some 7 more. A method that
keeps more is met by smaller packs once memory is exhausted."""


def trainable_parameters(engine: Engine, rounds: int) -> int:
    """Parameters that one client trains, in any pass of any round."""
    method = engine.model.method
    phases = [phase for round in range(rounds) for phase in method.phases(round)] + list(method.closing())
    return _size(leaf for leaf in engine.model.leaves.values() if any(phase.trains(leaf) for phase in phases))


def bytes_each_way(engine: Engine) -> int:
    """Bytes one client sends in one round, which equal the bytes it receives; none where nothing is averaged."""
    if engine.model.method.pooled:
        return 0
    shared = engine.model.shared(engine.head)
    return _size(engine.model.leaves[name] for name in shared) * engine.dtype.itemsize


def lane_memory(engine: Engine) -> int:
    """Bytes that one lane's step is expected to hold: what the backward pass keeps of one batch in every thread."""
    vit = engine.model.backbone.vit
    tokens = vit.patch_embed.num_patches + 1
    heads = vit.blocks[0].attn.num_heads
    per_block = tokens * (_ACTIVATIONS * vit.embed_dim + 2 * heads * tokens)
    side_by_side = min(engine.threads, len(engine.participants))
    return side_by_side * engine.training.batch_size * len(vit.blocks) * per_block * engine.dtype.itemsize


def _size(leaves: Iterable[Leaf]) -> int:
    return sum(math.prod(leaf.shape) for leaf in leaves)
