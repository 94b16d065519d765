"""What a method costs, counted from shapes: against what the server really sees, and against hand counts."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from benchmark.federation import costs
from benchmark.federation.client import Lane
from benchmark.federation.engine import Engine
from tests.federation.small import ARGUMENTS, CLASSES, METHODS, engine, method

DIM, DEPTH, RANK = ARGUMENTS["embed_dim"], ARGUMENTS["depth"], 4
A = DEPTH * 2 * RANK * DIM
"""Numbers in all A of one adapter on q and v; all B hold as many."""
HEAD = len(CLASSES) * (DIM + 1)


def traffic(ours: Engine, rounds: int) -> costs.Traffic:
    """Bytes of the messages in an engine's federation."""
    return costs.traffic(ours.model, ours.head, len(ours.participants), rounds, ours.dtype)


@pytest.mark.parametrize("name", METHODS)
def test_the_byte_counter_says_what_the_server_sees(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only shared leaves reach the server's hook, and their bytes are the counted ones."""
    ours, seen = engine(method(name)), []
    if ours.model.method.pooled:
        assert traffic(ours, 1).up[0] == 0
        return
    served = type(ours.model.method).server

    def spy(self: object, sent: Mapping[str, Tensor], start: Mapping[str, Tensor], weights: Tensor) -> object:
        seen.append(sum(leaf[0].numel() * leaf.element_size() for leaf in sent.values()))
        return served(self, sent, start, weights)

    monkeypatch.setattr(type(ours.model.method), "server", spy)
    ours.round(ours.start([Lane("1e-2", 0)]), [Lane("1e-2", 0)])
    assert traffic(ours, 1).up[0] == (seen[0] if seen else 0)


@pytest.mark.parametrize(
    ("name", "sent", "trained"),
    [
        ("fedit", 2 * A + HEAD, 2 * A + HEAD),
        ("ffa_lora", A + HEAD, A + HEAD),
        ("fedsa_lora", A, 2 * A + HEAD),
        ("fedpal", 2 * A + HEAD, 4 * A + HEAD),
        ("feddpa_t", 2 * A + HEAD, 4 * A + HEAD),
        ("feddpa_f", 2 * A + HEAD, 4 * A + HEAD),
        ("local", 0, 2 * A + HEAD),
        ("scaffold", 2 * (2 * A + HEAD), 2 * A + HEAD),
        ("ditto", 2 * A + HEAD, 2 * (2 * A + HEAD)),
        ("apfl", 2 * A + HEAD, 2 * (2 * A + HEAD) + 1),
        ("fedper", 2 * A, 2 * A + HEAD),
        ("fedrep", 2 * A, 2 * A + HEAD),
        ("flexlora", 2 * A + HEAD, 2 * A + HEAD),
    ],
)
def test_published_methods_cost_what_their_definitions_say(name: str, sent: int, trained: int) -> None:
    """Counted by hand: FFA-LoRA halves what LoRA sends, FedSA-LoRA sends A alone, a personal adapter never travels."""
    ours = engine(method(name))
    assert traffic(ours, 1).up[0] == sent * torch.float64.itemsize
    assert costs.trainable_parameters(ours.model, rounds=2) == trained


def test_messages_may_differ_by_direction_and_round() -> None:
    """RoLoRA sends one factor a round; FLoRA's and FedEx-LoRA's clients receive all three clients' adapters."""
    item, clients = torch.float64.itemsize, 3
    assert traffic(engine(method("rolora")), 3) == costs.Traffic(*[[(A + HEAD) * item] * 3] * 2)
    both, stack = 2 * A + HEAD, clients * 2 * A
    assert traffic(engine(method("flora")), 1) == costs.Traffic([both * item], [(stack + HEAD) * item])
    assert traffic(engine(method("fedex_lora")), 1) == costs.Traffic([both * item], [(both + stack) * item])


@pytest.mark.parametrize(("name", "passes"), [("fedit", 3 * 2), ("feddpa_t", (1 + 2 + 2) * 2), ("local", 3 * 2)])
def test_passes_over_the_images_are_counted(name: str, passes: int) -> None:
    """In three rounds of two local epochs: FedDPA-T has a pass of its own from the second round on."""
    ours = engine(method(name))
    ours = replace(ours, training=ours.training.model_copy(update={"local_epochs": 2}))
    assert costs.image_passes(ours, rounds=3) == passes
