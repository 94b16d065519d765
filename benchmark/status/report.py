"""A campaign's state as text."""

from collections.abc import Sequence
from pathlib import Path

from benchmark.disk import free, readable, used
from benchmark.plan import Plan
from benchmark.stale import alive
from benchmark.status.steps import steps
from benchmark.status.training import STATES, Training, trainings


def report(plan: Plan) -> str:
    """Everything there is to say of a campaign, in lines of text; the plan's paths are relative to this folder."""
    jobs = trainings(plan)
    folders = {plan.results: plan.results, "store": "results/store", "packs": "results/packs"}
    folders["data"] = plan.config.data_root
    sizes = ", ".join(f"{name} {readable(used(Path(folder)))}" for name, folder in folders.items())
    counts = {state: sum(job.state == state for job in jobs) for state in STATES}
    done, total = sum(job.rounds_done for job in jobs), sum(job.lanes * job.rounds for job in jobs)
    lanes = f"{sum(job.lanes_done for job in jobs)} of {sum(job.lanes for job in jobs)} done"
    lines = [
        f"{plan.config.name}: Snakemake is {'running' if alive() else 'not running'} here",
        f"files       {', '.join(f'{there}/{expected} {name}' for name, (there, expected) in steps(plan).items())}",
        f"trainings   {', '.join(f'{count} {state}' for state, count in counts.items() if count)}",
        f"lanes       {lanes}; {done} of {total} rounds ({done / total:.0%}), each lane's counted",
        f"throughput  {throughput(jobs)}",
        f"time left   {time_left(jobs)}",
        f"disk        {sizes}; {readable(free(Path()))} free",
    ]
    shown = sorted((job for job in jobs if job.state != "done"), key=lambda job: STATES.index(job.state))
    width = max((len(f"{job.federation} {job.method}") for job in shown), default=0)
    listed = [f"{job.state:<12}{f'{job.federation} {job.method}':<{width}}  {job.detail}".rstrip() for job in shown]
    return "\n".join([*lines, *([""] if listed else []), *listed])


def throughput(jobs: Sequence[Training]) -> str:
    """Rounds of a lane per minute, over the jobs that run."""
    rates = [1 / job.seconds for job in jobs if job.state == "running" and job.seconds]
    if not rates:
        return "no rounds are being trained"
    return f"{60 * sum(rates):.3g} rounds of a lane per minute in {len(rates)} jobs side by side"


def time_left(jobs: Sequence[Training]) -> str:
    """Of all training that is to be done yet, with as many jobs side by side as run now.

    A job that was not measured takes what others of its federation take, or others of any.
    """
    left = [job for job in jobs if job.rounds_left]
    if not left:
        return "none: everything is trained"
    known = [job for job in jobs if job.seconds is not None]
    if not known:
        return "not known before the first round"
    beside = max(1, sum(job.state == "running" for job in jobs))
    seconds = sum(job.rounds_left * _expected(job, known) for job in left) / beside
    return f"about {duration(seconds)} of training, {beside} jobs side by side"


def duration(seconds: float) -> str:
    """A time as people read it: `3 h 20 min`."""
    minutes = round(seconds / 60)
    if minutes < 1:
        return f"{seconds:.0f} s"
    days, hours = divmod(minutes // 60, 24)
    parts = [(days, "d"), (hours, "h"), (minutes % 60, "min")]
    first = next(i for i, (count, _) in enumerate(parts) if count)
    return " ".join(f"{count} {unit}" for count, unit in parts[first : first + 2] if count)


def _expected(job: Training, known: Sequence[Training]) -> float:
    """Seconds per round of a lane: the job's own, or the mean of those that are most like it."""
    alike = [other for other in known if other.federation == job.federation] or known
    own = [job.seconds] if job.seconds is not None else [other.seconds for other in alike if other.seconds is not None]
    return sum(own) / len(own)
