"""The example with masks of `docs/datasets.md`, from its text to a table of scores, as a newcomer would run it."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from typing import Any

import pandas as pd
import pytest
import yaml

from tests.data.test_contract import DOCUMENT, clinics, documented
from tests.workflow.conftest import Project, copy_code

pytestmark = pytest.mark.workflow

QUICK: dict[str, Any] = {"methods": ["fedit"], "rates": ["1e-2"], "rounds": 1}
"""What is changed of the documented configuration, beside the folder of the images: one row, and a single round."""


def configuration(key: str) -> dict[str, Any]:
    """The first YAML block of the document that has this key."""
    blocks = [
        yaml.safe_load(dedent(text)) for text in re.findall(r"```yaml\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    ]
    return dict(next(block for block in blocks if key in block or key in block.get("federations", {})))


@pytest.fixture
def newcomer(tmp_path: Path) -> Project:
    """A copy of the project with the documented module, a folder of images and masks, and the configuration."""
    project, images = Project(tmp_path / "project"), tmp_path / "clinics"
    project.folder.mkdir()
    copy_code(project.folder)
    documented("my_outlines", tmp_path)
    shutil.copy(tmp_path / "my_outlines.py", project.folder / "benchmark/data/datasets")
    images.mkdir()
    clinics(images)
    values = configuration("my_outlines")
    values["federations"]["my_outlines"]["source"] = str(images)
    (project.folder / "config/outlines.yaml").write_text(yaml.safe_dump({**values, **QUICK}), encoding="utf-8")
    return project


def test_the_example_with_masks_runs_to_its_table(newcomer: Project) -> None:
    """Nothing is added to what the document says; then a U-Net is planned for the same images, as it says too."""
    results = Path("results/outlines")
    newcomer.snakemake(str(results / "tables/my_outlines.md"), config="outlines")
    table = pd.read_parquet(newcomer.folder / results / "clients.parquet")
    dice = table[table["metric"] == "dice"]
    assert dict(zip(dice["client"], dice["n"], strict=True)) == {"0": 4, "1": 4, "2": 4}, "a patient of each site"
    assert dice["value"].between(0, 1).all()
    assert "Dice coefficient" in (newcomer.folder / results / "tables/my_outlines.md").read_text(encoding="utf-8")

    doctor = [sys.executable, "-m", "benchmark", "doctor", "--configfile", "config/outlines.yaml"]
    done = subprocess.run(doctor, cwd=newcomer.folder, env=os.environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "my_outlines" in done.stdout

    other = {**yaml.safe_load((newcomer.folder / "config/outlines.yaml").read_text()), **configuration("trains")}
    (newcomer.folder / "config/unet.yaml").write_text(yaml.safe_dump({**other, "name": "unet"}), encoding="utf-8")
    planned = newcomer.snakemake("-n", "all", config="unet")
    assert {name for name in other["methods"] if f"Train {name} on my_outlines" in planned} == {*other["methods"]}
