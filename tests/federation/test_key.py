"""What a lane's key covers, field by field: as `docs/store.md` says, and as the code does."""

import re
from typing import Any

import pytest

from benchmark import provenance
from benchmark.config import TrainingJob
from benchmark.federation.client import Lane
from benchmark.federation.key import LABELS, PACKAGES, key
from benchmark.plan import Plan
from tests.federation.jobs import CONFIGURATION
from tests.federation.small import ROOT

JOB = TrainingJob.model_validate_json(Plan.of(CONFIGURATION).training("hospitals", "fedit"))
CLIENTS = ("east", "north")
HASHES = dict.fromkeys(("images", "targets", "table", "backbone", "method", "engine"), "0")
LANE = Lane("1e-1", 0)

COUNTS: dict[str, list[Any]] = {
    "context": [(-1, 0, 1)],
    "method_settings": [{"strength": 1.0}],
    "backbone": ["vit_small_patch16_224"],
    "arguments": [{"depth": 3}],
    "task": [{"loss": "focal"}],
    "network": ["another"],
    "lora": [{"rank": 5}, {"alpha": 2}, {"targets": ["q"]}, {"dropout": 0.1}],
    "trains": [("head",)],
    "initialisation": [{"lora": "gaussian"}, {"head": 0.1}],
    "head": ["personal"],
    "averaging": ["uniform"],
    "training": [
        {"batch_size": 7},
        {"stack": 3},
        {"local_epochs": 2},
        {"optimiser": {"momentum": 0.5}},
        {"precision": "float64"},
    ],
    "augmentation": [
        *({"flip": False}, {"rotate": False}, {"brightness": 0.5}, {"contrast": 0.5}, {"half": True}),
        *({"turn": 15}, {"gamma": (0.5, 2.0)}, {"erase": (0.0, 0.1)}, {"others": 2}),
    ],
    "evaluate_every": [2],
}
"""Other values of every setting that determines a result."""
PARTS = ("lora", "initialisation", "training", "augmentation")
"""Settings that have settings."""


def changed(name: str, value: Any) -> TrainingJob:
    """The job with another value of one setting."""
    values = JOB.model_dump()
    values[name] = {**values[name], **value} if name in PARTS else value
    return TrainingJob.model_validate(values)


def test_every_setting_counts_or_is_a_label() -> None:
    """A new setting of a job, or of a part of it, is not forgotten here."""
    assert set(COUNTS) | LABELS == set(TrainingJob.model_fields)
    for part in PARTS:
        assert {name for value in COUNTS[part] for name in value} == set(JOB.model_dump()[part])


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in COUNTS.items() for value in values])
def test_a_setting_that_determines_a_result_counts(name: str, value: Any) -> None:
    assert key(changed(name, value), CLIENTS, HASHES, LANE) != key(JOB, CLIENTS, HASHES, LANE)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("federation", "another"),
        ("method", "another"),
        ("clients", CLIENTS),
        ("rates", ("1e-1", "5")),
        ("seeds", (0, 7)),
        ("rounds", 99),
    ],
)
def test_a_label_does_not_count(name: str, value: Any) -> None:
    assert name in LABELS
    assert key(changed(name, value), CLIENTS, HASHES, LANE) == key(JOB, CLIENTS, HASHES, LANE)


@pytest.mark.parametrize("name", list(HASHES))
def test_every_hash_counts(name: str) -> None:
    assert key(JOB, CLIENTS, {**HASHES, name: "1"}, LANE) != key(JOB, CLIENTS, HASHES, LANE)


def test_rounds_count_where_the_rate_follows_a_schedule_over_them() -> None:
    """But not where that has a length of its own: a longer run goes on with it."""
    longer = {"schedule": "cosine", "decay_rounds": 200}
    for optimiser, counts in (({}, False), ({"schedule": "cosine"}, True), ({"warmup": 3}, True), (longer, False)):
        few = changed("training", {"optimiser": optimiser})
        many = few.model_copy(update={"rounds": few.rounds + 1})
        assert (key(few, CLIENTS, HASHES, LANE) != key(many, CLIENTS, HASHES, LANE)) is counts


def test_clients_rate_and_seed_count_but_not_how_they_are_written() -> None:
    own = key(JOB, CLIENTS, HASHES, LANE)
    assert key(JOB, ("east", "north", "south"), HASHES, LANE) != own
    assert key(JOB, CLIENTS[::-1], HASHES, LANE) == own
    assert key(JOB, CLIENTS, HASHES, Lane("2e-1", 0)) != own
    assert key(JOB, CLIENTS, HASHES, Lane("0.1", 0)) == own
    assert key(JOB, CLIENTS, HASHES, Lane("1e-1", 1)) != own


@pytest.mark.parametrize("package", PACKAGES)
def test_versions_of_what_computes_count(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    own, found = key(JOB, CLIENTS, HASHES, LANE), provenance.versions()
    monkeypatch.setattr(provenance, "versions", lambda: {**found, package: "0.0"})
    assert key(JOB, CLIENTS, HASHES, LANE) != own
    monkeypatch.setattr(provenance, "versions", lambda: {**found, "pandas": "0.0"})
    assert key(JOB, CLIENTS, HASHES, LANE) == own


def test_the_documentation_names_every_field() -> None:
    """The first column of its table."""
    text = (ROOT / "docs/store.md").read_text(encoding="utf-8")
    documented = {
        name for row in re.findall(r"^\| (`.+?) \|", text, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)
    }
    assert documented == {*COUNTS, *LABELS, *HASHES, *PACKAGES, "rate", "seed"}
