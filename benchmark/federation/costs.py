"""What a method costs: counted from shapes, so that no run has to be measured for it."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from benchmark.federation.client import Lane
from benchmark.federation.engine import Engine
from benchmark.federation.exchange import Exchange, size
from benchmark.leaf import Leaf
from benchmark.models.attention import fused

_ACTIVATIONS = 18
"""Floats that a transformer block with a fourfold MLP keeps for the backward pass, per token and feature.

The gradients of its inputs need 10; the traces of two adapters on q and v, as FedOPAL-R's, some 7 more. A method that
keeps more is met by smaller packs once memory is exhausted."""


def trainable_parameters(engine: Engine, rounds: int) -> int:
    """Parameters that one client trains, in any pass of any round."""
    method = engine.model.method
    phases = [phase for round in range(rounds) for phase in method.phases(round)] + list(method.closing())
    return _size(leaf for leaf in engine.model.leaves.values() if any(phase.trains(leaf) for phase in phases))


def image_passes(engine: Engine, rounds: int) -> int:
    """Passes that one client makes over its images, in all rounds and after the last."""
    method, local = engine.model.method, engine.training.local_epochs
    phases = [phase for round in range(rounds) for phase in method.phases(round)] + list(method.closing())
    return sum(local if phase.epochs is None else phase.epochs for phase in phases)


@dataclass(frozen=True)
class Traffic:
    """Bytes that one client sends and receives, in every round."""

    up: Sequence[int]
    down: Sequence[int]


def traffic(engine: Engine, rounds: int) -> Traffic:
    """Bytes of the messages of all rounds: nothing is trained for them, for their sizes depend on shapes alone."""
    if engine.model.method.pooled:
        return Traffic([0] * rounds, [0] * rounds)
    state = engine.start([Lane("1", 0)])
    found: dict[tuple[str, ...], tuple[int, int]] = {}
    each = []
    for round in range(rounds):
        exchange = Exchange(engine.model, engine.head, round)
        leaves = tuple(exchange.leaves)
        if leaves not in found:
            sent = exchange.up(state.params, state.memory)
            found[leaves] = size(sent, 2), size(exchange.served(sent, state.params, engine.weights), 1)
        each.append(found[leaves])
    return Traffic([up for up, _ in each], [down for _, down in each])


def lane_memory(engine: Engine) -> int:
    """Bytes that one lane's step is expected to hold: what the backward pass keeps of one batch in every thread."""
    vit = engine.model.backbone.vit
    tokens = vit.patch_embed.num_patches + 1
    heads = vit.blocks[0].attn.num_heads
    # The fused kernel keeps its output and a sum for every query; otherwise two matrices of attention are kept.
    attention = vit.embed_dim + heads if fused(engine.device, tokens) else 2 * heads * tokens
    per_block = tokens * (_ACTIVATIONS * vit.embed_dim + attention)
    side_by_side = min(engine.threads, len(engine.participants))
    return side_by_side * engine.training.batch_size * len(vit.blocks) * per_block * engine.dtype.itemsize


def _size(leaves: Iterable[Leaf]) -> int:
    return sum(math.prod(leaf.shape) for leaf in leaves)
