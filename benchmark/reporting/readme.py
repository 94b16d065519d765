"""The README's leaderboard, kept equal to a generated one.

    python -m benchmark.reporting.readme --leaderboard FILE --run RUN --readme FILE [--check]

Replaces what stands between `<!-- leaderboard -->` and `<!-- /leaderboard -->` in the README by the
leaderboard (Markdown) and a line on what it was measured with, taken from a run (its folder or any file in
it). With `--check` nothing is written; the exit status is 1 where the README would change.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmark.evaluation.select import read_run
from benchmark.files import write_text

BEGIN, END = "<!-- leaderboard -->", "<!-- /leaderboard -->"


def filled(readme: str, leaderboard: str, run: Mapping[str, Any]) -> str:
    """The README with the leaderboard in its place.

    Args:
        readme: The README's text.
        leaderboard: The leaderboard, Markdown.
        run: The content of a `run.json`.

    Returns:
        The README's new text.

    Raises:
        ValueError: The README lacks the two markers, or has them more than once.
    """
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end or BEGIN in rest or END in after:
        raise ValueError(f"expected one line {BEGIN} and below it one line {END}; add them where the table belongs")
    return f"{before}{BEGIN}\n{leaderboard.strip()}\n\n{measured_with(run)}\n{END}{after}"


def measured_with(run: Mapping[str, Any]) -> str:
    """The line that says which hardware, versions and commit a run had."""
    versions = ", ".join(f"{name} {version}" for name, version in sorted(run["versions"].items()))
    return f"Measured on {run['device']}; {versions}; commit `{run['commit'][:12]}`."


def main(argv: Sequence[str] | None = None) -> int:
    """Run the job; see the module's text for its arguments."""
    parser = argparse.ArgumentParser(prog="readme", description="Put the leaderboard into the README.")
    parser.add_argument("--leaderboard", type=Path, required=True, help="the leaderboard, Markdown")
    parser.add_argument("--run", type=Path, required=True, help="the folder of a run, or a file in it")
    parser.add_argument("--readme", type=Path, required=True)
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 on a difference")
    arguments = parser.parse_args(argv)
    try:
        old = arguments.readme.read_text(encoding="utf-8")
        new = filled(old, arguments.leaderboard.read_text(encoding="utf-8"), read_run(arguments.run))
        if arguments.check and new != old:
            raise ValueError(f"the leaderboard differs from {arguments.leaderboard}; run this without --check")
        if new != old:
            write_text(arguments.readme, new)
    except (OSError, ValueError) as error:
        print(f"readme: {arguments.readme}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
