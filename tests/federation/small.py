"""The small federation of `benchmark.contract`, the methods there are, and how results are compared."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from benchmark.contract.federation import (
    ARGUMENTS,
    CLASSES,
    SIZE,
    TRAINING,
    VIT,
    client,
    clients,
    engine,
    predictions,
    train,
    transformer,
    weights,
)
from benchmark.federation.client import Lane
from benchmark.federation.methods import load
from benchmark.fitness import fixed
from benchmark.method import Method
from benchmark.methods import discovered, method_file
from benchmark.models.vit import ViT

__all__ = [
    "ARGUMENTS",
    "BRIEF",
    "CLASSES",
    "LANES",
    "METHODS",
    "ROOT",
    "SIZE",
    "TRAINING",
    "VIT",
    "apart",
    "client",
    "clients",
    "engine",
    "method",
    "predictions",
    "same",
    "train",
    "transformer",
    "weights",
]

ROOT = Path(__file__).resolve().parents[2]
METHODS = sorted(name for name in discovered().files if {*(fixed(name, "trains") or ())} <= {*ViT.roles})
"""Names of the methods that can train a vision transformer, found as the workflow finds them: a newcomer's file is
tested too."""

LANES = (Lane("1e-1", 0), Lane("2e-2", 0), Lane("1e-1", 1), Lane("2e-2", 1))
"""Two rates and two seeds."""

BRIEF = {"fedrep": {"head_epochs": 2, "closing_epochs": 2}}
"""Settings of methods whose own are long: twenty passes in a row take their time, and with momentum they amplify the
rounding of the first."""


def method(name: str, **settings: float | bool | str) -> Method:
    """A method by its name, with these settings."""
    return load(ROOT / method_file(name), settings)


def same(left: Mapping[str, Tensor], right: Mapping[str, Tensor]) -> bool:
    """Whether two sets of leaves are equal to the bit."""
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def apart(left: Mapping[str, Tensor], right: Mapping[str, Tensor]) -> float:
    """The largest difference between two sets of leaves."""
    assert left.keys() == right.keys()
    return max(float((left[name] - right[name]).abs().max()) for name in left)
