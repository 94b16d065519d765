"""A complete configuration's results as one folder or archive, with hashes and how to get them again."""

import argparse
import tempfile
from pathlib import Path
from typing import Any

from benchmark import archive
from benchmark.commands import configured
from benchmark.comparison import Comparison
from benchmark.plan import Plan
from benchmark.publishing import gather, sums, verification


def add(commands: "argparse._SubParsersAction[Any]") -> None:
    """Add the command."""
    parser = commands.add_parser("publish", help="gather a complete configuration's results", description=__doc__)
    configured.add_arguments(parser)
    parser.add_argument("--predictions", action="store_true", help="also publish the predictions of every test image")
    parser.add_argument("--output", type=Path, required=True, help="a new folder, or a new file that ends in .zip")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Write the publication.

    Args:
        arguments: The command's.

    Returns:
        0.

    Raises:
        ValueError: The output is there already, or the results are incomplete or contradict each other.
    """
    plan, output = configured.plan(arguments), arguments.output
    command = configured.command(arguments).to(Path("all"))
    if output.exists():
        raise ValueError(f"{output}: is there already; delete it or give another place")
    if faults := gather.incomplete(plan):
        more = f", and {len(faults) - 1} more" if len(faults) > 1 else ""
        raise ValueError(f"{plan.config.name} is not complete: {faults[0]}{more}; complete it with `{command}`")
    content = gather.content(plan, predictions=arguments.predictions)
    content[sums.NAME] = sums.text(content).encode()
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=".publish-") as name:
        folder = Path(name) / "publication"
        for file, held in content.items():
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_bytes(held)
        if faults := [*_clients(plan), *verification.faults(folder)]:
            raise ValueError(f"results contradict each other: {faults[0]}; make them anew with `{command}`")
        if output.suffix == ".zip":
            archive.write(output, content)
        else:
            folder.rename(output)
    print(f"{output}: {len(content)} files; check it with `python -m benchmark verify {output}`")
    return 0


def _clients(plan: Plan) -> list[str]:
    """Where the per-client table is not of the present predictions, published or not."""
    return verification.recollected(Comparison.read(Path(plan.results)), gather.clients(plan))
