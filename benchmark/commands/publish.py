"""A complete configuration's results, to be published."""

import tempfile
from pathlib import Path

from benchmark import archive
from benchmark.commands.configured import Given
from benchmark.comparison import Comparison
from benchmark.plan import Plan
from benchmark.publishing import gather, own, sums, verification


def publish(given: Given, output: Path, predictions: bool = False) -> int:
    """A complete configuration's results as one folder or archive, with hashes and how to get them again.

    Args:
        given: The configuration.
        output: A new folder, or a new file that ends in .zip.
        predictions: Also publish the predictions of every test image.
    """
    plan, command = given.plan, given.to(Path("all"))
    if output.exists():
        raise ValueError(f"{output}: is there already; delete it or give another place")
    if faults := gather.incomplete(plan):
        more = f", and {len(faults) - 1} more" if len(faults) > 1 else ""
        raise ValueError(f"{plan.config.name} is not complete: {faults[0]}{more}; complete it with `{command}`")
    content = gather.content(plan, predictions=predictions)
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
    for path, word in (own.differences() or {}).items():
        print(f"not of the commit: {path} ({word})")
    print(f"{output}: {len(content)} files; check it with `python -m benchmark verify {output}`")
    return 0


def _clients(plan: Plan) -> list[str]:
    """Where the per-client table is not of the present predictions, published or not."""
    return verification.recollected(Comparison.read(Path(plan.results)), gather.clients(plan))
