"""How far a campaign is, from files made by hand."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmark.__main__ import main
from benchmark.disk import readable, used
from benchmark.files import write_json
from benchmark.lock import held
from benchmark.methods import method_file
from benchmark.plan import Plan
from benchmark.sources import ROOT, engine, fingerprint
from benchmark.stale import unlock
from benchmark.status.report import duration, report, time_left
from benchmark.status.training import trainings

CONFIGURATION: dict[str, Any] = {
    "name": "campaign",
    "federations": {"toy_lesions": {}},
    "methods": ["fedit", "ffa_lora", "fedpal", "local"],
    "rates": ["1e-3", "1e-2"],
    "rounds": 10,
}
RUNS = Path("results/campaign/runs/toy_lesions")


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plan:
    """A plan of four trainings of two lanes, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return Plan.of(CONFIGURATION)


def finish(plan: Plan, method: str, rate: str, **changes: Any) -> None:
    """Write a `run.json`: ten rounds in 20 seconds."""
    settings = json.loads(plan.training("toy_lesions", method))
    hashes = {
        "method": fingerprint([ROOT / method_file(method)]),
        "engine": engine("vit", "classification"),
    }
    about = {
        "settings": {k: v for k, v in settings.items() if k not in ("rates", "seeds")},
        "hashes": hashes,
        "costs": {"seconds": 20.0},
        "rounds": 10,
    }
    write_json(RUNS / method / f"lr={rate}/seed=0/run.json", {**about, **changes})


def progress(method: str, **changes: Any) -> None:
    """Write what a job says of itself: one lane finished, the other in its fourth round, five seconds each."""
    group = {"round": 4, "together": 1, "seconds_per_round": 5.0}
    about = {"finished": 1, "failure": None, "group": group}
    write_json(RUNS / method / ".progress.json", {**about, **changes})


def states(plan: Plan) -> dict[str, str]:
    """Every method's state."""
    return {job.method: job.state for job in trainings(plan)}


def test_every_state_is_told_from_files(plan: Plan) -> None:
    """Done, running, failed and interrupted; then outdated, waiting and running again."""
    for rate in plan.config.rates:
        finish(plan, "fedit", rate)
    progress("ffa_lora")
    progress("fedpal", failure="methods/fedopal/fedpal.py:9: in loss()")
    progress("local")
    with held(RUNS / "ffa_lora/.lock", "a test"):
        assert states(plan) == {"fedit": "done", "ffa_lora": "running", "fedpal": "failed", "local": "interrupted"}
        said = report(plan)
    assert "1 running, 1 failed, 1 interrupted, 1 done" in said
    assert "5 of 8 done; 62 of 80 rounds (78%)" in said
    assert "12 rounds of a lane per minute in 1 jobs" in said
    assert "about 2 min of training" in said, "18 rounds of 5 seconds"
    assert "failed      toy_lesions fedpal    methods/fedopal/fedpal.py:9: in loss()" in said
    assert "running     toy_lesions ffa_lora  round 4 of 10 in 1 lanes, 1 of 2 lanes done" in said
    finish(plan, "fedit", "1e-3", origin="reference")
    assert states(plan)["fedit"] == "outdated", "without the setting, a row from the reference is due"
    finish(plan, "fedit", "1e-3", hashes={"method": "another", "engine": "another"})
    assert states(plan)["fedit"] == "outdated"
    progress("fedit", failure="methods/fedopal/fedit.py:9: in loss()")
    assert states(plan)["fedit"] == "failed", "though what it trained before is still there"


def test_shards_are_one_training(plan: Plan) -> None:
    """Each stands in a folder of its own: round 4 and round 8 of one lane each, at 1/2 and 1/1 rounds a second.

    Together 12 of 20 rounds are done, at 1.5 a second.
    """
    for shard, round, seconds in (("1of2", 4, 2.0), ("2of2", 8, 1.0)):
        group = {"round": round, "together": 1, "seconds_per_round": seconds}
        progress(f"ffa_lora/.shards/{shard}", finished=0, group=group)
    with held(RUNS / "ffa_lora/.shards/2of2/.lock", "a test"):
        (job,) = (job for job in trainings(plan) if job.method == "ffa_lora")
        assert (job.state, job.rounds_done, job.lanes_done) == ("running", 12, 0)
        assert job.seconds == pytest.approx(1 / 1.5)
        assert "running     toy_lesions ffa_lora  round 6 of 10 in 2 lanes, 0 of 2 lanes done" in report(plan)
    progress("ffa_lora/.shards/1of2", failure="methods/ffa_lora.py:9: in loss()")
    assert states(plan)["ffa_lora"] == "failed"


def test_an_empty_folder_waits(plan: Plan) -> None:
    assert set(states(plan).values()) == {"waiting"}
    assert time_left(trainings(plan)) == "not known before the first round"
    log = Path("logs/campaign/train/toy_lesions/local.log")
    log.parent.mkdir(parents=True)
    log.write_text("waiting for one of 2 GPUs: 0, 1\n")
    assert "waiting     toy_lesions local     waiting for one of 2 GPUs" in report(plan)


def test_files_that_are_damaged_count_as_absent(plan: Plan) -> None:
    """Status never stops at what it reads."""
    for rate in plan.config.rates:
        finish(plan, "fedit", rate)
    (RUNS / "fedit/lr=1e-3/seed=0/run.json").write_text("{")
    (RUNS / "fedit/.progress.json").write_text("5")
    assert states(plan)["fedit"] == "waiting"


def test_it_says_whether_snakemake_is_alive(plan: Plan) -> None:
    """Asked from a Snakemake's own folder while it lives, and after it was killed."""
    assert "Snakemake is not running here" in report(plan)
    ready, write = os.pipe()
    child = os.fork()
    if not child:
        unlock()
        os.write(write, b"1")
        signal.pause()
    os.read(ready, 1)
    assert "Snakemake is running here" in report(plan)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert "Snakemake is not running here" in report(plan)


def test_the_command_reads_the_profiles_configuration(
    plan: Plan, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another one where it is named; a wrong one is one line."""
    (tmp_path / "profiles/default").mkdir(parents=True)
    (tmp_path / "profiles/default/profile.yaml").write_text("configfile: mine.yaml\n")
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(CONFIGURATION))
    assert main(["status"]) == 0
    assert capsys.readouterr().out.startswith("campaign: Snakemake is")
    (tmp_path / "other.yaml").write_text("name: [")
    assert main(["status", "--configfile", "other.yaml"]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert main(["status", "--config", "name=other"]) == 0
    assert capsys.readouterr().out.startswith("other: Snakemake is")
    assert main(["status", "--config", "rounds=0"]) == 1
    assert "rounds: Input should be greater than or equal to 1" in capsys.readouterr().err


def test_numbers_are_readable() -> None:
    assert [readable(n) for n in (0, 999, 3_500_000_000)] == ["0 B", "999 B", "3.5 GB"]
    assert [duration(s) for s in (5, 90, 3600, 12_000, 300_000)] == ["5 s", "2 min", "1 h", "3 h 20 min", "3 d 11 h"]


def test_disk_counts_all_that_is_below(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/file").write_bytes(b"x" * 100_000)
    assert 100_000 <= used(tmp_path) < 200_000
    assert used(tmp_path / "absent") == 0
