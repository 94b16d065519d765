"""What a job made stays until a job of the same name has made it anew: a job that fails takes nothing away.

Snakemake removes a job's outputs before it runs, and again after it failed; its flag `update` leaves them, but then
takes a job that failed for one that succeeded. Jobs of this project write their files under other names and rename them
when they are whole, so there is nothing to clean up: what was there stays, and is marked as incomplete, for which
Snakemake makes it again (`rerun-incomplete`).
"""

import snakemake
from snakemake.exceptions import WorkflowError
from snakemake.jobs import Job

REPLACED = ("remove_existing_output", "cleanup")
"""The two methods of Snakemake's jobs that remove outputs."""


def preserve() -> None:
    """Let no job of this process, and of those that it starts with the same Snakefile, remove a result.

    Raises:
        WorkflowError: This Snakemake removes outputs elsewhere.
    """
    if absent := [name for name in REPLACED if not hasattr(Job, name)]:
        raise WorkflowError(
            f"Snakemake {snakemake.__version__} has no Job.{absent[0]}, so results of jobs that fail would be removed; "
            "install the version of requirements.lock"
        )
    Job.remove_existing_output = _remove_logs
    Job.cleanup = _mark_incomplete


async def _remove_logs(job: Job) -> None:
    """In place of removing outputs before the job runs: what it says is written anew."""
    for file in job.log:
        await file.remove(remove_non_empty_dir=False)


async def _mark_incomplete(job: Job, skip_outputs: object) -> None:
    """In place of removing outputs after the job failed: Snakemake has just noted it as done."""
    job.dag.workflow.persistence.started(job)
