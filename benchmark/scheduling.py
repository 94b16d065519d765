"""How often Snakemake looks which jobs can start: whenever one has ended, and a second after it last looked.

Snakemake orders the second kind anew each time it looks, since it may start so many jobs a second and no more. So every
job that ends leaves one more look in each second to come, of which each asks the disk for the size of all that waiting
jobs read: after a few hundred jobs this takes a processor core. Here a look that has been ordered is not ordered again.
"""

import threading

import snakemake
from snakemake.exceptions import WorkflowError
from snakemake.scheduling.job_scheduler import JobScheduler

REPLACED = "_schedule_reevalutation"
"""The method of Snakemake's scheduler that orders a look."""


def look_once() -> None:
    """Let Snakemake's scheduler, in this process, have at most one look ordered.

    Raises:
        WorkflowError: This Snakemake orders looks elsewhere.
    """
    if not hasattr(JobScheduler, REPLACED):
        raise WorkflowError(
            f"Snakemake {snakemake.__version__} has no JobScheduler.{REPLACED}; install requirements.lock's version"
        )
    setattr(JobScheduler, REPLACED, _order)


def _order(scheduler: JobScheduler, delay: float) -> None:
    """In place of a timer for every look: one at a time, which does not keep a process that ends."""
    if getattr(scheduler, "look_ordered", False):
        return

    def look() -> None:
        scheduler.look_ordered = False  # Before it looks: then the next one is ordered.
        scheduler._open_jobs.release()

    scheduler.look_ordered = True
    timer = threading.Timer(delay, look)
    timer.daemon = True
    timer.start()
