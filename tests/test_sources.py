"""The files a job is said to run are those that it runs."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmark.sources import ROOT, closure, computing, fetching, fingerprint

RULES = "\n\n".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "workflow/rules").glob("*.smk")))
JOBS = sorted(set(re.findall(r'plan\.(?:sources|of_model)\(\s*"([\w.]+)"', RULES)))

LOADED = """
import json, os, sys, importlib
import matplotlib.pyplot, pandas, seaborn, timm, torch  # Once for all jobs: what is asked for is the project's files.
assert not any(name.split(".")[0] == "benchmark" for name in sys.modules)
for job in sys.argv[1:]:
    if os.fork() == 0:
        importlib.import_module(job)
        own = [m.__file__ for n, m in sys.modules.items() if n.split(".")[0] == "benchmark" and m.__file__]
        print(json.dumps([job, own]), flush=True)
        os._exit(0)
    os.wait()
"""


@pytest.fixture(scope="module")
def loaded() -> dict[str, set[str]]:
    """The project's files that each job imports, in a process of its own."""
    command = [sys.executable, "-c", LOADED, *JOBS]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    found = dict(json.loads(line) for line in done.stdout.splitlines())
    return {job: {Path(file).resolve().relative_to(ROOT).as_posix() for file in own} for job, own in found.items()}


def test_the_rules_name_their_jobs() -> None:
    assert "benchmark.federation.train" in JOBS
    assert len(JOBS) >= 12


@pytest.mark.parametrize("job", JOBS)
def test_a_jobs_declared_sources_are_what_it_imports(job: str, loaded: dict[str, set[str]]) -> None:
    """Static list against sys.modules: neither misses a file, neither has one too many."""
    assert loaded[job] == set(closure(job))


def test_every_job_of_a_rule_declares_its_sources() -> None:
    """Each `python -m benchmark.x` of a rule stands in the same rule's input, but the wrapper that leases a device."""
    for rule in re.split(r"^(?:rule|checkpoint) ", RULES, flags=re.MULTILINE)[1:]:
        run = set(re.findall(r"python -m ([\w.]+)", rule)) - {"benchmark.device"}
        assert run == set(re.findall(r'plan\.(?:sources|of_model)\(\s*"([\w.]+)"', rule)), rule.partition(":")[0]


def test_an_unknown_module_is_named() -> None:
    with pytest.raises(ValueError, match=r"benchmark\.nothing"):
        closure("benchmark.nothing")


def test_a_fingerprint_ignores_what_computes_nothing(tmp_path: Path) -> None:
    """Comments, docstrings and layout do not count; a changed number does."""
    texts = [
        '"""A module."""\nA = 1\n"""One."""\ndef f(x):\n    """Twice."""\n    return 2 * x  # two\n',
        "A = 1\ndef f(x):\n\n    return (2 * x)\n",
        "A = 1\ndef f(x):\n    return 3 * x\n",
    ]
    prints = []
    for number, text in enumerate(texts):
        path = tmp_path / f"{number}.py"
        path.write_text(text, encoding="utf-8")
        prints.append(fingerprint([path]))
    assert prints[0] == prints[1] != prints[2]


def test_what_an_error_says_changes_no_fingerprint(tmp_path: Path) -> None:
    """No finished lane depends on it; whether something is refused does count."""
    texts = [
        "def f(x):\n    if x < 0:\n        raise ValueError(f'{x} is negative')\n    return x\n",
        "def f(x):\n    if x < 0:\n        raise KeyError('give another number') from None\n    return x\n",
        "def f(x):\n    if x < 1:\n        raise ValueError(f'{x} is negative')\n    return x\n",
    ]
    prints = []
    for number, text in enumerate(texts):
        (tmp_path / f"{number}.py").write_text(text, encoding="utf-8")
        prints.append(fingerprint([tmp_path / f"{number}.py"]))
    assert prints[0] == prints[1] != prints[2]


def test_what_computes_a_lane_is_neither_its_command_nor_its_bookkeeping() -> None:
    """The round loop, the network and the task with all that they import; each file is named once."""
    found = computing("vit", "classification")
    assert "benchmark/settings.py" in found
    assert "benchmark/config.py" not in found, "a new setting of data, statistics or reports trains nothing again"
    rooms = {"benchmark/federation/": {"training", "engine", "client", "step", "optimisers", "exchange", "model"}}
    rooms["benchmark/"] = {"draws", "method", "leaf"}
    rooms["benchmark/models/"] = {"vit", "lora", "dense", "heads", "attention", "widened", "dropout"}
    rooms["benchmark/tasks/"] = {"classification", "task"}
    for room, files in rooms.items():
        assert {f"{room}{file}.py" for file in files} <= set(found)
    kept_out = {"train", "job", "store", "progress", "fault", "key", "lanes", "shard", "methods"}
    named = {f"benchmark/federation/{file}.py" for file in kept_out}
    assert all((ROOT / file).is_file() for file in named), "a module that is gone guards nothing"
    assert not named & set(found)
    assert not {"benchmark/lock.py", "benchmark/job.py", "benchmark/models/pretrain.py"} & set(found)


def test_the_modules_that_fetch_weights_are_found_by_the_networks_name() -> None:
    """How they are fetched names no lane, and reruns the job that fetches."""
    names = ["fetch", "vit", "vit_weights"]
    assert fetching("vit") == [f"benchmark.models.{name}" for name in names]
    assert fetching("nothing") == ["benchmark.models.fetch"]
