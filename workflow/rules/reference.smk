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
        plan.log("reference"),
    conda:
        "../../environment.yml"
    params:
        manifests=expand(f"{{federation}}={plan.manifest}", federation=plan.federations),
        command=f"snakemake --cores 8 all --configfile config/{plan.config.name}.yaml",
    message:
        "Write the reference's numbers"
    shell:
        "python -m benchmark.reporting.reference --clients {input.clients} --selected {input.selected} "
        "--runs {input.runs} --manifests {params.manifests} --command {params.command:q} "
        "--copy {input.tables} {input.leaderboard} --output $(dirname {output.about}) > {log} 2>&1"


# The README's table and figures, from the quickstart's.
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
        plan.log("readme"),
    conda:
        "../../environment.yml"
    message:
        "Write the README's table and figures"
    shell:
        "python -m benchmark.reporting.readme --leaderboard {input.leaderboard} --run {input.run} "
        "--readme README.md > {log} 2>&1 && cp {input.clients} {output.clients} && cp {input.examples} {output.examples}"
