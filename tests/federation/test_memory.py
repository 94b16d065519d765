"""What a lane is expected to hold, against what torch allocates in a step, and what it depends on."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from benchmark.federation.client import LocalTraining, Pass
from benchmark.federation.memory import lane_memory
from benchmark.federation.step import Held
from benchmark.leaf import Leaves, part
from benchmark.method import Batch, Method, Output, Phase
from benchmark.models import attention
from tests.federation.small import ARGUMENTS, LANES, SIZE, TRAINING, client, engine, method

DIM, DEPTH = ARGUMENTS["embed_dim"], ARGUMENTS["depth"]
TOKENS = (SIZE // ARGUMENTS["patch_size"]) ** 2 + 1


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
    assert 1 < len(lanes) * lane_memory(ours, 1) / sum(saved.values()) < most


class Helped(Method):
    """FedAvg whose loss asks for a trace, in a helper of its own."""

    title = "Helped"

    def loss(self, batch: Batch, params: Leaves, start: Leaves, memory: Leaves) -> Tensor:
        output = self._output(batch, params)
        return batch.task_loss(output) + sum((own**2).sum() for own in output.adapters["global"])

    def _output(self, batch: Batch, params: Leaves) -> Output:
        asked = {"trace": True}
        return batch(params, **asked)


class Failing(Helped):
    """One whose loss fails."""

    def _output(self, batch: Batch, params: Leaves) -> Output:
        raise RuntimeError("no")


class Later(Method):
    """The head alone, in the first round; everything in the second."""

    title = "Later"

    def phases(self, round: int) -> Sequence[Phase]:
        return [Phase(part("head"))] if round == 0 else [Phase(lambda leaf: True)]


def test_what_a_loss_reads_is_expected_too() -> None:
    """A trace that is asked for in a helper; and a loss that fails is told of when it is trained."""
    plain, helped, failing = (lane_memory(engine(own), 1) for own in (method("fedit"), Helped(), Failing()))
    outputs = DEPTH * 2 * TRAINING.batch_size * TOKENS * DIM * torch.float64.itemsize
    assert helped - plain >= outputs > 0
    assert plain > failing > 0


def test_the_pass_that_holds_most_counts() -> None:
    """In any of the rounds."""
    first, both = (lane_memory(engine(Later()), rounds) for rounds in (1, 2))
    assert both > 2 * first
    assert both == pytest.approx(lane_memory(engine(method("fedit")), 1), rel=0.05)


def test_clients_side_by_side_share_the_memory() -> None:
    """Three threads hold three clients' batches, and a fourth has no client."""
    ours = engine(method("fedit"))
    one, two, three, four = (lane_memory(replace(ours, threads=threads), 1) for threads in (1, 2, 3, 4))
    assert three == four
    assert three - two == two - one > one / 2


def test_expected_memory_is_linear_in_the_batch() -> None:
    """As many more images hold as much more; leaves are there once."""
    eight, sixteen, more = (
        lane_memory(engine(method("fedit"), training=TRAINING.model_copy(update={"batch_size": images})), 1)
        for images in (8, 16, 24)
    )
    assert more - sixteen == pytest.approx(sixteen - eight, abs=2)
    assert sixteen > 1.5 * eight
