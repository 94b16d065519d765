"""The steps of the DAG: how many of each one's files are there."""

from dataclasses import dataclass
from pathlib import Path

from benchmark.plan import Plan


@dataclass(frozen=True)
class Step:
    """One step.

    Attributes:
        name: What it is called.
        there: Its files that exist.
        expected: Its files that there will be.
    """

    name: str
    there: int
    expected: int


def steps(plan: Plan) -> list[Step]:
    """All steps of a plan, in their order."""
    files = {
        "data": [f"{plan.config.data_root}/{folder}/source.json" for folder in plan.folders],
        "packs": [f"results/packs/{pack}/manifest.json" for pack in plan.packs],
        "backbone": [f"{plan.backbone}/model.safetensors"],
        "runs": plan.every(*plan.of_runs("run.json")),
        "selections": plan.every(plan.selected),
        "tests": plan.every(*plan.tested),
        "tables and figures": [path for path in plan.targets if not path.endswith("run.json")],
    }
    return [Step(name, sum(Path(path).is_file() for path in paths), len(paths)) for name, paths in files.items()]
