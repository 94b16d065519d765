"""One environment, said three times: requirements.in, its lock, and conda's environment.yml."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]


def named(text: str) -> set[str]:
    """Names of the packages of a requirements file, as an index writes them."""
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return {re.split(r"[=<>!~ ;\[]", line)[0].lower().replace("_", "-") for line in lines if line}


def test_the_lock_holds_every_requirement_at_one_version() -> None:
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    wanted = (ROOT / "requirements.in").read_text(encoding="utf-8")
    assert named(wanted) <= named(lock)
    entries = [line for line in lock.splitlines() if line and not line.startswith((" ", "#"))]
    assert all(re.match(r"^[\w.-]+==[\w.]+( ; .+)?$", line) for line in entries), "pinned, and without any host"
    for pinned in re.findall(r"^(\S+==\S+)$", wanted, re.MULTILINE):
        assert any(line.split(" ;")[0] == pinned for line in entries), pinned


def test_pyproject_reads_the_same_requirements() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["dynamic"] == ["dependencies"]
    assert project["tool"]["setuptools"]["dynamic"]["dependencies"] == {"file": ["requirements.in"]}


def test_conda_installs_the_lock_and_flamby_at_its_commit() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    (pip,) = [part["pip"] for part in environment["dependencies"] if isinstance(part, dict)]
    assert pip[0] == "-r requirements.lock"
    assert re.search(r"FLamby@edacf54[0-9a-f]{33}#egg=flamby$", pip[1])
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (python,) = [p for p in environment["dependencies"] if str(p).startswith("python=")]
    assert project["project"]["requires-python"] == ">=" + python.partition("=")[2]


def test_nothing_works_only_through_make() -> None:
    """`make all` adds the environment to `snakemake --cores 8 all`, `make test` to pytest in two processes."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert re.search(r"^all:.*\n\t\. \$\(BIN\)/activate && snakemake --cores 8 all$", makefile, re.MULTILINE)
    assert re.search(r"^test:.*\n\t\. \$\(BIN\)/activate && python -m pytest -n 2 ", makefile, re.MULTILINE)


def test_processes_share_out_whole_groups_of_tests(request: pytest.FixtureRequest) -> None:
    """The group is part of a test's name. With packages that do not fit each other it is silently lost."""
    if not request.config.getoption("loadgroup", default=False):
        pytest.skip("one process, or `--dist loadgroup` is not given")
    assert request.node.nodeid.endswith("@tests/test_environment")
