# All rows together: scores, how sure they are, tables, figures, checks, report.


# Which rows there are, what their federations hold, and so where everything stands.
rule comparison:
    input:
        packs=expand("results/packs/{pack}/manifest.json", pack=plan.packs),
        code=plan.sources("benchmark.data.comparison"),
    output:
        plan.places.of("comparison.json"),
    log:
        plan.log("comparison"),
    conda:
        "../../environment.yml"
    params:
        plan=plan.described,
        packs=plan.packed_at,
    message:
        "Say which rows there are"
    shell:
        "python -m benchmark.data.comparison --plan {params.plan:q} --packs {params.packs:q} --output {output} > {log} 2>&1"


rule collect:
    input:
        predictions=plan.every(*plan.of_seeds("predictions.parquet")),
        manifests=expand(plan.manifest, federation=plan.federations),
        code=plan.sources("benchmark.evaluation.collect"),
    output:
        clients=f"{plan.results}/clients.parquet",
        confusion=f"{plan.results}/confusion.parquet",
    log:
        plan.log("collect"),
    conda:
        "../../environment.yml"
    params:
        manifests=expand(f"{{federation}}={plan.manifest}", federation=plan.federations),
    message:
        "Collect the scores of every client"
    shell:
        "python -m benchmark.evaluation.collect --predictions {input.predictions} --manifests {params.manifests} "
        "--output {output.clients} --confusion {output.confusion} > {log} 2>&1"


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
        plan.log("uncertainty"),
    conda:
        "../../environment.yml"
    message:
        "Compute intervals and tests"
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
        plan.log("stability"),
    conda:
        "../../environment.yml"
    message:
        "See how stable rates and ranks are"
    shell:
        "python -m benchmark.evaluation.stability --predictions {input.predictions} --clients {input.clients} "
        "--selected {input.selected} --runs {input.runs} --output {output} > {log} 2>&1"


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
        plan.log("selection"),
    conda:
        "../../environment.yml"
    params:
        manifests=expand(f"{{federation}}={plan.manifest}", federation=plan.federations),
    message:
        "Table what was selected"
    shell:
        "python -m benchmark.reporting.selection --clients {input.clients} --selected {input.selected} "
        "--runs {input.runs} --manifests {params.manifests} --csv {output} > {log} 2>&1"


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
        plan.log("appendix"),
    conda:
        "../../environment.yml"
    params:
        manifests=expand(f"{{federation}}={plan.manifest}", federation=plan.federations),
    message:
        "Table what other rates would have given"
    shell:
        "python -m benchmark.reporting.appendix --clients {input.clients} --selected {input.selected} "
        "--runs {input.runs} --manifests {params.manifests} --scores {input.scores} --csv {output} > {log} 2>&1"


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
            caption="../../report/table.rst",
            category="Tables",
            labels={"federation": "{federation}"},
        ),
        tex=f"{plan.results}/tables/{{federation}}.tex",
    log:
        plan.log("table/{federation}"),
    conda:
        "../../environment.yml"
    params:
        manifests=lambda wildcards, input: f"{wildcards.federation}={input.manifests}",
    message:
        "Table {wildcards.federation}"
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
            caption="../../report/leaderboard.rst",
            category="Leaderboard",
        ),
    log:
        plan.log("leaderboard"),
    conda:
        "../../environment.yml"
    params:
        manifests=expand(f"{{federation}}={plan.manifest}", federation=plan.federations),
    message:
        "Write the leaderboard"
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
            caption="../../report/checks.rst",
            category="Checks",
        ),
    log:
        plan.log("checks"),
    conda:
        "../../environment.yml"
    params:
        manifests=expand(f"{{federation}}={plan.manifest}", federation=plan.federations),
        # Not an input: `rule reference` makes it of these very results, when asked to.
        reference=plan.reference,
        unused=plan.notes,
    message:
        "Check the results"
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
            caption="../../report/figure.rst",
            category="Figures",
            labels={"figure": "{figure}"},
        ),
        csv=f"{plan.figures}/{{figure}}.csv",
    log:
        plan.log("figure/{figure}"),
    conda:
        "../../environment.yml"
    params:
        # A caption's path cannot hold wildcards.
        caption=lambda wildcards: plan.caption(wildcards.figure),
        manifests=expand(f"{{federation}}={plan.manifest}", federation=plan.federations),
    message:
        "Draw {wildcards.figure}"
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
            caption="../../report/examples.rst",
            category="Figures",
            labels={"figure": "examples"},
        ),
        csv=f"{plan.figures}/examples.csv",
        png=f"{plan.figures}/examples.png",
    log:
        plan.log("examples"),
    conda:
        "../../environment.yml"
    params:
        packs=[f"{name}=results/packs/{plan.pack(name)}" for name in plan.federations],
    message:
        "Draw examples of the images"
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
            caption="../../report/report.rst",
            category="Leaderboard",
        ),
    log:
        plan.log("report"),
    conda:
        "../../environment.yml"
    params:
        manifests=expand(f"{{federation}}={plan.manifest}", federation=plan.federations),
        title=plan.config.title or plan.config.name,
    message:
        "Write the report"
    shell:
        "python -m benchmark.reporting.report --clients {input.clients} --selected {input.selected} "
        "--runs {input.runs} --manifests {params.manifests} "
        "--statistics {input.statistics} --title {params.title:q} "
        "--published {input.published} --checks {input.checks} --figures {input.figures} "
        "--captions {input.captions} --appendix {input.appendix} --output {output} > {log} 2>&1"
