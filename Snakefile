# The whole comparison: download -> pack -> train -> select -> evaluate -> collect -> tables, figures, checks, report.
# Names and paths come from benchmark/plan.py. The code a job runs is among its inputs, since Snakemake does not follow
# imports; settings that decide a result are params, settings that do not are part of the command's text.
import sys

from benchmark.methods import method_file
from benchmark.plan import Plan
from benchmark.stale import unlock

if workflow.is_main_process:
    unlock()


report: "report/workflow.rst"


plan = Plan.of(config)

if workflow.is_main_process:
    print(
        *plan.announcement,
        sep="\n",
        end="\n" * bool(plan.announcement),
        file=sys.stderr,
    )


wildcard_constraints:
    federation="|".join(plan.federations),
    method="|".join(plan.methods),
    folder="|".join(plan.folders),
    pack="|".join(plan.packs),
    figure="|".join(plan.figure_names),


localrules:
    all,


# Nothing is downloaded before every licence that a download needs has been accepted.
onstart:
    shell("python -m benchmark.data.licences --settings {plan.consent:q}"),


rule all:
    input:
        plan.targets,


rule download:
    input:
        code=lambda wildcards: plan.sources(
            "benchmark.data.prepare", plan.dataset(plan.folders[wildcards.folder])
        ),
    output:
        f"{plan.config.data_root}/{{folder}}/source.json",
    log:
        "logs/download/{folder}.log",
    conda:
        "environment.yml"
    threads: plan.threads(workflow.cores)
    resources:
        # Like a device, the way to the data decides no result and reruns nothing.
        access=lambda wildcards: plan.access(wildcards.folder),
    params:
        dataset=lambda wildcards: plan.dataset(plan.folders[wildcards.folder]),
        settings=lambda wildcards: plan.preparation(wildcards.folder),
    message:
        "Bring {wildcards.folder}; progress in {log}"
    shell:
        "python -m benchmark.data.prepare --federation {params.dataset} --settings {params.settings:q} "
        "--access {resources.access:q} --folder $(dirname {output}) --output {output} "
        "> {log} 2>&1"


rule pack:
    input:
        source=lambda wildcards: f"{plan.config.data_root}/{plan.data_folder(plan.packs[wildcards.pack])}/source.json",
        code=lambda wildcards: plan.sources(
            "benchmark.data.pack", plan.dataset(plan.packs[wildcards.pack])
        ),
    output:
        multiext(
            "results/packs/{pack}/",
            "train.npy",
            "train.parquet",
            "test.npy",
            "test.parquet",
            "manifest.json",
        ),
    log:
        "logs/pack/{pack}.log",
    conda:
        "environment.yml"
    threads: plan.threads(workflow.cores)
    params:
        settings=lambda wildcards: plan.packing(wildcards.pack),
    message:
        "Pack {wildcards.pack}; progress in {log}"
    shell:
        "python -m benchmark.data.pack --settings {params.settings:q} --source {input.source} "
        "--output results/packs/{wildcards.pack} > {log} 2>&1"


rule manifest:
    input:
        pack=lambda wildcards: f"results/packs/{plan.pack(wildcards.federation)}/manifest.json",
        code=plan.sources("benchmark.data.manifest"),
    output:
        plan.manifest,
    log:
        f"logs/{plan.config.name}/manifest/{{federation}}.log",
    conda:
        "environment.yml"
    params:
        clients=lambda wildcards: plan.clients(wildcards.federation),
    shell:
        "python -m benchmark.data.manifest --pack {input.pack} --federation {wildcards.federation} "
        "--clients {params.clients:q} --output {output} > {log} 2>&1"


rule backbone:
    input:
        code=plan.sources("benchmark.models.fetch"),
    output:
        weights=f"{plan.backbone}/model.safetensors",
        about=f"{plan.backbone}/backbone.json",
    log:
        "logs/backbone.log",
    conda:
        "environment.yml"
    threads: plan.threads(workflow.cores)
    params:
        settings=plan.fetching(),
    message:
        "Bring the backbone; progress in {log}"
    shell:
        "python -m benchmark.models.fetch --settings {params.settings:q} --output $(dirname {output.weights}) > {log} 2>&1"


# One job for all rates and seeds of a method: they train together, through one frozen backbone.
rule train:
    input:
        method=lambda wildcards: method_file(wildcards.method),
        # Not the test split: it cannot even be listed here by accident, since `evaluate` alone asks for it.
        images=lambda wildcards: f"results/packs/{plan.pack(wildcards.federation)}/train.npy",
        backbone=f"{plan.backbone}/model.safetensors",
        code=plan.sources("benchmark.federation.train"),
    output:
        plan.of_runs("metrics.parquet"),
        plan.of_runs("state.safetensors"),
        plan.of_runs("run.json"),
        directory(plan.of_runs("adapters")),
    log:
        f"logs/{plan.config.name}/train/{{federation}}/{{method}}.log",
    benchmark:
        f"{plan.results}/benchmarks/{{federation}}/{{method}}.jsonl"
    wildcard_constraints:
        federation=plan.where_trained,
    conda:
        "environment.yml"
    threads: plan.threads(workflow.cores) * plan.config.threads * plan.config.shards
    resources:
        gpu=plan.config.shards,
        # How the job runs, which decides no result: unlike params, resources never rerun it.
        lanes=str(plan.config.lanes),
        side_by_side=plan.config.threads,
        device=plan.config.device,
        checkpoint_every=plan.config.checkpoint_every,
        shards=plan.config.shards,
        cuda_graphs="on" if plan.config.cuda_graphs else "off",
    params:
        settings=lambda wildcards: plan.training(wildcards.federation, wildcards.method),
        runs=lambda wildcards: f"{plan.results}/runs/{wildcards.federation}/{wildcards.method}",
    message:
        "Train {wildcards.method} on {wildcards.federation}; progress in {log}"
    shell:
        "python -m benchmark.device --gpus {resources.shards} -- "
        "python -m benchmark.federation.train --settings {params.settings:q} "
        "--method {input.method} --pack $(dirname {input.images}) --backbone $(dirname {input.backbone}) "
        "--store results/store --output {params.runs} --lanes {resources.lanes} --threads {resources.side_by_side} "
        "--device {resources.device} --checkpoint-every {resources.checkpoint_every} --shards {resources.shards} "
        "--cuda-graphs {resources.cuda_graphs} > {log} 2>&1"


rule select:
    input:
        metrics=plan.of_runs("metrics.parquet"),
        runs=plan.of_runs("run.json"),
        code=plan.sources("benchmark.evaluation.select"),
    output:
        plan.selected,
    log:
        f"logs/{plan.config.name}/select/{{federation}}/{{method}}.log",
    wildcard_constraints:
        federation=plan.where_trained,
    conda:
        "environment.yml"
    params:
        last_rounds=plan.config.selection.last_rounds,
    shell:
        "python -m benchmark.evaluation.select --runs {input.runs} --last-rounds {params.last_rounds} "
        "--output {output} > {log} 2>&1"


# Opens the test split, for the selected rate only. No rule but this one and `appendix_predictions` does.
rule evaluate:
    input:
        method=lambda wildcards: method_file(wildcards.method),
        images=lambda wildcards: f"results/packs/{plan.pack(wildcards.federation)}/train.npy",
        test=lambda wildcards: f"results/packs/{plan.pack(wildcards.federation)}/test.npy",
        backbone=f"{plan.backbone}/model.safetensors",
        states=plan.of_runs("state.safetensors"),
        selected=plan.selected,
        code=plan.sources("benchmark.evaluation.evaluate"),
    output:
        plan.of_seeds("predictions.parquet"),
    log:
        f"logs/{plan.config.name}/evaluate/{{federation}}/{{method}}.log",
    wildcard_constraints:
        federation=plan.where_trained,
    conda:
        "environment.yml"
    threads: plan.threads(workflow.cores)
    resources:
        gpu=1,
        device=plan.config.device,
    params:
        settings=lambda wildcards: plan.training(wildcards.federation, wildcards.method),
        runs=lambda wildcards: f"{plan.results}/runs/{wildcards.federation}/{wildcards.method}",
        tests=lambda wildcards: f"{plan.results}/test/{wildcards.federation}/{wildcards.method}",
    message:
        "Test {wildcards.method} on {wildcards.federation}; progress in {log}"
    shell:
        "python -m benchmark.device -- python -m benchmark.evaluation.evaluate --settings {params.settings:q} "
        "--method {input.method} --pack $(dirname {input.test}) --backbone $(dirname {input.backbone}) "
        "--selected {input.selected} --runs {params.runs} --output {params.tests} "
        "--device {resources.device} > {log} 2>&1"


# In place of the last four for rows that are taken from the reference. The archive is no input: a rule makes it, from
# rows such as this one.
rule baseline:
    input:
        pack=lambda wildcards: f"results/packs/{plan.pack(wildcards.federation)}/manifest.json",
        backbone=f"{plan.backbone}/backbone.json",
        code=plan.sources("benchmark.baselines.take"),
    output:
        plan.row_files,
    log:
        f"logs/{plan.config.name}/baseline/{{federation}}/{{method}}.log",
    wildcard_constraints:
        federation=plan.where_referenced,
    conda:
        "environment.yml"
    params:
        archive=lambda wildcards: plan.kept.format(**wildcards),
        sha256=lambda wildcards: plan.archive(**wildcards),
        results=lambda wildcards: plan.results,
        drawn="--drawn" if plan.config.backbone.weights == "drawn" else "",
    message:
        "Take {wildcards.method} on {wildcards.federation} from the reference"
    shell:
        "python -m benchmark.baselines.take --archive {params.archive} --pack {input.pack} --backbone {input.backbone} "
        "{params.drawn} --results {params.results} --files {output} > {log} 2>&1"


rule collect:
    input:
        predictions=plan.every(*plan.of_seeds("predictions.parquet")),
        manifests=expand(plan.manifest, federation=plan.federations),
        code=plan.sources("benchmark.evaluation.collect"),
    output:
        clients=f"{plan.results}/clients.parquet",
        confusion=f"{plan.results}/confusion.parquet",
    log:
        f"logs/{plan.config.name}/collect.log",
    conda:
        "environment.yml"
    params:
        manifests=expand(f"{{federation}}={plan.manifest}", federation=plan.federations),
    shell:
        "python -m benchmark.evaluation.collect --predictions {input.predictions} --manifests {params.manifests} "
        "--output {output.clients} --confusion {output.confusion} > {log} 2>&1"


# How orthogonal global and personal adapters became, at the selected rate.
rule overlap:
    input:
        states=plan.of_runs("state.safetensors"),
        selected=plan.selected,
        code=plan.sources("benchmark.evaluation.overlap"),
    output:
        plan.overlap,
    log:
        f"logs/{plan.config.name}/overlap/{{federation}}/{{method}}.log",
    wildcard_constraints:
        federation=plan.where_trained,
    conda:
        "environment.yml"
    shell:
        "python -m benchmark.evaluation.overlap --selected {input.selected} --states {input.states} "
        "--output {output} > {log} 2>&1"


# How sure and how stable all of it is. Every method sees the same resampled test sets.
rule uncertainty:
    input:
        predictions=plan.every(*plan.of_seeds("predictions.parquet")),
        clients=f"{plan.results}/clients.parquet",
        runs=plan.every(*plan.of_runs("run.json")),
        code=plan.sources("benchmark.evaluation.uncertainty"),
    output:
        intervals=f"{plan.results}/intervals.parquet",
        comparisons=f"{plan.results}/comparisons.csv",
        significance=f"{plan.results}/significance.json",
    log:
        f"logs/{plan.config.name}/uncertainty.log",
    conda:
        "environment.yml"
    shell:
        "python -m benchmark.evaluation.uncertainty --predictions {input.predictions} --clients {input.clients} "
        "--runs {input.runs} --intervals {output.intervals} --comparisons {output.comparisons} "
        "--significance {output.significance} > {log} 2>&1"


rule stability:
    input:
        predictions=plan.every(*plan.of_seeds("predictions.parquet")),
        clients=f"{plan.results}/clients.parquet",
        selected=plan.every(plan.selected),
        runs=plan.every(*plan.of_runs("run.json")),
        metrics=plan.every(*plan.of_runs("metrics.parquet")),
        code=plan.sources("benchmark.evaluation.stability"),
    output:
        f"{plan.results}/stability.csv",
    log:
        f"logs/{plan.config.name}/stability.log",
    conda:
        "environment.yml"
    shell:
        "python -m benchmark.evaluation.stability --predictions {input.predictions} --clients {input.clients} "
        "--selected {input.selected} --runs {input.runs} --output {output} > {log} 2>&1"


# What other selections would have given. The selection comes first, and nothing but the appendix reads the scores.
rule appendix_predictions:
    input:
        method=lambda wildcards: method_file(wildcards.method),
        images=lambda wildcards: f"results/packs/{plan.pack(wildcards.federation)}/train.npy",
        test=lambda wildcards: f"results/packs/{plan.pack(wildcards.federation)}/test.npy",
        backbone=f"{plan.backbone}/model.safetensors",
        states=plan.of_runs("state.safetensors"),
        selected=plan.selected,
        code=plan.sources("benchmark.evaluation.appendix"),
    output:
        plan.all_rates,
    log:
        f"logs/{plan.config.name}/appendix/{{federation}}/{{method}}.log",
    wildcard_constraints:
        federation=plan.where_trained,
    conda:
        "environment.yml"
    threads: plan.threads(workflow.cores)
    resources:
        gpu=1,
        device=plan.config.device,
    params:
        settings=lambda wildcards: plan.training(wildcards.federation, wildcards.method),
        runs=lambda wildcards: f"{plan.results}/runs/{wildcards.federation}/{wildcards.method}",
    message:
        "Test every rate of {wildcards.method} on {wildcards.federation} for the appendix; progress in {log}"
    shell:
        "python -m benchmark.device -- python -m benchmark.evaluation.appendix --settings {params.settings:q} "
        "--method {input.method} --pack $(dirname {input.test}) --backbone $(dirname {input.backbone}) "
        "--runs {params.runs} --output {output} --device {resources.device} > {log} 2>&1"


rule appendix:
    input:
        clients=f"{plan.results}/clients.parquet",
        selected=plan.every(plan.selected),
        runs=plan.every(*plan.of_runs("run.json")),
        manifests=expand(plan.manifest, federation=plan.federations),
        scores=plan.appendix,
        code=plan.sources("benchmark.reporting.appendix"),
    output:
        f"{plan.results}/appendix/selection.csv",
    log:
        f"logs/{plan.config.name}/appendix.log",
    conda:
        "environment.yml"
    params:
        manifests=expand(f"{{federation}}={plan.manifest}", federation=plan.federations),
    shell:
        "python -m benchmark.reporting.appendix --clients {input.clients} --selected {input.selected} "
        "--runs {input.runs} --manifests {params.manifests} --scores {input.scores} --csv {output} > {log} 2>&1"


rule selection:
    input:
        clients=f"{plan.results}/clients.parquet",
        selected=plan.every(plan.selected),
        runs=plan.every(*plan.of_runs("run.json")),
        manifests=expand(plan.manifest, federation=plan.federations),
        code=plan.sources("benchmark.reporting.selection"),
    output:
        f"{plan.results}/selection.csv",
    log:
        f"logs/{plan.config.name}/selection.log",
    conda:
        "environment.yml"
    params:
        manifests=expand(f"{{federation}}={plan.manifest}", federation=plan.federations),
    shell:
        "python -m benchmark.reporting.selection --clients {input.clients} --selected {input.selected} "
        "--runs {input.runs} --manifests {params.manifests} --csv {output} > {log} 2>&1"


rule table:
    input:
        clients=f"{plan.results}/clients.parquet",
        selected=expand(plan.selected, method=plan.methods, allow_missing=True),
        runs=expand(plan.of_runs("run.json"), method=plan.methods, allow_missing=True),
        manifests=plan.manifest,
        published="results/reference/published.csv",
        statistics=plan.statistics,
        code=plan.sources("benchmark.reporting.tables"),
    output:
        csv=f"{plan.results}/tables/{{federation}}.csv",
        md=report(
            f"{plan.results}/tables/{{federation}}.md",
            caption="report/table.rst",
            category="Tables",
            labels={"federation": "{federation}"},
        ),
        tex=f"{plan.results}/tables/{{federation}}.tex",
    log:
        f"logs/{plan.config.name}/table/{{federation}}.log",
    conda:
        "environment.yml"
    params:
        manifests=lambda wildcards, input: f"{wildcards.federation}={input.manifests}",
    shell:
        "python -m benchmark.reporting.tables --clients {input.clients} --selected {input.selected} "
        "--runs {input.runs} --manifests {params.manifests} "
        "--statistics {input.statistics} --dataset {wildcards.federation} "
        "--published {input.published} --csv {output.csv} --md {output.md} --tex {output.tex} > {log} 2>&1"


rule leaderboard:
    input:
        clients=f"{plan.results}/clients.parquet",
        selected=plan.every(plan.selected),
        runs=plan.every(*plan.of_runs("run.json")),
        manifests=expand(plan.manifest, federation=plan.federations),
        statistics=plan.statistics,
        code=plan.sources("benchmark.reporting.leaderboard"),
    output:
        csv=f"{plan.results}/leaderboard.csv",
        md=report(
            f"{plan.results}/leaderboard.md",
            caption="report/leaderboard.rst",
            category="Leaderboard",
        ),
    log:
        f"logs/{plan.config.name}/leaderboard.log",
    conda:
        "environment.yml"
    params:
        manifests=expand(f"{{federation}}={plan.manifest}", federation=plan.federations),
    shell:
        "python -m benchmark.reporting.leaderboard --clients {input.clients} --selected {input.selected} "
        "--runs {input.runs} --manifests {params.manifests} "
        "--statistics {input.statistics} --csv {output.csv} --md {output.md} > {log} 2>&1"


rule checks:
    input:
        clients=f"{plan.results}/clients.parquet",
        selected=plan.every(plan.selected),
        runs=plan.every(*plan.of_runs("run.json")),
        manifests=expand(plan.manifest, federation=plan.federations),
        statistics=plan.statistics,
        code=plan.sources("benchmark.evaluation.checks"),
    output:
        report(
            f"{plan.results}/checks.csv",
            caption="report/checks.rst",
            category="Checks",
        ),
    log:
        f"logs/{plan.config.name}/checks.log",
    conda:
        "environment.yml"
    params:
        manifests=expand(f"{{federation}}={plan.manifest}", federation=plan.federations),
        # Not an input: `rule reference` makes it of these very results, when asked to.
        reference=plan.reference,
        unused=plan.notes,
    shell:
        "python -m benchmark.evaluation.checks --clients {input.clients} --selected {input.selected} "
        "--runs {input.runs} --manifests {params.manifests} "
        "--statistics {input.statistics} --reference {params.reference} --unused {params.unused:q} "
        "--output {output} > {log} 2>&1"


rule figure:
    input:
        clients=f"{plan.results}/clients.parquet",
        selected=plan.every(plan.selected),
        runs=plan.every(*plan.of_runs("run.json")),
        manifests=expand(plan.manifest, federation=plan.federations),
        confusion=f"{plan.results}/confusion.parquet",
        overlap=plan.every(plan.overlap),
        statistics=plan.statistics,
        code=plan.sources("benchmark.reporting.figures"),
    output:
        pdf=f"{plan.figures}/{{figure}}.pdf",
        svg=report(
            f"{plan.figures}/{{figure}}.svg",
            caption="report/{figure}.rst",
            category="Figures",
            labels={"figure": "{figure}"},
        ),
        csv=f"{plan.figures}/{{figure}}.csv",
    log:
        f"logs/{plan.config.name}/figure/{{figure}}.log",
    conda:
        "environment.yml"
    params:
        manifests=expand(f"{{federation}}={plan.manifest}", federation=plan.federations),
    shell:
        "python -m benchmark.reporting.figures {wildcards.figure} --clients {input.clients} "
        "--selected {input.selected} --runs {input.runs} --manifests {params.manifests} "
        "--confusion {input.confusion} --overlap {input.overlap} "
        "--statistics {input.statistics} "
        "--pdf {output.pdf} --svg {output.svg} --csv {output.csv} > {log} 2>&1"


rule examples:
    input:
        packs=[
            f"results/packs/{plan.pack(name)}/train.npy" for name in plan.federations
        ],
        code=plan.sources("benchmark.reporting.examples"),
    output:
        pdf=f"{plan.figures}/examples.pdf",
        svg=report(
            f"{plan.figures}/examples.svg",
            caption="report/examples.rst",
            category="Figures",
            labels={"figure": "examples"},
        ),
        csv=f"{plan.figures}/examples.csv",
        png=f"{plan.figures}/examples.png",
    log:
        f"logs/{plan.config.name}/examples.log",
    conda:
        "environment.yml"
    params:
        packs=[f"{name}=results/packs/{plan.pack(name)}" for name in plan.federations],
    shell:
        "python -m benchmark.reporting.examples --packs {params.packs} "
        "--pdf {output.pdf} --svg {output.svg} --csv {output.csv} --png {output.png} > {log} 2>&1"


rule report:
    input:
        clients=f"{plan.results}/clients.parquet",
        selected=plan.every(plan.selected),
        runs=plan.every(*plan.of_runs("run.json")),
        manifests=expand(plan.manifest, federation=plan.federations),
        published="results/reference/published.csv",
        checks=f"{plan.results}/checks.csv",
        figures=expand(
            f"{plan.figures}/{{figure}}.svg", figure=[*plan.figure_names, "examples"]
        ),
        captions=expand("report/{figure}.rst", figure=[*plan.figure_names, "examples"]),
        appendix=plan.appendix,
        templates=plan.templates,
        statistics=plan.statistics,
        code=plan.sources("benchmark.reporting.report"),
    output:
        report(
            f"{plan.results}/report.html",
            caption="report/report.rst",
            category="Leaderboard",
        ),
    log:
        f"logs/{plan.config.name}/report.log",
    conda:
        "environment.yml"
    params:
        manifests=expand(f"{{federation}}={plan.manifest}", federation=plan.federations),
        title=plan.config.title or plan.config.name,
    shell:
        "python -m benchmark.reporting.report --clients {input.clients} --selected {input.selected} "
        "--runs {input.runs} --manifests {params.manifests} "
        "--statistics {input.statistics} --title {params.title:q} "
        "--published {input.published} --checks {input.checks} --figures {input.figures} "
        "--captions {input.captions} --appendix {input.appendix} --output {output} > {log} 2>&1"


# Not part of `all`: what is committed of a comparison, `snakemake --cores 8 reference --configfile ...`.
rule keep:
    input:
        files=plan.row_files,
        pack=lambda wildcards: f"results/packs/{plan.pack(wildcards.federation)}/manifest.json",
        backbone=f"{plan.backbone}/backbone.json",
        code=plan.sources("benchmark.baselines.keep"),
    output:
        plan.kept,
    log:
        f"logs/{plan.config.name}/keep/{{federation}}/{{method}}.log",
    conda:
        "environment.yml"
    params:
        decides=lambda wildcards: plan.decides(wildcards.federation, wildcards.method),
        results=lambda wildcards: plan.results,
    shell:
        "python -m benchmark.baselines.keep --results {params.results} --files {input.files} --pack {input.pack} "
        "--backbone {input.backbone} --decides {params.decides:q} --output {output} > {log} 2>&1"


rule reference:
    input:
        clients=f"{plan.results}/clients.parquet",
        selected=plan.every(plan.selected),
        runs=plan.every(*plan.of_runs("run.json")),
        manifests=expand(plan.manifest, federation=plan.federations),
        tables=expand(
            f"{plan.results}/tables/{{federation}}.{{kind}}",
            federation=plan.federations,
            kind=["csv", "md"],
        ),
        leaderboard=multiext(f"{plan.results}/leaderboard", ".csv", ".md"),
        rows=plan.every(plan.kept),
        code=plan.sources("benchmark.reporting.reference"),
    output:
        clients=f"results/reference/{plan.config.name}/clients.csv",
        selected=f"results/reference/{plan.config.name}/selected.csv",
        runs=f"results/reference/{plan.config.name}/runs.csv",
        about=f"results/reference/{plan.config.name}/about.json",
    log:
        f"logs/{plan.config.name}/reference.log",
    conda:
        "environment.yml"
    params:
        manifests=expand(f"{{federation}}={plan.manifest}", federation=plan.federations),
        command=f"snakemake --cores 8 all --configfile config/{plan.config.name}.yaml",
    shell:
        "python -m benchmark.reporting.reference --clients {input.clients} --selected {input.selected} "
        "--runs {input.runs} --manifests {params.manifests} --command {params.command:q} "
        "--copy {input.tables} {input.leaderboard} --output $(dirname {output.about}) > {log} 2>&1"


# Not part of `all` either: the README's table and figures, from the quickstart's.
rule readme:
    input:
        leaderboard=f"{plan.results}/leaderboard.md",
        run=plan.every(plan.of_runs("run.json")[0])[0],
        clients=f"{plan.figures}/clients.svg",
        examples=f"{plan.figures}/examples.png",
        code=plan.sources("benchmark.reporting.readme"),
    output:
        clients=f"figures/reference/{plan.config.name}/clients.svg",
        examples=f"figures/reference/{plan.config.name}/examples.png",
    log:
        f"logs/{plan.config.name}/readme.log",
    conda:
        "environment.yml"
    shell:
        "python -m benchmark.reporting.readme --leaderboard {input.leaderboard} --run {input.run} "
        "--readme README.md > {log} 2>&1 && cp {input.clients} {output.clients} && cp {input.examples} {output.examples}"
