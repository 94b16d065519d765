"""Federations that leave one client out, as the workflow sees them."""

import json
import os
import re
import shutil
import signal
from pathlib import Path

import pandas as pd
import pytest
import yaml

from tests.workflow.conftest import SMALL, Project, copy_code
from tests.workflow.test_faults import start, wait_for

pytestmark = pytest.mark.workflow


def test_each_client_is_left_out_once_over_one_pack(tmp_path: Path) -> None:
    """Images are packed once; every row is trained, selected and tested in each federation, under its name.

    Where masks are predicted, cases of whoever is outside are shown.
    """
    copy_code(tmp_path)
    project, methods = Project(tmp_path), {"fedit", "iop_fl", "last_local"}
    packed = {"toy_lesions": {**SMALL["federations"]["toy_lesions"], "clients": ["0", "1", "2"]}}
    volumes = {"image_size": 24, "options": {"scale": 0.3, "side": 32}, "clients": ["0", "1"], "outside": ["2"]}
    packed |= {"toy_volumes": volumes}
    changed = {**SMALL, "federations": packed, "leave_one_out": ["toy_lesions"], "methods": ["fedit", "iop"], "own": []}
    (tmp_path / "config/small.yaml").write_text(yaml.safe_dump(changed), encoding="utf-8")
    printed = project.snakemake("all", "-n")
    rows = {(f"toy_lesions_without_{left}", method) for left in "012" for method in methods}
    rows |= {("toy_volumes", method) for method in methods}
    named = re.findall(r"^Job \d+: (Train|Test) (\w+) on (\w+);", printed, re.MULTILINE)
    for wanted in ("Train", "Test"):
        assert {(federation, method) for verb, method, federation in named if verb == wanted} == rows
    counts = dict(re.findall(r"^(\w+) +(\d+)$", printed, re.MULTILINE))
    expected = {
        **dict.fromkeys(("download", "pack"), "2"),
        **dict.fromkeys(("train_bank", "select", "adapt"), "12"),
        **{"outside": "9", "outside_pictured": "3", "overlays_outside": "1", "table": "4"},
    }
    assert {rule: counts[rule] for rule in expected} == expected


def test_a_hospital_outside_is_served_whatever_happens(project: Project) -> None:
    """Killed while it adapts, it goes on from the adaptation that it was at; one more trains nothing again."""
    everybody = SMALL["federations"]["toy_lesions"]
    project.configure(
        federations={"toy_lesions": {**everybody, "clients": ["0", "1"], "outside": ["2"]}},
        methods=["fedit"],
        adaptations=["mean", "none", "norm"],
        adaptation_settings={"norm": {"passes": 40, "rate": 1e-4}},
    )
    served = project.folder / "results/small/outside/toy_lesions/2/fedit"
    made = {name: served / f"{name}/seed=0/adapted.safetensors" for name in ("mean", "none", "norm")}
    target = "results/small/outside/toy_lesions/2/fedit/norm/seed=0/counts.parquet"
    first = start(project, target)
    try:
        wait_for(made["none"].is_file)
    finally:
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()
    assert not made["norm"].exists()
    before = {name: made[name].stat().st_ino for name in ("mean", "none")}
    project.snakemake(target)
    assert {name: made[name].stat().st_ino for name in before} == before
    for name, file in made.items():
        assert file.is_file()
        counts = pd.read_parquet(served / f"{name}/seed=0/counts.parquet")
        assert set(counts["client"]) == {"2"}
        told = json.loads((served / f"{name}/seed=0/adapted.json").read_text(encoding="utf-8"))
        assert told["images"]["tested"] == counts["sample"].nunique()

    shutil.copy(project.folder / "adaptations/none.py", project.folder / "adaptations/mine.py")
    planned = {rule for rule, *_ in project.planned()}
    assert {"adapt", "outside"} <= planned
    assert not planned & {"train_bank", "train", "select"}
