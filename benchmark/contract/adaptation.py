"""An adaptation on trial: two small hospitals have trained, and the third, outside, is served with its images alone."""

from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from benchmark.adaptation import Adaptation
from benchmark.contract.fault import ContractError, Remark
from benchmark.contract.federation import engine, train
from benchmark.contract.rules import Rule
from benchmark.contract.written import fits, imports_alone
from benchmark.draws import generator, normal
from benchmark.federation.adapting import OUTSIDE, Bank, DivergedError, Mixture, mixed, served, side_by_side
from benchmark.federation.client import Lane
from benchmark.federation.engine import Engine
from benchmark.federation.methods import made
from benchmark.federation.packed_images import PackedImages
from benchmark.method import Method
from benchmark.methods import method_file
from benchmark.sources import ROOT

SEED = 3


class Serving:
    """An adaptation's file, and what it serves a hospital with.

    Attributes:
        path: The file.
        adaptation: What it defines.
        engine: The federation, of all hospitals but the last.
        images: Those of the hospital outside.

    Args:
        path: The file.
        settings: Settings of the adaptation.
        build: Makes the engine of a method and hospitals; by default LoRA and a head on a small vision transformer.
    """

    def __init__(
        self,
        path: Path,
        settings: Mapping[str, float | bool | str],
        build: Callable[..., Engine] = engine,
        method: str = "fedit",
    ) -> None:
        self.path = path
        self.adaptation = made(path, Adaptation, "adaptation", settings)
        everybody = build(made(ROOT / method_file(method), Method, "method", {}), None)
        *inside, outside = everybody.clients
        self.engine = build(everybody.model.method, inside)
        self.images: PackedImages = outside.training.images

    @cached_property
    def bank(self) -> Bank:
        """The experts after two rounds."""
        return Bank.of(self.engine, train(self.engine, [Lane("1e-1", 0)], 2))

    def predicted(self) -> dict[str, Tensor]:
        """What every mixture predicts, (n, outputs, ...), adapted anew."""
        found = served(self.adaptation, self.engine.model, self.bank, self.images, SEED)
        return {name: torch.cat([own for _, own in chunks]) for name, chunks in found}

    @cached_property
    def predictions(self) -> dict[str, Tensor]:
        """The same, adapted once."""
        return self.predicted()

    @property
    def mixtures(self) -> Mapping[str, Mapping[str, float]]:
        """What it mixes."""
        return self.adaptation.mixtures(list(self.bank.experts))


def says_what_it_is(serving: Serving) -> None:
    """Title and paper for the tables."""
    for attribute in ("title", "paper"):
        if not getattr(serving.adaptation, attribute).strip():
            raise ContractError(f"{serving.path}: `{attribute}` is empty; expected a text for the tables")


def imports_the_contract_alone(serving: Serving) -> None:
    """The file reaches into nothing else of this project."""
    imports_alone(serving.path, "benchmark.adaptation")


def fits_in_forty_lines(serving: Serving) -> Remark | None:
    """A hint for others, a limit for those that are shipped."""
    return fits(serving.path, "benchmark/adaptation.py")


def serves_one_model(serving: Serving) -> None:
    """Only an oracle may leave the choice among several to labels; the experts that are named are there."""
    found = serving.mixtures
    if not found or (len(found) > 1 and not serving.adaptation.oracle):
        raise ContractError(
            f"{serving.path}: mixtures() returned {len(found)} models; expected one, since only labels tell which "
            "of several is best: say `oracle = True` to show them, unranked"
        )
    _ = serving.predictions


def predictions_are_numbers(serving: Serving) -> None:
    """Of every image, finite."""
    for name, own in serving.predictions.items():
        if len(own) != len(serving.images) or not torch.isfinite(own).all():
            raise ContractError(
                f"{serving.path}: {name!r} predicts {tuple(own.shape)}, {int((~torch.isfinite(own)).sum())} of it no "
                f"numbers; expected finite ones for {len(serving.images)} images: take a smaller `rate`"
            )


def the_loss_depends_on_what_it_adds(serving: Serving) -> Remark | None:
    """A scalar, with a gradient for every weight that is trained."""
    adaptation, model = serving.adaptation, serving.engine.model
    if not adaptation.passes:
        return Remark("skipped", "it has no passes: nothing is trained")
    weights = next(iter(serving.mixtures.values()))
    mixture = Mixture.of(model, serving.bank, weights, adaptation.batch_statistics)
    there, added = mixture.widened(adaptation, SEED)
    for name, leaf in added.items():  # Where a gate begins, one factor's gradient may be zero by the other.
        leaf.data += 1e-2 * normal(leaf.shape, generator("nearby", name)).to(leaf)
    loss = adaptation.loss(there.images(serving.images[:]), there.params)
    if loss.shape != ():
        raise ContractError(f"{serving.path}: loss() returned {tuple(loss.shape)}; expected a scalar, shape ()")
    gradients = torch.autograd.grad(loss, list(added.values()), allow_unused=True)
    if idle := [name for name, own in zip(added, gradients, strict=True) if own is None or not own.any()]:
        raise ContractError(
            f"{serving.path}: loss() has no gradient by {idle[0].removeprefix(f'{OUTSIDE}/')}; expected one by every "
            "weight of the roles that it adds and of its gates: compute it from `batch(params)`"
        )
    return None


def experts_stay_as_they_are(serving: Serving) -> None:
    """Nothing of the bank, nor of the network itself, is changed: to the bit."""
    held = {name: {n: leaf.clone() for n, leaf in own.items()} for name, own in serving.bank.experts.items()}
    frozen = {name: own.clone() for name, own in serving.engine.model.network.frozen().items()}
    serving.predicted()
    moved = [
        f"{e}: {n}" for e, own in held.items() for n, leaf in own.items() if (serving.bank.experts[e][n] != leaf).any()
    ]
    moved += [name for name, own in serving.engine.model.network.frozen().items() if (own != frozen[name]).any()]
    if moved:
        raise ContractError(
            f"{serving.path}: changed {moved[0]}; expected all but what it adds to stay: make new tensors"
        )


def a_second_time_is_equal_to_the_bit(serving: Serving) -> None:
    """The same images and seed give the same predictions."""
    for name, again in serving.predicted().items():
        if not torch.equal(again, serving.predictions[name]):
            raise ContractError(
                f"{serving.path}: a second time {name!r} predicts otherwise; expected the same to the bit: draw no "
                "numbers, and keep nothing on `self` or in the module"
            )


def seeds_side_by_side_learn_what_each_learns_alone(serving: Serving) -> Remark | None:
    """On a GPU all seeds take their steps together, mapped by `torch.vmap`: no branch on a value, and no draw."""
    adaptation = serving.adaptation
    if not adaptation.passes:
        return Remark("skipped", "it has no passes: nothing is trained")
    (begins, *_) = mixed(adaptation, serving.engine.model, serving.bank).values()
    try:
        together = side_by_side(adaptation, dict.fromkeys((SEED, SEED + 1), begins), serving.images)
    except RuntimeError as error:
        said = str(error).partition("\n")[0]
        raise ContractError(
            f"{serving.path}: two seeds side by side failed ({said}); expected loss() and weigh() to work under "
            "torch.vmap: let no Python `if`, `.item()` or `float()` look at a tensor's value, and draw no numbers"
        ) from error
    for seed, found in together.items():
        alone = begins.adapted(adaptation, serving.images, seed)
        for name, leaf in alone.params.items():
            if isinstance(found, DivergedError) or not torch.allclose(found.params[name], leaf, rtol=1e-6, atol=1e-6):
                raise ContractError(
                    f"{serving.path}: beside another seed, {name.removeprefix(f'{OUTSIDE}/')} is learned otherwise; "
                    "expected what the seed learns alone: keep nothing on `self` or in the module"
                )
    return None


RULES = (
    Rule("says what it is", says_what_it_is),
    Rule("imports the contract alone", imports_the_contract_alone),
    Rule("fits in 40 lines", fits_in_forty_lines),
    Rule("serves one model, or is an oracle", serves_one_model, needed=True),
    Rule("predictions are numbers", predictions_are_numbers),
    Rule("the loss depends on what it adds", the_loss_depends_on_what_it_adds),
    Rule("experts stay as they are", experts_stay_as_they_are),
    Rule("a second time is equal to the bit", a_second_time_is_equal_to_the_bit),
    Rule("seeds side by side learn what each learns alone", seeds_side_by_side_learn_what_each_learns_alone),
)
