"""What of the code is not of its commit, as git sees it."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from benchmark.config import parse
from benchmark.publishing import own


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that stands for the project: some of its files."""
    monkeypatch.setattr(own, "ROOT", tmp_path)
    for path in ("Snakefile", "benchmark/kept.py", "benchmark/gone.py", "methods/own name.py", "notes.txt"):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(path)
    return tmp_path


def commit(folder: Path) -> None:
    """Make it a repository of one commit."""
    author = ["-c", "user.name=Test", "-c", "user.email=test@localhost"]
    for command in (["init", "-q"], ["add", "."], [*author, "commit", "-qm", "All"]):
        subprocess.run(["git", "-C", str(folder), *command], check=True)


def test_new_changed_and_deleted_files_are_told_apart(project: Path) -> None:
    """Of the code alone; names are not quoted."""
    commit(project)
    assert own.differences() == {}
    (project / "methods/own name.py").write_text("changed")
    (project / "benchmark/gone.py").unlink()
    (project / "methods/mine").mkdir()
    (project / "methods/mine/new.py").write_text("new")
    (project / "notes.txt").write_text("changed, and no code")
    assert own.differences() == {
        "benchmark/gone.py": "deleted",
        "methods/mine/new.py": "new",
        "methods/own name.py": "changed",
    }
    assert own.files(["Snakefile"]) == {
        "project/Snakefile": b"Snakefile",
        "project/methods/mine/new.py": b"new",
        "project/methods/own name.py": b"changed",
    }


def test_without_a_repository_all_code_is_kept(project: Path) -> None:
    (project / "benchmark/__pycache__").mkdir()
    (project / "benchmark/__pycache__/kept.pyc").write_bytes(b"")
    assert own.differences() is None
    assert set(own.files([])) == {
        *("project/Snakefile", "project/benchmark/kept.py", "project/benchmark/gone.py", "project/methods/own name.py")
    }


REST: dict[str, Any] = {"methods": ["fedit"], "rates": ["1e-3"], "rounds": 1}


def placed(*sources: str, weights: str = "hub") -> dict[str, str]:
    """Where a configuration's own files stand, by their paths."""
    federations = {f"of_{number}": {"dataset": "toy_lesions", "source": path} for number, path in enumerate(sources)}
    backbone = {"weights": weights, "name": "vit_tiny_patch16_224"}
    return own.given(parse({"name": "own", "federations": federations, "backbone": backbone, **REST}, "here"))


@pytest.mark.parametrize(
    ("path", "place"),
    [("a/b", "a/b"), ("./a", "a"), ("/data/clinics", "clinics"), ("../clinics", "clinics"), ("~/clinics", "clinics")],
)
def test_files_of_ones_own_stand_below_one_folder(path: str, place: str) -> None:
    assert placed(path) == {path: place}


def test_different_files_keep_different_places() -> None:
    """Whatever their last names are, and whether one would lie in another; what is one stays one."""
    assert placed("/a/images", "/b/images", "/a/images") == {"/a/images": "images", "/b/images": "images-2"}
    assert placed("/a//images", "/a/images") == dict.fromkeys(["/a//images", "/a/images"], "images")
    assert placed("/b/images", "images/clinics", "images-2") == {
        **{"images/clinics": "images/clinics", "images-2": "images-2"},
        "/b/images": "images-3",
    }
    weights = placed("/a/w.safetensors", weights="/b/w.safetensors")
    assert weights == {"/a/w.safetensors": "w.safetensors", "/b/w.safetensors": "w-2.safetensors"}
