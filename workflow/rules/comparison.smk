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
        comparison=plan.places.of("comparison.json"),
        rows=plan.every(plan.selected, *plan.gathered),
        tests=plan.every(*plan.tested),
        code=plan.sources("benchmark.evaluation.collect", tasks=plan.tasks),
    output:
        plan.places.of("clients.parquet"),
        plan.places.of("rows.json"),
        plan.places.of("validation.parquet"),
    log:
        plan.log("collect"),
    conda:
        "../../environment.yml"
    message:
        "Bring all rows together"
    shell:
        "python -m benchmark.evaluation.collect {input.comparison} > {log} 2>&1"


# How sure and how stable all of it is. Methods are compared on the same test samples.
rule uncertainty:
    input:
        **plan.collected,
        code=plan.sources("benchmark.evaluation.uncertainty", tasks=plan.tasks),
    output:
        plan.places.of("intervals.parquet"),
        plan.places.of("comparisons.csv"),
        plan.places.of("significance.json"),
    log:
        plan.log("uncertainty"),
    conda:
        "../../environment.yml"
    message:
        "Compute intervals and tests"
    shell:
        "python -m benchmark.evaluation.uncertainty {input.comparison} > {log} 2>&1"


rule stability:
    input:
        **plan.collected,
        validation=plan.places.of("validation.parquet"),
        code=plan.sources("benchmark.evaluation.stability", tasks=plan.tasks),
    output:
        plan.places.of("stability.csv"),
    log:
        plan.log("stability"),
    conda:
        "../../environment.yml"
    message:
        "See how stable rates and ranks are"
    shell:
        "python -m benchmark.evaluation.stability {input.comparison} > {log} 2>&1"


rule selection:
    input:
        **plan.collected,
        code=plan.sources("benchmark.reporting.selection", tasks=plan.tasks),
    output:
        plan.places.of("selection.csv"),
    log:
        plan.log("selection"),
    conda:
        "../../environment.yml"
    message:
        "Table what was selected"
    shell:
        "python -m benchmark.reporting.selection {input.comparison} --csv {output} > {log} 2>&1"


rule appendix:
    input:
        **plan.collected,
        scores=plan.appendix,
        code=plan.sources("benchmark.reporting.appendix", tasks=plan.tasks),
    output:
        plan.places.of("appendix/selection.csv"),
    log:
        plan.log("appendix"),
    conda:
        "../../environment.yml"
    message:
        "Table what other rates would have given"
    shell:
        "python -m benchmark.reporting.appendix {input.comparison} --csv {output} > {log} 2>&1"


rule table:
    input:
        **plan.collected,
        statistics=plan.statistics,
        published="results/reference/published.csv",
        code=plan.sources("benchmark.reporting.tables", tasks=plan.tasks),
    output:
        csv=plan.places.table("{federation}", "csv"),
        md=report(
            plan.places.table("{federation}", "md"),
            caption="../../report/table.rst",
            category="Tables",
            labels={"federation": "{federation}"},
        ),
        tex=plan.places.table("{federation}", "tex"),
    log:
        plan.log("table/{federation}"),
    wildcard_constraints:
        federation="|".join(plan.tabled),
    conda:
        "../../environment.yml"
    message:
        "Table {wildcards.federation}"
    shell:
        "python -m benchmark.reporting.tables {input.comparison} {wildcards.federation} --published {input.published}"
        " --csv {output.csv} --md {output.md} --tex {output.tex} > {log} 2>&1"


# From shapes alone: neither data nor weights, nor a training, are needed.
rule communication:
    input:
        methods=[plan.method_file(name) for name in plan.methods],
        published="results/reference/published.csv",
        code=plan.sources(
            "benchmark.reporting.communication",
            f"benchmark.models.{plan.config.backbone.network}",
            *(f"benchmark.data.datasets.{name}" for name in plan.datasets),
            tasks=plan.tasks,
        ),
    output:
        plan.places.of("tables/communication.csv"),
    log:
        plan.log("communication"),
    conda:
        "../../environment.yml"
    params:
        protocol=plan.protocol,
        federations=plan.each_federation,
        methods=plan.each_method,
    message:
        "Count what every method trains and sends"
    shell:
        "python -m benchmark.reporting.communication --protocol {params.protocol:q}"
        " --federations {params.federations:q} --methods {params.methods:q}"
        " --published {input.published} --output {output} > {log} 2>&1"


rule leaderboard:
    input:
        **plan.collected,
        statistics=plan.statistics,
        code=plan.sources("benchmark.reporting.leaderboard", tasks=plan.tasks),
    output:
        csv=plan.places.of("leaderboard.csv"),
        md=report(
            plan.places.of("leaderboard.md"),
            caption="../../report/leaderboard.rst",
            category="Leaderboard",
        ),
    log:
        plan.log("leaderboard"),
    conda:
        "../../environment.yml"
    message:
        "Write the leaderboard"
    shell:
        "python -m benchmark.reporting.leaderboard {input.comparison} --csv {output.csv} --md {output.md} > {log} 2>&1"


rule checks:
    input:
        **plan.collected,
        statistics=plan.statistics,
        code=plan.sources("benchmark.evaluation.checks", tasks=plan.tasks),
    output:
        report(
            plan.places.of("checks.csv"),
            caption="../../report/checks.rst",
            category="Checks",
        ),
    log:
        plan.log("checks"),
    conda:
        "../../environment.yml"
    params:
        # Not an input: `rule reference` makes it of these very results, when asked to.
        reference=plan.reference,
    message:
        "Check the results"
    shell:
        "python -m benchmark.evaluation.checks {input.comparison} --reference {params.reference} --output {output}"
        " > {log} 2>&1"


# All in one process, which reads the results once.
rule figures:
    input:
        **plan.collected,
        statistics=plan.statistics,
        validation=plan.places.of("validation.parquet"),
        overlap=plan.every(plan.overlap),
        code=plan.sources("benchmark.reporting.figures", tasks=plan.tasks),
    output:
        pdf=expand(f"{plan.figures}/{{figure}}.pdf", figure=plan.drawn_from_results),
        csv=expand(f"{plan.figures}/{{figure}}.csv", figure=plan.drawn_from_results),
        svg=[
            report(
                f"{plan.figures}/{figure}.svg",
                caption=f"../../report/{figure}.rst",
                category="Figures",
                labels={"figure": figure},
            )
            for figure in plan.drawn_from_results
        ],
    log:
        plan.log("figures"),
    conda:
        "../../environment.yml"
    params:
        names=plan.drawn_from_results,
    message:
        "Draw the figures"
    shell:
        "python -m benchmark.reporting.figures {input.comparison} {params.names} --output $(dirname {output.pdf[0]})"
        " > {log} 2>&1"


rule examples:
    input:
        # Its rows and rates, which may change, show no image.
        comparison=ancient(plan.places.of("comparison.json")),
        manifests=[
            f"results/packs/{plan.pack(name)}/manifest.json"
            for name in plan.federations
        ],
        packs=[
            f"results/packs/{plan.pack(name)}/train.npy" for name in plan.federations
        ],
        code=plan.sources("benchmark.reporting.examples", tasks=plan.tasks),
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
        clients=[plan.config.federations[name].clients for name in plan.federations],
    message:
        "Draw examples of the images"
    shell:
        "python -m benchmark.reporting.examples {input.comparison} --packs $(dirname {input.packs})"
        " --pdf {output.pdf} --svg {output.svg} --csv {output.csv} --png {output.png} > {log} 2>&1"


# Which test cases are shown, by rule: the median and the worst one of the best ranked method. Every row has a say in who
# that is, but mostly another row changes nothing: only once they are chosen is it known which models must predict anew.
checkpoint cases:
    input:
        **plan.collected,
        code=plan.sources("benchmark.evaluation.cases", tasks=plan.tasks),
    output:
        plan.cases,
    log:
        plan.log("cases/{federation}"),
    conda:
        "../../environment.yml"
    message:
        "Choose the cases of {wildcards.federation} that are shown"
    shell:
        "python -m benchmark.evaluation.cases {input.comparison} {wildcards.federation} --output {output} > {log} 2>&1"


rule overlays:
    input:
        **plan.collected,
        cases=plan.all_cases,
        shown=plan.shown_after(checkpoints.cases),
        code=plan.sources("benchmark.reporting.overlays", tasks=plan.tasks),
    output:
        pdf=f"{plan.figures}/overlays.pdf",
        svg=report(
            f"{plan.figures}/overlays.svg",
            caption="../../report/overlays.rst",
            category="Figures",
            labels={"figure": "overlays"},
        ),
        csv=f"{plan.figures}/overlays.csv",
        jpg=f"{plan.figures}/overlays.jpg",
    log:
        plan.log("overlays"),
    conda:
        "../../environment.yml"
    message:
        "Draw what every method outlines"
    shell:
        "python -m benchmark.reporting.overlays {input.comparison}"
        " --pdf {output.pdf} --svg {output.svg} --csv {output.csv} --jpg {output.jpg} > {log} 2>&1"


rule report:
    input:
        **plan.collected,
        statistics=plan.statistics,
        published="results/reference/published.csv",
        checks=plan.places.of("checks.csv"),
        figures=expand(f"{plan.figures}/{{figure}}.svg", figure=plan.figure_names),
        captions=expand("report/{figure}.rst", figure=plan.figure_names),
        appendix=plan.appendix,
        templates=plan.templates,
        code=plan.sources("benchmark.reporting.report", tasks=plan.tasks),
    output:
        report(
            plan.places.of("report.html"),
            caption="../../report/report.rst",
            category="Leaderboard",
        ),
    log:
        plan.log("report"),
    conda:
        "../../environment.yml"
    message:
        "Write the report"
    shell:
        "python -m benchmark.reporting.report {input.comparison} --published {input.published}"
        " --figures $(dirname {input.figures[0]}) --output {output} > {log} 2>&1"


# While a method is being made: all rows up to their selection, compared on validation images. No test split is opened.
rule validate:
    input:
        comparison=plan.places.of("comparison.json"),
        rows=plan.every(plan.selected, *plan.gathered),
        code=plan.sources("benchmark.reporting.develop", tasks=plan.tasks),
    output:
        **plan.validated,
    log:
        plan.log("validate"),
    conda:
        "../../environment.yml"
    message:
        "Compare all rows on validation images"
    shell:
        "python -m benchmark.reporting.develop {input.comparison} --output $(dirname {output.leaderboard}) > {log} 2>&1"


rule develop:
    input:
        **plan.validated,
    log:
        plan.log("develop"),
    localrule: True
    conda:
        "../../environment.yml"
    message:
        "On validation images, {input.leaderboard}:"
    shell:
        "tee {log} < {input.leaderboard}"
