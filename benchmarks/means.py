"""What each of the engine's means gives, measured alone: the same work with it and without it.

    python benchmarks/means.py             # all means, some minutes
    python benchmarks/means.py --quick     # fewer repeats
    python benchmarks/means.py --only attention bfloat16
    python benchmarks/means.py --device cuda --images 128

Every pair takes turns in this process, after one turn that is not counted. Printed are medians of the processor time of
all threads, which a machine's other users hardly change, of the seconds, and the ratios without/with: above one, it
pays. Drawn images of noise, ViT-Tiny/16 with weights at random, LoRA of rank 8 on q and v, FedIT or FedPAL, five rates.
On a GPU the seconds count.
"""

import argparse
import io
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
import torch  # noqa: E402
from PIL import Image  # noqa: E402
from torch import Tensor  # noqa: E402
from torch.fx.experimental.proxy_tensor import make_fx  # noqa: E402

from benchmark import provenance  # noqa: E402
from benchmark.federation import engine, optimisers  # noqa: E402
from benchmark.federation.client import Lane  # noqa: E402
from benchmark.federation.engine import Engine  # noqa: E402
from benchmark.federation.recorded import CudaGraphs, Recorder  # noqa: E402
from benchmark.federation.step import Held, Step  # noqa: E402
from benchmark.federation.store import Store  # noqa: E402
from benchmark.federation.training import Record  # noqa: E402
from benchmark.leaf import lora_name  # noqa: E402
from benchmark.method import Phase  # noqa: E402
from benchmark.models import attention  # noqa: E402
from benchmark.models.last_block import LastBlock  # noqa: E402
from benchmark.models.lora import AdaptedLinear  # noqa: E402
from benchmark.models.vit import ViT  # noqa: E402
from benchmark.settings import AugmentationSettings  # noqa: E402
from benchmarks import noise  # noqa: E402

RATES = tuple(Lane(f"{number}e-3", 0) for number in range(1, 6))
SEEDS = tuple(Lane("1e-3", seed) for seed in range(5))
SMALL, LARGE = 64, 224
"""Sides of images in pixels: 17 and 197 tokens."""
Work = Callable[[], object]


@dataclass(frozen=True)
class Setup:
    """On what is measured.

    Attributes:
        device: `cpu` or `cuda`.
        images: Of every client, at 64 px; at 224 px it has a quarter.
    """

    device: str
    images: int

    def engine(
        self,
        images: int | None = None,
        side: int = SMALL,
        clients: int = 1,
        method: str = "fedit",
        precision: str = "float32",
        batch: int = 16,
        trains: Sequence[str] = ("lora", "head"),
    ) -> Engine:
        """Clients with so many training images each, and as many for validation."""
        images = images or (self.images if side == SMALL else self.images // 4)
        training = {"batch_size": batch, "optimiser": {"momentum": 0.9}, "precision": precision}
        config = noise.config(training=training, trains=list(trains))
        return noise.engine(config, method, images, side, self.device, clients)


@dataclass(frozen=True)
class Pair:
    """The same work, with one of the means and without it.

    Attributes:
        title: What is compared, `with | without`.
        on: With it.
        off: Without it.
    """

    title: str
    on: Work
    off: Work

    def measured(self, repeats: int) -> list[list[tuple[float, float]]]:
        """Seconds of processor time and of the clock, of every turn, with it and without it."""
        found: list[list[tuple[float, float]]] = [[], []]
        for turn in range(repeats + 1):
            for kept, work in zip(found, (self.on, self.off), strict=True):
                computed, tick = time.process_time(), time.perf_counter()
                work()
                _finish()
                if turn:
                    kept.append((time.process_time() - computed, time.perf_counter() - tick))
        return found


def main() -> None:
    """Measure every pair and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--quick", action="store_true", help="three repeats instead of seven")
    parser.add_argument("--repeats", type=int, help="turns that count")
    parser.add_argument("--images", type=int, default=32, help="of every client, at 64 px; a quarter at 224 px")
    parser.add_argument("--only", nargs="+", choices=list(MEANS), metavar="MEANS", help=str(list(MEANS)))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    setup = Setup(arguments.device, arguments.images)
    names = arguments.only or [name for name in MEANS if ONLY_ON.get(name, setup.device) == setup.device]
    repeats = arguments.repeats or (3 if arguments.quick else 7)
    where = provenance.hardware(torch.device(arguments.device))
    print(
        f"{where}; torch {torch.__version__}; commit {provenance.commit()[:12]}; "
        f"{arguments.images} images, medians of {repeats} turns\n\n"
        "| with | without | processor, s | without | ratio | end to end, s | without | ratio |\n"
        f"|:--|:--|{'--:|' * 6}",
        flush=True,
    )
    for name in names:
        for pair in MEANS[name](setup):
            on, off = ([median(column) for column in zip(*turns, strict=True)] for turns in pair.measured(repeats))
            cells = [f"{a:.4g} | {b:.4g} | **{b / a:.2f}x**" for a, b in zip(on, off, strict=True)]
            print(f"| {pair.title} | {' | '.join(cells)} |", flush=True)


def one_round(ours: Engine, lanes: Sequence[Lane] = RATES) -> Work:
    """A round of these lanes from their start."""
    start = ours.start(lanes)
    return lambda: ours.round(start, lanes)


def lanes_fused(setup: Setup) -> Iterator[Pair]:
    """All lanes in one step, or one after another."""
    ours = setup.engine()
    single = [one_round(ours, [lane]) for lane in RATES]
    yield Pair("five lanes in one step | one lane after another", one_round(ours), lambda: [work() for work in single])


def batches_shared(setup: Setup) -> Iterator[Pair]:
    """Rates of one seed, whose images and first layer are computed once, beside as many seeds."""
    ours = setup.engine()
    title = "images shared by five rates | five seeds, each with images of its own"
    yield Pair(title, one_round(ours), one_round(ours, SEEDS))


def class_token(setup: Setup) -> Iterator[Pair]:
    """The last block for the class token alone."""
    with changed(LastBlock, "fits", staticmethod(lambda _: False)):
        whole = setup.engine()
    yield Pair("last block for the class token | for all tokens", one_round(setup.engine()), one_round(whole))


def adapters_joined(setup: Setup) -> Iterator[Pair]:
    """FedPAL's two adapters on q and v in one product, or one after another."""
    ours = setup.engine(method="fedpal")
    work = one_round(ours)

    def apart() -> None:
        with changed(AdaptedLinear, "forward", _one_by_one):
            work()

    yield Pair("adapters joined along the rank | one product for each", work, apart)


def _one_by_one(layer: AdaptedLinear, x: Tensor) -> Tensor:
    """An adapted layer as it is written in papers: a pair of products for every adapter at every site."""
    y, own = layer.frozen(x), layer.adaptation
    for adapter, weight in own.mix.items():
        for site in layer.sites:
            A, B = (own.params[lora_name(adapter, site.name, factor)] for factor in "AB")
            y = y + weight * own.scale * (x @ A.T @ layer.in_rows(B, site).T)
    return y


def side_by_side(setup: Setup) -> Iterator[Pair]:
    """Two clients on two cores, each with one thread, or one after another with two threads."""
    ours = setup.engine(clients=2)

    def threaded() -> None:
        torch.set_num_threads(2)
        after()
        torch.set_num_threads(1)

    after = one_round(ours)
    title = "two clients side by side, one thread each | one after another, two threads"
    yield Pair(title, one_round(replace(ours, threads=2)), threaded)


def decoded_once(setup: Setup) -> Iterator[Pair]:
    """A round from packed images, or one that decodes a JPEG file of 224 px for each of them."""
    ours = setup.engine()
    work, files = one_round(ours), []
    for number in range(setup.images):
        smooth = np.random.default_rng(number).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        files.append(io.BytesIO())
        Image.fromarray(smooth).resize((LARGE, LARGE)).save(files[-1], "jpeg", quality=90)

    def decoding() -> None:
        for file in files:
            np.asarray(Image.open(file).convert("RGB").resize((SMALL, SMALL)))
        work()

    yield Pair("images packed once | a JPEG file decoded for each image", work, decoding)


def bfloat16(setup: Setup) -> Iterator[Pair]:
    """The frozen part in bfloat16."""
    for side in (SMALL, LARGE):
        work = [one_round(setup.engine(side=side, precision=precision)) for precision in ("bfloat16", "float32")]
        yield Pair(f"frozen part in bfloat16, {side} px | float32", *work)


def evaluation(setup: Setup) -> Iterator[Pair]:
    """Lanes together, and images in larger or smaller chunks."""
    ours = setup.engine(4 * setup.images)
    state = ours.start(RATES)
    together = partial(ours.validate, state)
    apart = [partial(ours.validate, state.lane(number)) for number in range(len(RATES))]
    yield Pair("validation: five lanes together | lane by lane", together, lambda: [work() for work in apart])
    for chunk in (16, 32, 128):
        yield Pair(f"validation: 64 images at once | {chunk}", together, partial(_in_chunks, chunk, together))


def _in_chunks(images: int, work: Work) -> None:
    with changed(engine, "CHUNK", images):
        work()


def optimiser(setup: Setup) -> Iterator[Pair]:
    """A hundred steps of SGD for all lanes and leaves together, or by one of torch's optimisers for each lane."""
    ours = setup.engine(1)
    leaves = [leaf[0].clone() for leaf in ours.start(RATES).params.values()]
    gradients = [torch.ones_like(leaf) for leaf in leaves]
    fused = optimisers.of(ours.training.optimiser)
    state = fused.state(leaves)
    rates = torch.tensor([float(lane.rate) for lane in RATES], device=setup.device)
    scaled = [rates.view(-1, *[1] * (leaf.dim() - 1)) for leaf in leaves]
    single = [[leaf[number].clone().requires_grad_() for leaf in leaves] for number in range(len(RATES))]
    alone = [torch.optim.SGD(own, lr=float(lane.rate), momentum=0.9) for own, lane in zip(single, RATES, strict=True)]
    for own in single:
        for leaf in own:
            leaf.grad = torch.ones_like(leaf)

    def together() -> None:
        for _ in range(100):
            fused.step(leaves, gradients, state, scaled)

    def apart() -> None:
        for _ in range(100):
            for one in alone:
                one.step()

    yield Pair(
        "100 steps of SGD, all lanes and leaves in four operations | torch.optim.SGD for each lane", together, apart
    )


def fused_attention(setup: Setup) -> Iterator[Pair]:
    """Attention by torch's fused kernel, or by products and a softmax."""
    for side, batch in ((SMALL, 16), (SMALL, 32), (LARGE, 16)):
        ours = setup.engine(side=side, batch=batch)
        turns = [partial(_with_attention, fused, one_round(ours)) for fused in (True, False)]
        size = min(batch, len(ours.clients[0].training))
        yield Pair(f"fused attention, {side} px, batches of {size} | products and softmax", *turns)


def _with_attention(fused: bool, work: Work) -> None:
    with changed(attention, "fused", lambda *_: fused):
        work()


def checkpoints(setup: Setup) -> Iterator[Pair]:
    """Three rounds with a checkpoint of six clients' five lanes after each, written beside the next or before it."""
    ours, six = setup.engine(), setup.engine(1, clients=6, method="fedpal")
    work, state = one_round(ours), six.start(RATES)

    def trained(store: Store, beside: ThreadPoolExecutor | None) -> None:
        keeping: Future[None] | None = None
        for number in range(3):
            work()
            kept = replace(state.map(lambda leaf: leaf.to("cpu", copy=True)), round=number)
            records = {f"{i}{'0' * 9}": Record(kept.lane(i), [], 0.0) for i in range(len(RATES))}
            save = partial(store.checkpoint, records)
            if keeping:
                keeping.result()
            if beside:
                keeping = beside.submit(save)
            else:
                save()

    def apart() -> None:
        with tempfile.TemporaryDirectory(dir=ROOT) as folder, ThreadPoolExecutor(1) as beside:
            trained(Store(Path(folder)), beside)

    def between() -> None:
        with tempfile.TemporaryDirectory(dir=ROOT) as folder:
            trained(Store(Path(folder)), None)

    yield Pair("checkpoints written beside the training | between rounds", apart, between)


def encoded_once(setup: Setup) -> Iterator[Pair]:
    """Six rounds of a head alone, validated after each, from what the frozen part made of the images, or from these."""
    for still in (True, False):
        ours = setup.engine(trains=["head"])
        if still:
            nothing = AugmentationSettings(flip=False, rotate=False, brightness=0, contrast=0)
            ours = replace(ours, augmentation=nothing)

        def work(ours: Engine = ours) -> None:
            begun = replace(ours)  # Nothing that was encoded before is in it.
            state = begun.start(RATES)
            for _ in range(6):
                state, _ = begun.round(state, RATES)
                begun.validate(state)

        def from_images(work: Work = work) -> None:
            with changed(ViT, "encodes", lambda self, leaves: False):
                work()

        kind = "images unchanged" if still else "images augmented"
        yield Pair(f"head alone, {kind}: encoded once | in every round", work, from_images)


def stacked(setup: Setup) -> Iterator[Pair]:
    """Two small clients in one step, or one after another, for batches and lanes of several sizes.

    Two seeds of one client stand for two clients: images and leaves of their own, the same number of steps.
    """
    for batch, rates in ((4, RATES[:1]), (4, RATES), (16, RATES[:1]), (16, RATES)):
        ours = setup.engine(2 * batch, batch=batch)
        both = [replace(lane, seed=seed) for seed in (0, 1) for lane in rates]
        single = [one_round(ours, both[: len(rates)]), one_round(ours, both[len(rates) :])]
        title = f"two clients in one step, batches of {batch}, {len(rates)} rate(s) | one after another"
        yield Pair(title, _often(4, one_round(ours, both)), _often(4, *single))


def recorded(setup: Setup) -> Iterator[Pair]:
    """Steps recorded as CUDA graphs, or launched operation by operation."""
    for side, lanes in ((SMALL, RATES[:1]), (SMALL, RATES), (LARGE, RATES)):
        ours = setup.engine(side=side)
        replayed = replace(ours, recorder=Recorder(CudaGraphs()))
        title = f"steps recorded, {side} px, {len(lanes)} rate(s) | launched operation by operation"
        yield Pair(title, one_round(replayed, lanes), one_round(ours, lanes))


def compiled(setup: Setup) -> Iterator[Pair]:
    """Every lane's gradients by a compiled program, or operation by operation.

    Dynamo does not follow hooks through `vmap`: the operations are traced below it, and the program is made of these.
    """
    ours = setup.engine()
    params = {name: leaf[0] for name, leaf in ours.start(RATES).params.items()}
    rates = [float(lane.rate) for lane in RATES]
    targets = ours.clients[0].training.targets
    held = Held(params, params, {}, {}, ours.model.task.priors(targets))
    step = Step(ours.model, optimisers.of(ours.training.optimiser), Phase(), rates, [0] * len(rates), held)
    labels = targets[: ours.training.batch_size]
    images = torch.rand(len(labels), 3, SMALL, SMALL, device=setup.device)
    step.trained = {name: leaf.detach() for name, leaf in step.trained.items()}
    leaves = list(step.trained.values())

    def gradients(leaves: Sequence[Tensor], images: Tensor, labels: Tensor) -> tuple[Tensor, list[Tensor]]:
        names = list(step.trained)
        with changed(step, "trained", {name: leaf.requires_grad_() for name, leaf in zip(names, leaves, strict=True)}):
            losses, found, _ = step.gradients([[images, labels]])
            return losses, found

    tick = time.perf_counter()
    program = torch.compile(make_fx(gradients)(leaves, images, labels))

    def by_program() -> None:
        with torch.no_grad():
            program(leaves, images, labels)

    by_program()
    title = f"gradients of a compiled program ({time.perf_counter() - tick:.0f} s to make) | operation by operation"
    yield Pair(title, by_program, partial(gradients, leaves, images, labels))


def _often(times: int, *works: Work) -> Work:
    return lambda: [work() for _ in range(times) for work in works]


def _finish() -> None:
    """Wait for the GPU, where there is one."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


@contextmanager
def changed(owner: Any, name: str, value: object) -> Iterator[None]:
    """Within the block, one attribute is another."""
    before = owner.__dict__[name]
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


MEANS = {
    "lanes": lanes_fused,
    "batches": batches_shared,
    "class-token": class_token,
    "adapters": adapters_joined,
    "clients": side_by_side,
    "decoding": decoded_once,
    "bfloat16": bfloat16,
    "evaluation": evaluation,
    "optimiser": optimiser,
    "attention": fused_attention,
    "checkpoints": checkpoints,
    "encoded": encoded_once,
    "stacked": stacked,
    "compiled": compiled,
    "recorded": recorded,
}
ONLY_ON = {"clients": "cpu", "recorded": "cuda"}
"""The device of means that another one has not."""


if __name__ == "__main__":
    main()
