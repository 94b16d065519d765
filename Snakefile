# The whole comparison: download -> pack -> train -> select -> evaluate -> collect -> tables, figures, checks, report.
# Names, paths and settings come from benchmark/plan.py. The code that a job runs is among its inputs, since Snakemake
# follows no imports. What decides a result is a param; what does not is a resource.
import re
import sys

from snakemake.utils import min_version

min_version("9.10")  # Before what follows, which reaches into the scheduler.

from benchmark import last_run
from benchmark.config import ConfigError
from benchmark.plan import Plan
from benchmark.preserve import preserve
from benchmark.scheduling import look_once
from benchmark.stale import unlock

preserve()  # A job that fails takes no result away.
look_once()  # The scheduler leaves the cores to the jobs.
try:
    plan = Plan.of(config)
except ConfigError as error:
    sys.exit(str(error))  # A line for each fault, without Snakemake's frames.

if workflow.is_main_process:
    unlock()
    for line in plan.baselines.announcement:
        print(line, file=sys.stderr)


report: "report/workflow.rst"


wildcard_constraints:
    federation="|".join(plan.federations),
    method="|".join(plan.methods),
    client="|".join(map(re.escape, plan.outside)),
    folder="|".join(plan.folders),
    pack="|".join(plan.packs),


# Nothing is downloaded before every licence that a download needs has been accepted; a run without data needs none.
onstart:
    last_run.write(
        plan.results,
        workflow.config_settings.configfiles,
        workflow.config_settings.config,
    )
    if any(job.rule.name == "download" for job in workflow.dag.needrun_jobs()):
        shell(
            "python -m benchmark.data.licences --folders {plan.wanted:q} --access {plan.accepted:q}"
        )


# What was not known yet when the run was planned: which rows the reference could not answer for after all.
onsuccess:
    for line in Plan.of(config).baselines.announcement:
        if line not in plan.baselines.announcement:
            print(line, file=sys.stderr)
    print(plan.farewell, file=sys.stderr)


rule all:
    input:
        plan.targets,
    localrule: True
    message:
        "All of {plan.config.name} is there"


include: "workflow/rules/data.smk"  # download, pack, backbone
include: "workflow/rules/rows.smk"  # train, select, evaluate; or baseline in place of them


if plan.outside:

    include: "workflow/rules/outside.smk"  # train_bank, adapt, outside, families, table_outside, overlays_outside


include: "workflow/rules/comparison.smk"  # collect, uncertainty, stability, ..., table, leaderboard, figures, report; develop
include: "workflow/rules/reference.smk"  # keep, reference, readme: what is committed; no part of `all`
