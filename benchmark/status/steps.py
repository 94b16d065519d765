"""The steps of the DAG: how many of each one's files are there."""

from pathlib import Path

from benchmark.plan import Plan


def steps(plan: Plan) -> dict[str, tuple[int, int]]:
    """How many files of each step there are, and how many there will be, in the steps' order."""
    runs, gathered = plan.every_trained(*plan.of_runs("run.json")), plan.every(*plan.gathered)
    files = {
        "data": [f"{plan.config.data_root}/{folder}/source.json" for folder in plan.folders],
        "packs": [f"results/packs/{pack}/manifest.json" for pack in plan.packs],
        "backbone": [f"{plan.backbone}/model.safetensors"],
        "runs": runs,
        "selections": plan.every(plan.selected),
        "tests": plan.every(*plan.tested),
        "tables and figures": sorted({*plan.targets} - {*runs, *gathered}),
    }
    return {name: (sum(Path(path).is_file() for path in paths), len(paths)) for name, paths in files.items()}
