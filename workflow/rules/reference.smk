# What is committed of a comparison: `snakemake --cores 8 reference --configfile ...`. Not part of `all`.


rule keep:
    input:
        files=plan.row_files,
        pack=plan.packed("manifest.json"),
        backbone=f"{plan.backbone}/backbone.json",
        code=plan.sources("benchmark.baselines.keep"),
    output:
        plan.kept,
    log:
        plan.log("keep/{federation}/{method}"),
    conda:
        "../../environment.yml"
    params:
        decides=lambda wildcards: plan.baselines.decides(**wildcards),
        results=lambda wildcards: plan.results,
    message:
        "Keep {wildcards.method} on {wildcards.federation}"
    shell:
        "python -m benchmark.baselines.keep --results {params.results} --files {input.files} --pack {input.pack} "
        "--backbone {input.backbone} --decides {params.decides:q} --output {output} > {log} 2>&1"


rule reference:
    input:
        **plan.collected,
        tables=expand(
            plan.places.table("{table}", "{kind}"),
            table=plan.tables,
            kind=["csv", "md"],
        ),
        leaderboard=multiext(plan.places.of("leaderboard"), ".csv", ".md"),
        figures=expand(f"{plan.figures}/{{figure}}", figure=plan.kept_figures),
        kept=plan.every_kept,
        code=plan.sources("benchmark.reporting.reference", tasks=plan.tasks),
    output:
        clients=f"results/reference/{plan.config.name}/clients.csv",
        selected=f"results/reference/{plan.config.name}/selected.csv",
        runs=f"results/reference/{plan.config.name}/runs.csv",
        about=f"results/reference/{plan.config.name}/about.json",
        figures=expand(
            f"figures/reference/{plan.config.name}/{{figure}}",
            figure=plan.kept_figures,
        ),
    log:
        plan.log("reference"),
    conda:
        "../../environment.yml"
    params:
        command=f"snakemake --cores 8 all --configfile config/{plan.config.name}.yaml",
    message:
        "Write the reference's numbers and figures"
    shell:
        "python -m benchmark.reporting.reference {input.comparison} --command {params.command:q}"
        " --output $(dirname {output.about}) --figures {input.figures} --drawn $(dirname {output.figures[0]})"
        " > {log} 2>&1"


# The README's table and examples of images, from the quickstart's.
rule readme:
    input:
        comparison=plan.places.of("comparison.json"),
        rows=plan.places.of("rows.json"),
        leaderboard=plan.places.of("leaderboard.md"),
        examples=f"{plan.figures}/examples.png",
        code=plan.sources("benchmark.reporting.readme"),
    output:
        examples=f"figures/reference/{plan.config.name}/examples.png",
    log:
        plan.log("readme"),
    conda:
        "../../environment.yml"
    message:
        "Write the README's table and examples"
    shell:
        "python -m benchmark.reporting.readme {input.comparison} --readme README.md > {log} 2>&1"
        " && cp {input.examples} {output.examples}"
