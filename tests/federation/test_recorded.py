"""Recorded steps: replayed on the CPU by a stand-in for CUDA graphs, against steps that are done anew each time."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from benchmark.federation.client import Samples
from benchmark.federation.engine import Engine, State
from benchmark.federation.lane_batches import LaneBatches
from benchmark.federation.recorded import Recorder, Work, kind
from benchmark.method import Batch, Leaves, Method, Phase, part
from tests.federation.small import LANES, METHODS, clients, engine, method, same


class Log(TorchDispatchMode):
    """Notes every operation with the tensors it read and those it made."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Callable[..., Any], Any, Any, Any]] = []
        self.before: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        for name, value in zip(func._schema.arguments, args, strict=False):
            if name.alias_info is not None and name.alias_info.is_write:
                for tensor in value if isinstance(value, list) else [value]:
                    self.before.setdefault(id(tensor), (tensor, tensor.clone()))
        made = func(*args, **(kwargs or {}))
        self.calls.append((func, args, kwargs or {}, made))
        return made


class LoggedGraphs:
    """Records as a CUDA graph does: nothing is done while it is recorded, and a replay writes to the same addresses."""

    def __init__(self) -> None:
        self.recorded = self.replayed = 0

    def __call__(self, work: Work, warm_up: Work) -> Work:
        warm_up()
        self.recorded += 1
        with Log() as log:
            work()
        with torch.no_grad():
            for tensor, value in log.before.values():
                tensor.copy_(value)

        @torch.no_grad()
        def replay() -> None:
            self.replayed += 1
            for func, args, kwargs, made in log.calls:
                again = func(*args, **kwargs)
                pairs = zip(made, again, strict=True) if isinstance(made, tuple | list) else [(made, again)]
                for old, new in pairs:
                    if isinstance(old, torch.Tensor) and old.data_ptr() != new.data_ptr():
                        old.copy_(new)

        return replay


class FailingGraphs:
    """Cannot record."""

    def __init__(self, error: RuntimeError) -> None:
        self.error = error

    def __call__(self, work: Work, warm_up: Work) -> Work:
        raise self.error


def trained(ours: Engine, rounds: int = 2) -> State:
    state = ours.start(LANES)
    for _ in range(rounds):
        state, measured = ours.round(state, LANES)
    closed = ours.close(state, LANES)
    return State(closed.round, {**closed.params, "objectives": measured.objectives}, closed.memory)


@pytest.mark.parametrize("name", METHODS)
def test_recorded_steps_are_the_steps(name: str) -> None:
    """Two rounds and the closing passes of every method, clients whose last batch is smaller, two seeds: to the bit."""
    ours, graphs = engine(method(name)), LoggedGraphs()
    recorded = trained(replace(ours, recorder=Recorder(graphs)))
    plain = trained(ours)
    assert same(recorded.params, plain.params)
    assert same(recorded.memory, plain.memory)
    assert graphs.replayed > graphs.recorded > 0


def test_clients_and_rounds_share_what_was_recorded() -> None:
    """FedIT has one kind of pass: a recording for each size of a batch, and no more in later rounds."""
    graphs = LoggedGraphs()
    ours = replace(engine(method("fedit")), recorder=Recorder(graphs))
    sizes = {size for own in ours.clients for size in _sizes(len(own.training.targets), ours.training.batch_size)}
    trained(ours, rounds=3)
    assert graphs.recorded == len(sizes)
    assert ours.recorder is not None
    assert len(ours.recorder.steps) == 1


def _sizes(images: int, batch: int) -> list[int]:
    return [len(chosen) for chosen in torch.arange(images).split(batch)]


def test_passes_are_of_one_kind_where_values_alone_differ() -> None:
    """Other leaves, another mix, other lanes are another kind; a mix of tensors is none."""
    base = kind(Phase(mix={"global": 1.0, "personal": 0.5}), ["a"], LANES)
    assert base == kind(Phase(mix={"global": 1.0, "personal": 0.5}, epochs=3), ["a"], LANES)
    others = [
        kind(Phase(mix={"global": 1.0, "personal": 0.25}), ["a"], LANES),
        kind(Phase(mix={"global": 1.0, "personal": 0.5}), ["a", "b"], LANES),
        kind(Phase(mix={"global": 1.0, "personal": 0.5}), ["a"], LANES[:2]),
        kind(Phase(), ["a"], LANES),
    ]
    assert len({base, *others}) == 5
    assert kind(Phase(mix={"global": torch.ones(())}), ["a"], LANES) is None


class Weighed(Method):
    """A mix that is a tensor, another one in every round."""

    title, paper = "Weighed", "none"

    def phases(self, round: int) -> list[Phase]:
        return [Phase(mix={"global": torch.tensor(1.0 + round, dtype=torch.float64)})]


def test_a_pass_whose_kind_is_unknown_is_not_recorded() -> None:
    """A tensor in the mix could change between rounds: the step is done anew each time, with its value."""
    ours, graphs = engine(Weighed(), clients()[:1]), LoggedGraphs()
    assert same(trained(replace(ours, recorder=Recorder(graphs))).params, trained(ours).params)
    assert graphs.recorded == 0


def test_a_step_that_cannot_be_recorded_is_done_anew_and_it_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    """The result is the same; the reason is told once for each size of a batch."""
    ours = engine(method("fedit"), clients()[:1])
    failing = Recorder(FailingGraphs(RuntimeError("operation not permitted when stream is capturing\nmore")))
    assert same(trained(replace(ours, recorder=failing)).params, trained(ours).params)
    said = capsys.readouterr().err.splitlines()
    assert said == [
        "a step cannot be recorded and is done anew each time: operation not permitted when stream is capturing"
    ] * len(set(_sizes(len(ours.clients[0].training.targets), ours.training.batch_size)))


def test_memory_that_does_not_suffice_halves_the_lanes_and_frees_what_was_recorded() -> None:
    """Four lanes do not fit; two do, are recorded anew, and give the result within rounding."""

    class Small(LoggedGraphs):
        def __call__(self, work: Work, warm_up: Work) -> Work:
            if len(recorder.steps) and len(next(iter(recorder.steps.values())).step.total) > 2:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return super().__call__(work, warm_up)

    recorder = Recorder(Small())
    ours = replace(engine(method("fedit")), recorder=recorder)
    batches = LaneBatches(ours, 4)
    state, _ = batches.round(ours.start(LANES), LANES)
    plain, _ = engine(method("fedit")).round(ours.start(LANES), LANES)
    assert batches.size == 2
    assert all(len(recorded.step.total) == 2 for recorded in recorder.steps.values())
    for name, leaf in plain.params.items():
        assert (state.params[name] - leaf).abs().max() < 1e-12


class Bias(Method):
    """Trains the head's bias alone, without looking at the backbone."""

    title, paper = "Bias", "none"

    def phases(self, round: int) -> list[Phase]:
        return [Phase(trains=part("head"))]

    def loss(self, batch: Batch, params: Leaves, start: Leaves, memory: Leaves) -> torch.Tensor:
        return (params["head/bias"] ** 2).sum() + (params["head/weight"] ** 2).sum()


class Transfers(TorchDispatchMode):
    """Counts the tensors that are sent to the device, and refuses to read one back."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        assert func is not torch.ops.aten._local_scalar_dense.default, "a value is read back within a pass"
        if func is torch.ops.aten._to_copy.default and made.device != args[0].device:
            assert made.device.type == "meta", "a tensor is read back within a pass"
            self.count += 1
        return made


@pytest.mark.parametrize("name", ["fedit", "fedopal_r"])
def test_the_device_is_not_waited_for_between_batches(name: str) -> None:
    """On a device that computes nothing: what is sent to it in a pass does not grow with the number of batches."""
    counts = []
    for batch in (8, 2):
        ours = engine(method(name), clients()[:1])
        ours = replace(ours, training=ours.training.model_copy(update={"batch_size": batch}))
        with Transfers() as transfers:
            _on_meta(ours).round(_meta(ours.start(LANES)), LANES)
        counts.append(transfers.count)
    assert counts[0] == counts[1] > 0


def _on_meta(ours: Engine) -> Engine:
    far = []
    for own in ours.clients:
        here = own.training.images
        images = replace(here, pack=here.pack.to("meta"), own=here.own.to("meta"))
        far.append(replace(own, training=Samples(images, own.training.targets.to("meta"))))
    ours.model.network.on("meta", ours.training.precision)
    return replace(ours, clients=far)


def _meta(state: State) -> State:
    return state.map(lambda tensor: tensor.to("meta"))
