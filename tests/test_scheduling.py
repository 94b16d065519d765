"""Snakemake's scheduler has one look ordered at a time."""

import threading
import time

import pytest
from snakemake.exceptions import WorkflowError
from snakemake.scheduling.job_scheduler import JobScheduler

from benchmark.scheduling import REPLACED, look_once

DELAY = 0.2


class Asked(JobScheduler):
    """A scheduler without a workflow, that counts how often it is told to look."""

    def __init__(self) -> None:
        self._open_jobs = threading.Semaphore(0)

    def looks(self, seconds: float) -> int:
        """How often it looks in so many seconds, each time ordering the next, as `schedule` does."""
        end, found = time.monotonic() + seconds, 0
        while self._open_jobs.acquire(timeout=max(0.0, end - time.monotonic())):
            self._schedule_reevalutation(DELAY)
            found += 1
        return found


def test_jobs_that_end_leave_one_look_a_period_and_not_one_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fifty jobs have ended: Snakemake as it is looks fifty times a period from then on."""

    def after_fifty_jobs() -> int:
        asked = Asked()
        for _ in range(50):
            asked._schedule_reevalutation(DELAY)
        return asked.looks(2.5 * DELAY)

    # What is replaced is given back when the test ends.
    monkeypatch.setattr(JobScheduler, REPLACED, getattr(JobScheduler, REPLACED))
    assert after_fifty_jobs() >= 50
    look_once()
    assert 1 <= after_fifty_jobs() <= 2


def test_a_snakemake_that_orders_looks_elsewhere_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(JobScheduler, REPLACED)
    with pytest.raises(WorkflowError, match=f"has no JobScheduler.{REPLACED}; install requirements"):
        look_once()
