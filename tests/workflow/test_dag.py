"""What Snakemake reruns, and what it does not: the six rules of the DAG."""

import os
import re
import shutil
import time
from contextlib import ExitStack
from pathlib import Path

import pandas as pd
import pytest
import yaml

from benchmark.plan import Plan
from benchmarks.plan_size import Size, copy
from tests.workflow.conftest import SMALL, Project, copy_code

pytestmark = pytest.mark.workflow

LEADERBOARD = "results/small/leaderboard.csv"
"""What tests make that are about training: figures and report take longer than all trainings."""
REPORTING = {
    *("evaluate", "select", "collect", "uncertainty", "stability"),
    *("table", "leaderboard", "selection", "checks", "figures", "report", "communication", "all"),
}


def trained(jobs: set[tuple[str, ...]]) -> set[str]:
    """The methods whose `train` job is among the jobs."""
    return {job[-1] for job in jobs if job[0] == "train"}


def test_a_run_writes_every_artefact(finished: Project) -> None:
    """`snakemake all` ends with everything that the table of artefacts promises."""
    results = finished.folder / "results/small"
    for name in (
        "leaderboard.csv",
        "leaderboard.md",
        "checks.csv",
        "report.html",
        "clients.parquet",
        "comparison.json",
    ):
        assert (results / name).stat().st_size > 0
    for name in ("intervals.parquet", "comparisons.csv", "significance.json", "stability.csv"):
        assert (results / name).stat().st_size > 0
    for kind in ("csv", "md", "tex"):
        assert (results / f"tables/toy_lesions.{kind}").stat().st_size > 0
    for name in Plan.of(SMALL).figure_names:
        assert f'id="figure-{name}"' in (results / "report.html").read_text()
    run = results / "runs/toy_lesions/fedit/lr=1e-3/seed=0"
    metrics = pd.read_parquet(run / "metrics.parquet")
    assert list(metrics.columns) == ["round", "client", "split", "metric", "value", "n"]
    assert set(metrics.loc[metrics["split"] == "validation", "client"]) == {str(k) for k in range(6)}
    assert finished.run("fedit", "1e-3")["origin"] == "trained"


def test_a_second_run_has_nothing_to_do(finished: Project) -> None:
    assert finished.planned() == set()


def test_touching_a_method_reruns_nothing(finished: Project) -> None:
    method = finished.folder / "methods/fedopal/fedit.py"
    times = method.stat()
    os.utime(method)
    assert finished.planned() == set()
    os.utime(method, ns=(times.st_atime_ns, times.st_mtime_ns))


def test_editing_a_method_reruns_its_jobs_alone(finished: Project) -> None:
    with finished.edited("methods/fedopal/fedit.py", "title =", "# A comment.\n    title ="):
        jobs = finished.planned()
    assert trained(jobs) == {"fedit"}
    assert {job[0] for job in jobs} <= REPORTING | {"train"}


def test_adding_a_method_trains_it_alone(finished: Project) -> None:
    """One new file, no edit elsewhere: a file in `methods/` itself runs whatever the configuration names."""
    mine = finished.folder / "methods/mine.py"
    shutil.copy(finished.folder / "methods/_template.py", mine)
    jobs = finished.planned()
    mine.unlink()
    assert trained(jobs) == {"mine"}
    assert ("evaluate", "toy_lesions", "mine") in jobs
    assert ("evaluate", "toy_lesions", "fedit") not in jobs
    assert ("examples",) not in jobs


def test_adding_a_rate_trains_only_the_new_lanes(project: Project) -> None:
    """Snakemake reruns the job; the store of lanes below it answers for the rates that are done."""
    project.configure(rates=["1e-3", "1e-2", "3e-2"])
    project.snakemake("results/small/runs/toy_lesions/fedit/lr=3e-2/seed=0/run.json")
    origins = {rate: project.run("fedit", rate)["origin"] for rate in ("1e-3", "1e-2", "3e-2")}
    assert origins == {"1e-3": "store", "1e-2": "store", "3e-2": "trained"}


def test_a_cosmetic_edit_of_the_snakefile_trains_nothing(project: Project) -> None:
    """The job reruns, since its command's text changed; every lane comes from the store."""
    with project.edited("workflow/rules/rows.smk", '"python -m benchmark.device --', '"python  -m benchmark.device --'):
        jobs = project.planned()
        project.snakemake("results/small/runs/toy_lesions/fedit/lr=1e-3/seed=0/run.json")
    assert trained(jobs) == {"fedit", "local"}
    assert project.run("fedit", "1e-3")["origin"] == "store"


COSMETIC = [
    ("benchmark/federation/progress.py", '"finished"', '"finished" '),
    ("benchmark/lock.py", "goes on when that ends", "please wait"),
    ("benchmark/federation/fault.py", "run again, training goes on", "run it again, training goes on"),
    ("benchmark/federation/shard.py", "is no shard: expected K/N", "names no shard: expected K/N"),
]


def test_edits_of_messages_progress_and_locks_train_no_lane_and_one_of_a_formula_all(project: Project) -> None:
    """The job reruns, for its code is an input; what names a lane, of each method and rate, is what computes it."""
    methods, rates = SMALL["methods"], SMALL["rates"]
    runs = [f"results/small/runs/toy_lesions/{method}/lr={rates[0]}/seed=0/run.json" for method in methods]
    lanes = [(method, rate) for method in methods for rate in rates]
    with ExitStack() as edits:
        for file, old, new in COSMETIC:
            edits.enter_context(project.edited(file, old, new))
        assert trained(project.planned()) == {*methods}
        project.snakemake(*runs)
        assert {lane: project.run(*lane)["origin"] for lane in lanes} == dict.fromkeys(lanes, "store")
    formula = ("torch._foreach_mul(gradients, rates)", "torch._foreach_mul(torch._foreach_mul(gradients, 2.0), rates)")
    with project.edited("benchmark/federation/optimisers.py", *formula):
        project.snakemake(*runs)
        assert {lane: project.run(*lane)["origin"] for lane in lanes} == dict.fromkeys(lanes, "trained")


def test_how_a_job_runs_and_where_data_is_from_are_no_reasons_to_run_it(finished: Project) -> None:
    """Lanes at once, device, recorded steps and checkpoints decide no result; nor do a licence and a mirror."""
    lesions = {**SMALL["federations"]["toy_lesions"], "mirrors": ["https://example.org/archive"]}
    running = {"lanes": 1, "device": "cpu", "checkpoint_every": 1, "cuda_graphs": True}
    finished.configure(**running, licences_accepted=["isic2019"], federations={"toy_lesions": lesions})
    jobs = finished.planned()
    finished.configure()
    assert jobs == set()


def test_shards_of_a_training_are_jobs_of_their_own(untrained: Project) -> None:
    """Each trains its lanes, and the row's job finds them: leaves, origins and memory are those of who trained them.

    In one job again, all is found in the store.
    """
    untrained.configure(shards=2, methods=["fedit"])
    run = "results/small/runs/toy_lesions/fedit/lr={}/seed=0/run.json"
    printed = untrained.snakemake(run.format("1e-3"))
    assert {f"Train shard {shard}/2 of fedit on toy_lesions" for shard in (1, 2)} <= set(
        re.findall(r"Train shard \d/\d of \w+ on \w+", printed)
    )
    runs = [untrained.run("fedit", rate) for rate in SMALL["rates"]]
    assert [about["origin"] for about in runs] == ["trained", "trained"]
    assert all(about["costs"]["peak_memory_bytes"] > 1 << 20 for about in runs)
    assert not (untrained.folder / run.format("1e-3")).parents[2].joinpath(".shards").exists()
    untrained.configure(methods=["fedit"])
    untrained.snakemake(run.format("1e-3"))
    assert [untrained.run("fedit", rate)["origin"] for rate in SMALL["rates"]] == ["store", "store"]


def test_a_setting_that_decides_a_result_retrains(finished: Project) -> None:
    finished.configure(training={"optimiser": {"momentum": 0.5}})
    jobs = finished.planned()
    finished.configure()
    assert trained(jobs) == {"fedit", "local"}


def test_removing_a_rate_retrains_nothing_new(project: Project) -> None:
    project.configure(rates=["1e-2"])
    project.snakemake(LEADERBOARD)
    assert project.run("fedit", "1e-2")["origin"] in ("store", "trained")
    assert "1e-2" in (project.folder / "results/small/leaderboard.csv").read_text()


def test_a_crash_in_retraining_leaves_no_stale_leaderboard(project: Project) -> None:
    """The other methods go on; the broken one is planned again, and again, until it is mended."""
    time.sleep(0.01)
    with project.edited("methods/fedopal/fedit.py", 'title = "FedIT"', "title = 1 / 0"):
        printed = project.snakemake("all", ok=False)
        assert "ZeroDivisionError" in printed
        assert "logs/small/train/toy_lesions/fedit.log" in printed
        assert trained(project.planned()) == {"fedit"}
    assert trained(project.planned()) == {"fedit"}
    project.snakemake("all")
    assert project.planned() == set()


def test_only_what_follows_the_selection_asks_for_the_test_split(finished: Project) -> None:
    """Tests, the appendix, pictures of a few cases, and hospitals outside, each after the selection; no other rule."""
    text = "\n\n".join(path.read_text() for path in (finished.folder / "workflow/rules").glob("*.smk"))
    rules = re.split(r"^(?:rule|checkpoint) (\w+):\n", text, flags=re.MULTILINE)
    asking = {name: text for name, text in zip(rules[1::2], rules[2::2], strict=True) if "test.npy" in text}
    assert set(asking) == {"evaluate", "show", "adapt", "outside"}
    assert all("selected=plan.selected," in text for text in asking.values())
    (shared,) = re.findall(r"^use rule evaluate as appendix_predictions with:\n(.*?)(?=\n\n\n)", text, re.M | re.S)
    assert "input:" not in shared, "the same input, the selection too"


def test_without_metadata_a_fresh_clone_keeps_the_published_numbers(finished: Project) -> None:
    """Published numbers are inputs that no rule makes: Snakemake never reruns or removes them."""
    published = Path("results/reference/published.csv")
    made = [line.split("\t")[0] for line in finished.snakemake("all", "--summary").splitlines()]
    assert "results/small/leaderboard.csv" in made
    assert str(published) not in made


def test_snakemakes_own_report_is_made(two_tasks: Project, tmp_path: Path) -> None:
    """With every table and figure, each above its own caption: of both tasks, and of a hospital outside."""
    two_tasks.snakemake("--report", str(tmp_path / "report.html"), config="two_tasks")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    plan = Plan.of(yaml.safe_load((two_tasks.folder / "config/two_tasks.yaml").read_text(encoding="utf-8")))
    captions = {path.stem for path in (two_tasks.folder / "report").glob("*.rst")} - {"workflow"}
    tables = {"leaderboard.md", "checks.csv", *(f"{name}.md" for name in plan.tables)}
    for name in (*tables, *(f"{figure}.svg" for figure in plan.figure_names)):
        assert f'"{name}"' in page, name
    assert captions == {*plan.figure_names, "table", "outside", "leaderboard", "checks", "report"}
    for name in captions:
        caption = (two_tasks.folder / f"report/{name}.rst").read_text(encoding="utf-8").strip()
        assert re.split(r"[`*&'\"<{\n]", caption)[0] in page, name


def test_the_console_is_readable(finished: Project) -> None:
    """A line for each job, neither its reason nor its files; a run ends with where to look."""
    planned = finished.snakemake("all", "-n", "--forceall")
    assert max(map(len, planned.splitlines())) < 1000
    assert len(planned) < 10_000, "a hundred bytes for a job, and the table of jobs"
    assert "input:" not in planned
    (finished.folder / "results/small/report.html").unlink()
    said = finished.snakemake("all")
    assert "\nReport: results/small/report.html; tables: results/small/leaderboard.md and results/small/tables/" in said


def test_lint(finished: Project) -> None:
    assert "good condition" in finished.snakemake("--lint")


def test_the_paper_is_planned_without_any_data(finished: Project) -> None:
    printed = finished.snakemake("all", "-n", config="paper")
    for federation in ("fed_isic2019", "camelyon17"):
        assert f"Train fedopal_r on {federation}" in printed
    assert not any((finished.folder / "data").glob("fed_isic2019*"))


def test_what_sam_sends_is_counted_without_data_weights_or_licences(tmp_path: Path) -> None:
    """In an empty clone; all the rest of the configuration is planned, and its data asks for consent."""
    copy_code(tmp_path)
    table, clone = "results/flap_sam/tables/communication.csv", Project(tmp_path)
    clone.snakemake(table, "--config", "methods=[flap_sam, sam_full, local]", config="flap_sam")
    counted = pd.read_csv(tmp_path / table).set_index(["federation", "method"])
    assert counted.loc["fed_kits19", "as_printed"].to_dict() == {
        **{"sam_full": 67.45, "flap_sam": 1.38},
        **{"local": 0, "local_all": 0},
    }
    assert not (tmp_path / "data").exists()
    assert "Train flap_sam on prostate" in clone.snakemake("all", "-n", config="flap_sam")
    said = clone.snakemake("data/fed_kits19/source.json", ok=False, config="flap_sam")
    assert "add 'kits19' to `licences_accepted`" in said


LONGEST = 128 << 10
"""Bytes of one argument, its end included, on Linux; a job's command is one, which bash is given."""


def test_commands_of_a_leaderboard_are_no_longer_than_linux_allows(tmp_path: Path) -> None:
    """Those of all jobs of 480 rows, half of them of volumes, which are drawn row by row, and none of them kept."""
    clone = Project(copy(tmp_path / "project", Size(methods=40, federations=12, rates=1, seeds=1)))
    path = clone.folder / "config/size.yaml"
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    for own in list(values["federations"].values())[::2]:
        own["dataset"] = "toy_volumes"
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    printed = clone.snakemake("all", "-n", "-p", "--config", "baselines=reference", config="size")
    commands = {line for line in printed.splitlines() if line.startswith("Shell command: ")}
    assert sum("benchmark.federation.train" in line for line in commands) == 480
    for job in ("data.comparison", "reporting.communication", "reporting.overlays"):
        assert sum(f"python -m benchmark.{job} " in line for line in commands) == 1, job
    # Snakemake puts a few words before a command, and the folder of an environment.
    assert {line[:60]: len(line) for line in commands if len(line.encode()) > LONGEST - 1024} == {}


def test_nothing_is_fetched_before_every_licence_is_accepted(finished: Project) -> None:
    """Camelyon17 needs no consent, but Fed-ISIC2019 of the same configuration does: neither is asked for."""
    printed = finished.snakemake("data/camelyon17/source.json", ok=False, config="paper")
    assert "read the licence at https://challenge.isic-archive.com/data/#2019" in printed
    assert "add 'isic2019' to `licences_accepted`" in printed
    assert not re.search(r"^Job \d+: Bring", printed, re.MULTILINE)
    assert not any((finished.folder / "data" / name).exists() for name in ("camelyon17", "fed_isic2019"))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"roundz": 3, "rates": ["fast"]},
            ["roundz: there is no such setting", "rates.0: a learning rate is a positive number"],
        ),
        (
            {
                "methods": ["fedlt"],
                "federations": {"toy_lesion": {}},
                "method_settings": {"fedopal_w": {"lam": 1}},
            },
            [
                "methods: there is no method or group fedlt; did you mean fedit?",
                "benchmark/data/datasets/toy_lesion.py; did you mean toy_lesions?",
                "method_settings.fedopal_w.lam: there is no such setting",
            ],
        ),
    ],
    ids=["settings", "names"],
)
def test_a_bad_configuration_is_refused_before_anything_runs(finished: Project, changes: dict, said: list[str]) -> None:
    """With a line for each of its faults."""
    finished.configure(**changes)
    printed = finished.snakemake("all", "-n", ok=False)
    finished.configure()
    assert [line for line in said if line not in printed] == []
    assert "Building DAG" not in printed
