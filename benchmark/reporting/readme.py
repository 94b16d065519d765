"""Job: the README's leaderboard, kept equal to a generated one.

It stands between `<!-- leaderboard -->` and `<!-- /leaderboard -->`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmark.comparison import Comparison
from benchmark.evaluation.reading import read_runs
from benchmark.files import write_text
from benchmark.job import GivenPath, run

BEGIN, END = "<!-- leaderboard -->", "<!-- /leaderboard -->"


def filled(readme: str, leaderboard: str, run: Mapping[str, Any]) -> str:
    """The README with the leaderboard in its place; a ValueError where it lacks the two markers, or has them twice."""
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end or BEGIN in rest or END in after:
        raise ValueError(f"expected one line {BEGIN} and below it one line {END}; add them where the table belongs")
    return f"{before}{BEGIN}\n{leaderboard.strip()}\n\n{measured_with(run)}\n{END}{after}"


def measured_with(run: Mapping[str, Any]) -> str:
    """The line that says which hardware, versions and commit a run had."""
    versions = ", ".join(f"{name} {version}" for name, version in sorted(run["versions"].items()))
    return f"Measured on {run['device']}; {versions}; commit `{run['commit'][:12]}`."


def main(comparison: GivenPath, readme: Path, check: bool = False) -> None:
    """Put the leaderboard into the README, with a line on what it was measured with.

    Args:
        comparison: The comparison, `results/NAME/comparison.json`.
        readme: The README.
        check: Write nothing; fail where the README would change.
    """
    held = Comparison.read(comparison)
    leaderboard = Path(held.places.of("leaderboard.md"))
    old, measured = readme.read_text(encoding="utf-8"), read_runs(held)[0]
    try:
        new = filled(old, leaderboard.read_text(encoding="utf-8"), measured)
    except ValueError as error:
        raise ValueError(f"{readme}: {error}") from None
    if check and new != old:
        raise ValueError(f"{readme}: the leaderboard differs from {leaderboard}; run this without --check")
    if new != old:
        write_text(readme, new)


if __name__ == "__main__":
    raise SystemExit(run(main))
