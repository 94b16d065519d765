"""What a method costs, counted from shapes: against what the server really sees, and against hand counts."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from benchmark.federation import costs
from benchmark.federation.client import Lane, LocalTraining, Pass
from benchmark.federation.engine import Engine
from benchmark.federation.step import Held
from benchmark.leaf import Leaves
from benchmark.method import Batch, Method, Output
from benchmark.models import attention
from tests.federation.small import ARGUMENTS, CLASSES, LANES, METHODS, TRAINING, client, engine, method

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


@pytest.mark.parametrize("limit", [0, 10**6], ids=["fused", "plain"])
@pytest.mark.parametrize(("name", "most"), [("fedit", 4.0), ("fedpal", 4.0), ("fedopal_r", 1.5)])
def test_predicted_memory_is_enough_and_not_far_too_much(
    name: str, most: float, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against what autograd saves for one step of a full batch in three lanes, with and without fused attention.

    It is for a whole step, gradients and what the optimiser remembers among it, of which autograd saves a part.
    """
    monkeypatch.setattr(attention, "FUSED_FROM", limit)
    ours, lanes = engine(method(name), [client("north", TRAINING.batch_size)]), LANES[:1] * 3
    frozen = {weight.untyped_storage().data_ptr() for weight in ours.model.network.frozen().values()}
    saved: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in frozen:
            saved[storage.data_ptr()] = storage.nbytes()
        return tensor

    state = ours.start(lanes)
    own = {leaf: value[0] for leaf, value in state.params.items()}
    held = Held(own, own, {}, {}, {})
    local = LocalTraining(ours.model, ours.training, ours.augmentation, ours.dtype)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        local.train(ours.clients[0], held, Pass(ours.model.method.phases(0)[0], "pass", 0, 1), lanes)
    assert 1 < len(lanes) * costs.lane_memory(ours) / sum(saved.values()) < most


class Helped(Method):
    """FedAvg whose loss asks for a trace, in a helper of its own."""

    title = "Helped"

    def loss(self, batch: Batch, params: Leaves, start: Leaves, memory: Leaves) -> Tensor:
        return batch.task_loss(self._output(batch, params))

    def _output(self, batch: Batch, params: Leaves) -> Output:
        asked = {"trace": True}
        return batch(params, **asked)


def test_a_loss_that_asks_for_a_trace_in_a_helper_is_predicted_with_it() -> None:
    """More than the same method without, and by what the network says of a trace."""
    plain, helped = engine(method("fedit")), engine(Helped())
    network, images, every = plain.model.network, TRAINING.batch_size, plain.model.leaves.values()
    trace = network.step_bytes(images, every, 1) - network.step_bytes(images, every, 0)
    assert costs.lane_memory(helped) - costs.lane_memory(plain) == trace > 0


def test_clients_side_by_side_share_the_memory() -> None:
    """Three threads hold three clients' batches, and a fourth has no client."""
    ours = engine(method("fedit"))
    one, two, three, four = (costs.lane_memory(replace(ours, threads=threads)) for threads in (1, 2, 3, 4))
    assert three == four
    assert three - two == two - one > one / 2


def test_predicted_memory_is_linear_in_the_batch() -> None:
    """Twice the images keep twice the activations; leaves are there once."""
    model = engine(method("fedit")).model
    each = [model.network.step_bytes(images, model.leaves.values()) for images in (8, 16)]
    assert each[1] == 2 * each[0] > 0


@pytest.mark.parametrize(("name", "passes"), [("fedit", 3 * 2), ("feddpa_t", (1 + 2 + 2) * 2), ("local", 3 * 2)])
def test_passes_over_the_images_are_counted(name: str, passes: int) -> None:
    """In three rounds of two local epochs: FedDPA-T has a pass of its own from the second round on."""
    ours = engine(method(name))
    ours = replace(ours, training=ours.training.model_copy(update={"local_epochs": 2}))
    assert costs.image_passes(ours, rounds=3) == passes
