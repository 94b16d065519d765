"""Federations that leave one client out, as the workflow sees them."""

import re
from pathlib import Path

import pytest
import yaml

from tests.workflow.conftest import SMALL, Project, copy_code

pytestmark = pytest.mark.workflow


def test_each_client_is_left_out_once_over_one_pack(tmp_path: Path) -> None:
    """Images are packed once; every row is trained, selected and tested in each federation, under its name."""
    copy_code(tmp_path)
    project, methods = Project(tmp_path), {"fedit", "iop_fl", "last_local"}
    packed = {"toy_lesions": {**SMALL["federations"]["toy_lesions"], "clients": ["0", "1", "2"]}}
    changed = {**SMALL, "federations": packed, "leave_one_out": ["toy_lesions"], "methods": ["fedit", "iop"], "own": []}
    (tmp_path / "config/small.yaml").write_text(yaml.safe_dump(changed), encoding="utf-8")
    printed = project.snakemake("all", "-n")
    rows = {(f"toy_lesions_without_{left}", method) for left in "012" for method in methods}
    named = re.findall(r"^Job \d+: (Train|Test) (\w+) on (\w+);", printed, re.MULTILINE)
    for wanted in ("Train", "Test"):
        assert {(federation, method) for verb, method, federation in named if verb == wanted} == rows
    counts = dict(re.findall(r"^(\w+) +(\d+)$", printed, re.MULTILINE))
    assert {rule: counts[rule] for rule in ("download", "pack", "select", "table")} == {
        "download": "1",
        "pack": "1",
        "select": "9",
        "table": "3",
    }
