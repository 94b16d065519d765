"""Whether a method is a method of its own: what it learns is not what FedAvg, or training alone, learns."""

from collections.abc import Callable, Sequence
from functools import cache

from benchmark.contract.compare import ROUNDING
from benchmark.contract.fault import ContractError
from benchmark.contract.federation import predictions
from benchmark.contract.trial import LATER, Trial
from benchmark.federation.client import ClientData
from benchmark.federation.engine import Engine, State
from benchmark.method import Method
from benchmark.methods import method_file
from benchmark.sources import ROOT

OTHERS = {"fedit": "FedAvg of one adapter", "local": "training alone"}
"""Rows that a method is, mostly by mistake, where a hook is never called or changes nothing."""


def trains_as_no_other_method_does(trial: Trial) -> None:
    """After some rounds, some client predicts otherwise than under FedAvg, and than where it trains alone."""
    for name, what in OTHERS.items():
        if trial.path.resolve() == (ROOT / method_file(name)).resolve():
            continue
        other = once(name, trial.build)
        # A method may begin as another one does, and differ once it has received something.
        if _equal(trial, trial.trained.closed, other, other.trained.closed) and _equal(
            trial, trial.later, other, other.later
        ):
            raise ContractError(
                f"{trial.path}: trains exactly as {name} ({what}): after {LATER} rounds every client predicts the "
                "same; expected a row of its own: write the hook in which it differs, or give its settings other values"
            )


def _equal(trial: Trial, state: State, other: Trial, beside: State) -> bool:
    """Whether all clients predict the same in all lanes."""
    found = zip(predictions(trial.engine, state), predictions(other.engine, beside), strict=True)
    return all(bool((ours - theirs).abs().max() <= ROUNDING) for ours, theirs in found)


@cache
def once(name: str, build: Callable[[Method, Sequence[ClientData] | None], Engine], **settings: float) -> Trial:
    """A method of the project, trained once for all who look at it, and all that are compared with it."""
    return Trial(ROOT / method_file(name), settings, build)
