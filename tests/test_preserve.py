"""Snakemake's jobs lose what removes outputs; what that does is a workflow test's matter."""

import pytest
from snakemake.exceptions import WorkflowError
from snakemake.jobs import Job

from benchmark.preserve import REPLACED, preserve


def test_a_snakemake_that_removes_outputs_elsewhere_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """By its version, and with the way out."""
    monkeypatch.delattr(Job, REPLACED[1])
    with pytest.raises(WorkflowError, match=r"has no Job\.cleanup, so results .* install the version of requirements"):
        preserve()


def test_both_methods_are_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    before = [getattr(Job, name) for name in REPLACED]
    for name, own in zip(REPLACED, before, strict=True):
        monkeypatch.setattr(Job, name, own)
    preserve()
    assert all(getattr(Job, name) is not own for name, own in zip(REPLACED, before, strict=True))
