"""How far a configuration is."""

from benchmark.commands.configured import Given
from benchmark.status.report import report


def status(given: Given) -> int:
    """What of a configuration is done, running, waiting and failed, how fast it goes, how long it will take.

    It reads files only, so it can be asked at any time, in the folder that Snakemake runs in.
    """
    print(report(given.plan))
    return 0
