# Hospitals outside of a federation: its models adapt to their images, without a target, and are tested there.


# As `train` does, and beside it the model that all clients made, which hospitals outside may be served with.
use rule train as train_bank with:
    output:
        plan.of_runs("common.safetensors"),
        plan.of_runs("metrics.parquet"),
        plan.of_runs("state.safetensors"),
        plan.of_runs("validation_counts.parquet"),
        plan.of_runs("run.json"),
        directory(plan.of_runs("adapters")),
    wildcard_constraints:
        federation="|".join(plan.served),
    params:
        settings=lambda wildcards: plan.training(wildcards.federation, wildcards.method),
        runs=lambda wildcards: plan.runs.format(**wildcards),
        common="--common",


# A hospital outside of the federation: the row's models adapt to its images, in a process that opens no target.
rule adapt:
    input:
        method=lambda wildcards: plan.method_file(wildcards.method),
        adaptations=plan.adaptations.values(),
        images=plan.packed("train.npy"),
        test=plan.packed("test.npy"),
        backbone=f"{plan.backbone}/model.safetensors",
        states=plan.of_runs("state.safetensors"),
        common=plan.of_runs("common.safetensors"),
        selected=plan.selected,
        code=plan.of_model("benchmark.evaluation.adapt"),
    output:
        plan.of_served("adapted.safetensors"),
    log:
        plan.log("adapt/{federation}/{client}/{method}"),
    wildcard_constraints:
        federation="|".join(plan.served),
    conda:
        "../../environment.yml"
    threads: plan.threads(workflow.resource_settings.cores)
    resources:
        gpu=1,
        device=plan.config.device,
    params:
        settings=lambda wildcards: plan.training(wildcards.federation, wildcards.method),
        serving=lambda wildcards: plan.serving(wildcards.federation, wildcards.client),
        runs=lambda wildcards: plan.runs.format(**wildcards),
        output=lambda wildcards: plan.places.served(**wildcards),
    message:
        "Adapt {wildcards.method} on {wildcards.federation} to the hospital {wildcards.client}; progress in {log}"
    shell:
        "python -m benchmark.device -- python -m benchmark.evaluation.adapt {params.runs}"
        " --selected {input.selected} --settings {params.settings:q} --serving {params.serving:q}"
        " --method {input.method} --pack $(dirname {input.test}) --backbone $(dirname {input.backbone})"
        " --output {params.output:q} --device {resources.device} > {log:q} 2>&1"


# Then, and not before, its targets are opened.
rule outside:
    input:
        adapted=plan.of_served("adapted.safetensors"),
        method=lambda wildcards: plan.method_file(wildcards.method),
        adaptations=plan.adaptations.values(),
        images=plan.packed("train.npy"),
        test=plan.packed("test.npy"),
        backbone=f"{plan.backbone}/model.safetensors",
        states=plan.of_runs("state.safetensors"),
        common=plan.of_runs("common.safetensors"),
        selected=plan.selected,
        code=plan.of_model("benchmark.evaluation.outside"),
    output:
        plan.of_served("counts.parquet"),
        plan.of_served("predictions.parquet"),
        plan.of_served("adapted.json"),
    log:
        plan.log("outside/{federation}/{client}/{method}"),
    wildcard_constraints:
        federation="|".join(name for name in plan.served if name not in plan.pictured)
        or "(?!)",
    conda:
        "../../environment.yml"
    threads: plan.threads(workflow.resource_settings.cores)
    resources:
        gpu=1,
        device=plan.config.device,
    params:
        settings=lambda wildcards: plan.training(wildcards.federation, wildcards.method),
        serving=lambda wildcards: plan.serving(wildcards.federation, wildcards.client),
        runs=lambda wildcards: plan.runs.format(**wildcards),
        output=lambda wildcards: plan.places.served(**wildcards),
    message:
        "Test {wildcards.method} of {wildcards.federation} at the hospital {wildcards.client}; progress in {log}"
    shell:
        "python -m benchmark.device -- python -m benchmark.evaluation.outside {params.runs}"
        " --selected {input.selected} --settings {params.settings:q} --serving {params.serving:q}"
        " --method {input.method} --pack $(dirname {input.test}) --backbone $(dirname {input.backbone})"
        " --output {params.output:q} --device {resources.device} > {log:q} 2>&1"


# As `outside` does, and beside it keeps how the cases look that are shown, where the task pictures predictions.
use rule outside as outside_pictured with:
    output:
        plan.of_served("counts.parquet"),
        plan.of_served("predictions.parquet"),
        plan.of_served("adapted.json"),
        plan.shown_outside,
    wildcard_constraints:
        federation="|".join(plan.pictured) or "(?!)",


# How every method with every adaptation serves hospitals outside of the federation.
rule families:
    input:
        **plan.collected,
        tests=plan.outside_tests,
        code=plan.sources("benchmark.evaluation.families", tasks=plan.tasks),
    output:
        plan.places.of("outside.parquet"),
    log:
        plan.log("families"),
    conda:
        "../../environment.yml"
    message:
        "Compare how hospitals outside are served"
    shell:
        "python -m benchmark.evaluation.families {input.comparison} > {log} 2>&1"


rule table_outside:
    input:
        **plan.collected,
        statistics=plan.statistics,
        code=plan.sources("benchmark.reporting.outside", tasks=plan.tasks),
    output:
        csv=plan.places.table("outside", "csv"),
        md=report(
            plan.places.table("outside", "md"),
            caption="../../report/outside.rst",
            category="Tables",
            labels={"federation": "outside"},
        ),
        tex=plan.places.table("outside", "tex"),
    log:
        plan.log("table_outside"),
    conda:
        "../../environment.yml"
    message:
        "Table hospitals outside"
    shell:
        "python -m benchmark.reporting.outside {input.comparison}"
        " --csv {output.csv} --md {output.md} --tex {output.tex} > {log} 2>&1"


rule overlays_outside:
    input:
        **plan.collected,
        shown=plan.all_shown_outside,
        code=plan.sources("benchmark.reporting.overlays_outside", tasks=plan.tasks),
    output:
        pdf=f"{plan.figures}/overlays_outside.pdf",
        svg=report(
            f"{plan.figures}/overlays_outside.svg",
            caption="../../report/overlays_outside.rst",
            category="Figures",
            labels={"figure": "overlays_outside"},
        ),
        csv=f"{plan.figures}/overlays_outside.csv",
        jpg=f"{plan.figures}/overlays_outside.jpg",
    log:
        plan.log("overlays_outside"),
    conda:
        "../../environment.yml"
    message:
        "Draw what adapting changes at hospitals outside"
    shell:
        "python -m benchmark.reporting.overlays_outside {input.comparison}"
        " --pdf {output.pdf} --svg {output.svg} --csv {output.csv} --jpg {output.jpg} > {log} 2>&1"
