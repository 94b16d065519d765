"""What a lane is expected to hold, against what torch allocates in a step, and what it depends on."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from torch import Tensor

from benchmark.federation.memory import lane_memory
from benchmark.leaf import Leaves, part
from benchmark.method import Batch, Method, Output, Phase
from benchmark.models import attention
from benchmarks.memory import Case, measured
from tests.federation.small import TRAINING, engine, method


@pytest.mark.parametrize(
    "case",
    [
        Case("linear", "fedit", 64, 3, 8, depth=3),
        Case("linear", "fedopal_r", 64, 3, 8, depth=3),
        Case("upscaler", "fedit", 64, 3, 8, depth=3),
        Case("upscaler", "fedopal_r", 64, 2, 8),
        Case("upscaler", "fedit", 128, 1, 4),
        Case("upscaler", "heads", 64, 1, 8, depth=3),
        Case("unet", "fedit", 64, 2, 4),
        Case("sam_tiny", "heads", 128, 2, 4),
        Case("sam_tiny", "sam_full", 128, 2, 4),
        Case("mobile_sam", "fedit", 64, 2, 4),
        Case("mobile_sam", "sam_attention", 96, 2, 4),
    ],
    ids=lambda case: f"{case.network}-{case.method}",
)
def test_a_step_holds_what_it_is_expected_to(case: Case) -> None:
    """Within a fifth: lanes are chosen by it. MobileSAM's windows do not cover a map of 96 pixels, nor halves of it."""
    predicted, found = measured(case)
    assert predicted == pytest.approx(found, rel=0.2)


@pytest.mark.parametrize("limit", [0, 10**6], ids=["fused", "plain"])
def test_attention_that_keeps_its_matrices_is_expected_to(limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The fused kernel keeps none; the other way two of each head."""
    monkeypatch.setattr(attention, "FUSED_FROM", limit)
    predicted, found = measured(Case("linear", "fedit", 224, 1, 2, depth=2))
    assert predicted == pytest.approx(found, rel=0.2)


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
    assert helped > plain > failing > 0


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
