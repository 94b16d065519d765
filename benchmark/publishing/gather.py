"""What a publication holds: every result of a complete configuration, and all that says where it is from."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from benchmark import provenance
from benchmark.comparison import NAME, Comparison
from benchmark.evaluation.gathered import ROWS
from benchmark.evaluation.reading import read_runs
from benchmark.files import json_bytes, read_json
from benchmark.plan import Plan
from benchmark.publishing import own, reproduce
from benchmark.sources import ROOT
from benchmark.status.training import trainings

TESTED = "test"
"""The folder of what models made of test images, which is published where that is asked for."""
_OWN = {"local_files", "data_root", "licences_accepted"}
"""Settings of one user's machine: they decide no result."""


def incomplete(plan: Plan) -> list[str]:
    """A line for every file that is missing, and for every training that is due with present settings and sources."""
    copied = [
        f"{method} on {federation} is to be taken from the reference"
        for federation, method in plan.baselines.taken
        if (federation, method) not in plan.baselines.otherwise
        and _origin(Path(plan.places.gathered(federation, method, "json"))) != "reference"
    ]
    needed = [*sources(plan, predictions=True).values(), Path(plan.backbone, "backbone.json")]
    absent = [f"{path} is missing" for path in needed if not path.is_file()]
    due = [f"{job.method} on {job.federation} is {job.state}" for job in trainings(plan) if job.state != "done"]
    return [*due, *copied, *absent]


def sources(plan: Plan, *, predictions: bool) -> dict[str, Path]:
    """Where the files stand that are published as they are, by their names in the publication."""
    counted = {path for path in plan.outside_tests if path.endswith(".parquet")}
    paths = [
        *(path for path in plan.targets if predictions or path not in counted),
        f"{plan.results}/{NAME}",
        f"{plan.results}/clients.parquet",
        f"{plan.results}/{ROWS}",
        *plan.every(plan.selected, plan.overlap),
        *(plan.every(*plan.tested) if predictions else []),
        *plan.appendix,
    ]
    return {name_of(plan, path): Path(path) for path in paths}


def clients(plan: Plan) -> pd.DataFrame:
    """The per-client table."""
    return pd.read_parquet(f"{plan.results}/clients.parquet")


def name_of(plan: Plan, path: str) -> str:
    """What a result is called in a publication."""
    return path.removeprefix(f"{plan.results}/").replace(f"{plan.figures}/", "figures/")


def content(plan: Plan, *, predictions: bool) -> dict[str, bytes]:
    """What each file of a publication but its hashes holds, by its name. Equal results give equal bytes."""
    comparison = Comparison.read(Path(plan.results))
    manifests = comparison.manifests
    about = origin(plan, read_runs(comparison), manifests)
    return {
        **{name: path.read_bytes() for name, path in sources(plan, predictions=predictions).items()},
        **own.files(used(plan)),
        "requirements.lock": (ROOT / "requirements.lock").read_bytes(),
        "clients.csv": clients(plan).to_csv(index=False, lineterminator="\n").encode(),
        "config.yaml": configuration(plan, manifests, about["backbone"]["origin"]).encode(),
        "provenance.json": json_bytes(about),
        "REPRODUCE.md": reproduce.text(plan, about, manifests).encode(),
    }


def used(plan: Plan) -> list[str]:
    """Files of the project that a configuration names: methods, adaptations, datasets, tasks, and its network."""
    return [
        *map(plan.method_file, plan.methods),
        *plan.adaptations.values(),
        *(f"benchmark/data/datasets/{name}.py" for name in plan.datasets),
        *(f"benchmark/tasks/{name}.py" for name in plan.tasks),
        f"benchmark/models/{plan.config.backbone.network}.py",
    ]


def configuration(plan: Plan, manifests: Mapping[str, Mapping[str, Any]], backbone: Mapping[str, str]) -> str:
    """The configuration as it was resolved: every default, all methods and splits by name, no path of one machine.

    Manifests are of the federations, by name; `backbone` is where its weights are from, as `backbone.json` has it.
    """
    settings = plan.config.model_dump(mode="json", exclude=_OWN) | {"methods": plan.plain, "own": []}
    settings["adaptations"] = list(plan.adaptations) or None
    places = own.given(plan.config)
    for name, federation in settings["federations"].items():
        if federation["source"]:
            federation["source"] = places[federation["source"]]
        # A kept row is found by the protocol's name as the configuration has it.
        if plan.config.baselines != "reference":
            federation["protocol"] = manifests[name]["protocol"]
    weights = settings["backbone"]["weights"]
    settings["backbone"]["weights"] = places.get(weights, weights)
    if (plan.config.backbone.network, weights) == ("vit", "hub"):  # The commit that came, whichever is the newest then.
        settings["backbone"]["revision"] = backbone.get("revision", "")
    return yaml.safe_dump(settings, sort_keys=False, allow_unicode=True)


def origin(plan: Plan, runs: Sequence[Mapping[str, Any]], manifests: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What the results were made with, the content of `provenance.json`: commits, versions, hardware, hashes."""
    backbone = read_json(Path(plan.backbone, "backbone.json"))
    packages = sorted({name for run in runs for name in run["versions"]})
    taken = {(run["federation"], run["method"]["name"]): run for run in runs if run["origin"] == "reference"}
    keys = ("images", "table", "backbone", "method", "engine")
    return {
        "configuration": plan.config.name,
        "commit": provenance.commit(),
        "uncommitted": own.differences(),
        "backbone": {"name": plan.config.backbone.name, **{key: backbone[key] for key in ("origin", "sha256")}},
        "federations": {
            name: {"dataset": manifest["dataset"], "protocol": manifest["protocol"], **manifest["source"]}
            for name, manifest in manifests.items()
        },
        "runs": {
            "commits": Counter(run["commit"] for run in runs),
            "devices": Counter(run["device"] for run in runs),
            "origins": Counter(run["origin"] for run in runs),
            "versions": {name: Counter(run["versions"].get(name, "absent") for run in runs) for name in packages},
        },
        "rows": [
            {
                "federation": federation,
                "method": method,
                "hashes": {key: run["hashes"][key] for key in keys if key in run["hashes"]},
                "seconds": sum(r["costs"]["seconds"] for r in runs if _row(r) == (federation, method)),
            }
            for (federation, method), run in {_row(run): run for run in runs}.items()
        ],
        "reference": [
            {"federation": federation, "method": method, "commit": run["commit"], "device": run["device"]}
            for (federation, method), run in taken.items()
        ],
    }


def _origin(gathered: Path) -> str:
    """Where a row's results came from; empty for one that is not there."""
    return str(read_json(gathered)[0]["origin"]) if gathered.is_file() else ""


def _row(run: Mapping[str, Any]) -> tuple[str, str]:
    return run["federation"], run["method"]["name"]
