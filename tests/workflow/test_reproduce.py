"""A published comparison, made again in a fresh clone by the commands of its REPRODUCE.md and nothing else."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import timm
import torch
import yaml
from safetensors.torch import save_file

from benchmark.files import read_json
from tests.data.test_contract import clinics, documented
from tests.workflow.conftest import ROOT, SMALL, copy_code

pytestmark = pytest.mark.workflow

METHOD = '''"""Mine: the head alone travels."""

from benchmark.method import Leaf, Method


class Mine(Method):
    """Average the head, keep the adapter."""

    title = "Mine"
    paper = "none"
    head = "shared"

    def shared(self, leaf: Leaf) -> bool:
        """No adapter."""
        return False
'''
SHIMS = {
    # An environment that is this one: what is installed is not what this test is about.
    "python3": f"""#!/bin/sh
if [ "$1 $2" = "-m venv" ]; then mkdir -p "$3/bin" && touch "$3/bin/activate"; else exec {sys.executable} "$@"; fi
""",
    "pip": '#!/bin/sh\n[ "$1 $2" = "install -r" ] && grep -q "^torch==" "$3"\n',
}
"""By name, what stands in place of two programs."""


def shell(folder: Path, commands: str, path: str = "") -> str:
    """Run commands one after the other, up to one that fails; returns all that they print."""
    found = os.pathsep.join(filter(None, [path, str(Path(sys.executable).parent), os.environ["PATH"]]))
    author = {f"GIT_{who}_{what}": "test@localhost" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    done = subprocess.run(
        ["bash", "-euc", commands],
        cwd=folder,
        env={**os.environ, **author, "PATH": found},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The project as a repository of one commit, in which somebody works: uncommitted, a change and three new files."""
    folder = tmp_path / "project"
    folder.mkdir()
    copy_code(folder)
    shutil.copy(ROOT / ".gitignore", folder)
    shell(folder, "git init -q . && git add -f . && git commit -qm 'The project'")
    (folder / "methods/mine.py").write_text(METHOD)
    module = tmp_path / "module"
    module.mkdir()
    documented("my_clinics", module)
    shutil.copy(module / "my_clinics.py", folder / "benchmark/data/datasets")
    caption = folder / "report/labels.rst"
    caption.write_text(f"Counted again. {caption.read_text()}")
    return folder


@pytest.fixture
def configured(project: Path, tmp_path: Path) -> dict[str, Any]:
    """A configuration whose images and weights are files of one's own, in a folder of one's own."""
    (tmp_path / "files/clinics").mkdir(parents=True)
    clinics(tmp_path / "files/clinics")
    backbone = {**SMALL["backbone"], "weights": "tiny.safetensors"}
    torch.manual_seed(0)
    vit = timm.create_model(backbone["name"], num_classes=0, **backbone["arguments"])
    save_file(vit.state_dict(), tmp_path / "files/tiny.safetensors")
    values = {
        **SMALL,
        "federations": {
            "my_clinics": {"image_size": 24, "source": str(tmp_path / "files/clinics"), "validation": 0.3},
        },
        "methods": ["local"],
        "backbone": backbone,
        "local_files": str(tmp_path / "files"),
    }
    (project / "config/small.yaml").write_text(yaml.safe_dump(values))
    return values


def test_a_clone_and_its_reproduce_file_give_the_same_numbers(
    project: Path, configured: dict[str, Any], tmp_path: Path
) -> None:
    shell(project, "snakemake --cores 4 all --configfile config/small.yaml --config rates='[\"1e-2\"]'")
    publication = tmp_path / "publication"
    said = shell(project, f"python -m benchmark publish --configfile config/small.yaml --output {publication}")
    assert "as the last run of small: --config 'rates=[\"1e-2\"]'" in said
    text = (publication / "REPRODUCE.md").read_text()
    about = read_json(publication / "provenance.json")
    assert about["uncommitted"] == {
        "benchmark/data/datasets/my_clinics.py": "new",
        "methods/mine.py": "new",
        "report/labels.rst": "changed",
    }
    for path, word in about["uncommitted"].items():
        assert f"not of the commit: {path} ({word})\n" in said
        assert f"`{path}` ({word})" in text
        assert (publication / "project" / path).read_bytes() == (project / path).read_bytes()
    config = yaml.safe_load((publication / "config.yaml").read_text())
    assert config["federations"]["my_clinics"]["protocol"] == "patient_disjoint", "as it was used"
    assert (config["federations"]["my_clinics"]["source"], config["backbone"]["weights"]) == (
        "clinics",
        "tiny.safetensors",
    )
    assert str(tmp_path) not in text + (publication / "config.yaml").read_text()
    assert f"* `tiny.safetensors`: weights; SHA-256 `{about['backbone']['origin']['source_sha256']}`" in text

    shutil.rmtree(project / "data", ignore_errors=True)
    commands = re.findall(r"## Commands\n\n```bash\n(.*?)```", text, re.DOTALL)[0]
    for name, place in {"PUBLICATION": publication, "FOLDER_OF_YOUR_FILES": tmp_path / "files"}.items():
        commands = commands.replace(name, str(place))
    (tmp_path / "bin").mkdir()
    for name, program in SHIMS.items():
        (tmp_path / "bin" / name).write_text(program)
        (tmp_path / "bin" / name).chmod(0o755)
    shell(tmp_path, f"git clone -q {project} clone")
    shell(tmp_path / "clone", commands, path=str(tmp_path / "bin"))
    again = tmp_path / "clone/results/small"
    for name in ("clients.parquet", "intervals.parquet"):
        pd.testing.assert_frame_equal(pd.read_parquet(again / name), pd.read_parquet(publication / name))
    assert set(pd.read_parquet(again / "clients.parquet")["method"]) == {"local", "mine"}
    for name in ("tables/my_clinics.csv", "selection.csv"):
        assert (again / name).read_bytes() == (publication / name).read_bytes()
