"""Memory of a training step: what is predicted, what torch allocates on the CPU, and their ratio.

    python -m benchmarks.memory

On the predicted bytes depends how many lanes are trained together (`benchmark.federation.memory.lane_memory`). Measured
is the most that one step of all lanes holds at a time, by torch's own record of its allocations: no other process, and
no allocator's habit, has a part in it.
"""

import statistics
from collections.abc import Callable
from dataclasses import dataclass

import torch

from benchmark.federation import memory, optimisers
from benchmark.federation.methods import load
from benchmark.federation.model import Model
from benchmark.federation.step import Held, Step
from benchmark.job import run
from benchmark.methods import method_file
from benchmark.models import sam, unet
from benchmark.models.network import Network
from benchmark.models.vit import ViT, build
from benchmark.settings import LoraSettings, OptimiserSettings
from benchmark.sources import ROOT
from benchmark.tasks.classification import Classification
from benchmark.tasks.segmentation import Segmentation
from benchmark.tasks.task import Task

CLASSES = 3
UNETS = {"unet": "batch", "unet_group": "group"}
"""How each normalises."""


@dataclass(frozen=True)
class Case:
    """A step that is measured.

    Attributes:
        network: `linear` or `upscaler` (of a ViT-Tiny), one of `UNETS`, or a variant of SAM.
        method: Whose step it is.
        size: Side of the images, in pixels.
        lanes: Trained together.
        images: Of a batch.
        depth: Blocks of the ViT.
    """

    network: str
    method: str
    size: int
    lanes: int
    images: int
    depth: int = 12


CASES = (
    Case("linear", "fedit", 64, 1, 8),
    Case("linear", "fedit", 64, 5, 8),
    Case("linear", "fedit", 224, 3, 4),
    Case("linear", "fedopal_r", 64, 5, 8),
    Case("linear", "fedopal_r", 224, 3, 4),
    Case("upscaler", "fedit", 64, 5, 8),
    Case("upscaler", "fedit", 128, 3, 8),
    Case("upscaler", "fedit", 224, 1, 4),
    Case("upscaler", "fedopal_r", 128, 3, 8),
    Case("upscaler", "heads", 128, 3, 8),
    Case("unet", "fedit", 64, 3, 8),
    Case("unet", "fedit", 128, 1, 4),
    Case("sam_tiny", "fedit", 224, 1, 4),
    Case("sam_tiny", "heads", 224, 1, 4),
    Case("sam_tiny", "sam_decoder", 224, 1, 4),
    Case("sam_tiny", "sam_full", 224, 1, 4),
    Case("mobile_sam", "fedit", 128, 2, 4),
    Case("mobile_sam", "fedit", 224, 1, 4),
    Case("mobile_sam", "heads", 128, 2, 4),
    Case("mobile_sam", "sam_attention", 128, 2, 4),
    Case("mobile_sam", "sam_full", 128, 1, 4),
)
"""`heads` is FedAvg of the head alone."""


def measured(case: Case) -> tuple[int, int]:
    """Bytes of a case's step, predicted of one lane and measured of all; the leaves before it apart."""
    task = _task(case)
    network = _network(case, task).on("cpu", "float32")
    heads = case.method == "heads"
    trains = ["head"] if heads else ["all"] if case.network in UNETS else ["lora", "head"]
    method = load(ROOT / method_file("fedit" if heads else case.method), {})
    model = Model.of(network, task, method, trains)
    source = torch.Generator().manual_seed(0)
    params = {n: 0.01 * torch.rand(case.lanes, *leaf.shape, generator=source) for n, leaf in model.leaves.items()}
    pictures = torch.rand(case.images, 3, case.size, case.size, generator=source)
    shape = (case.images, case.size, case.size) if task.predicts == "pixels" else (case.images,)
    target = torch.randint(CLASSES, shape, generator=source)

    def begun(lanes: int) -> Step:
        own = {name: leaf[:lanes] for name, leaf in params.items()}
        held, optimiser = Held(own, own, {}, {}, task.priors(target)), optimisers.of(OptimiserSettings())
        return Step(model, optimiser, method.phases(0)[0], [0.01] * lanes, [0] * lanes, held)

    few = memory.step_memory(begun(1), lambda count: (pictures[:count], target[:count]), case.images)
    return case.lanes * few, most_held(lambda: begun(case.lanes)([(pictures, target)]))


def most_held(work: Callable[[], object]) -> int:
    """The most bytes that torch holds at a time on the CPU while it does some work, beyond those before it.

    The median of three turns: once in a hundred or so, torch's record lacks some allocations.
    """
    work()  # What is made once and kept, such as a thread's copy of the network, is no part of it.
    return statistics.median(_held_once(work) for _ in range(3))


def _held_once(work: Callable[[], object]) -> int:
    activities = [torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=activities, profile_memory=True) as profile:
        work()
    events = [own for own in profile.profiler.kineto_results.events() if own.name() == "[memory]"]
    held = most = 0
    for event in sorted(events, key=lambda own: own.start_ns()):
        held += event.nbytes()
        most = max(most, held)
    return most


def main() -> None:
    """Print a line for each case."""
    torch.set_num_threads(1)
    print(f"{'network':12}{'method':12}{'px':>5}{'lanes':>7}{'images':>8}{'predicted':>12}{'measured':>12}{'ratio':>8}")
    for case in CASES:
        predicted, found = measured(case)
        about = f"{case.network:12}{case.method:12}{case.size:5}{case.lanes:7}{case.images:8}"
        print(f"{about}{predicted / 1e6:9.1f} MB{found / 1e6:9.1f} MB{predicted / found:8.2f}", flush=True)


def _task(case: Case) -> Task:
    classes = tuple("abc")
    return Classification(classes) if case.network == "linear" else Segmentation(classes)


def _network(case: Case, task: Task) -> Network:
    """With random weights."""
    if case.network in UNETS:
        return unet.UNet(unet.build({"norm": UNETS[case.network]}), task, case.size)
    settings = LoraSettings(rank=8, alpha=8)
    if case.network in sam.VARIANTS:
        body, head = sam.build(case.network, {}, CLASSES, case.size)
        return sam.Sam(body, head, {}, settings)
    return ViT(build("vit_tiny_patch16_224", {"depth": case.depth}, case.size), task, settings)


if __name__ == "__main__":
    raise SystemExit(run(main))
