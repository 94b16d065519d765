# One row of the leaderboard: a method on a federation.


# Where several GPUs share one training (`shards`), each has a job, which trains some of the lanes into the store.
rule train_shard:
    input:
        method=lambda wildcards: plan.method_file(wildcards.method),
        images=plan.packed("train.npy"),
        backbone=f"{plan.backbone}/model.safetensors",
        code=plan.of_model("benchmark.federation.train"),
    output:
        temp(plan.shard),
    log:
        plan.log("train/{federation}/{method}.{shard}"),
    wildcard_constraints:
        federation=plan.where_trained,
        shard=r"\d+",
    conda:
        "../../environment.yml"
    threads: plan.threads(workflow.resource_settings.cores) * plan.config.threads
    resources:
        gpu=1,
        running=plan.running,
        shard=lambda wildcards: f"{wildcards.shard}/{plan.config.shards}",
    params:
        settings=lambda wildcards: plan.training(wildcards.federation, wildcards.method),
    message:
        "Train shard {resources.shard} of {wildcards.method} on {wildcards.federation}; progress in {log}"
    shell:
        "python -m benchmark.device -- python -m benchmark.federation.train --settings {params.settings:q}"
        " --running {resources.running:q} --method {input.method} --pack $(dirname {input.images})"
        " --backbone $(dirname {input.backbone}) --store results/store --shard {resources.shard}"
        " --output $(dirname {output}) > {log} 2>&1"


# One job for all rates and seeds of a method: they train together, through one frozen backbone. What shards have trained
# it finds in the store.
rule train:
    input:
        shards=plan.shards,
        method=lambda wildcards: plan.method_file(wildcards.method),
        # Not the test split: it cannot even be listed here by accident, since `evaluate` alone asks for it.
        images=plan.packed("train.npy"),
        backbone=f"{plan.backbone}/model.safetensors",
        code=plan.of_model("benchmark.federation.train"),
    output:
        plan.of_runs("metrics.parquet"),
        plan.of_runs("state.safetensors"),
        plan.of_runs("validation_counts.parquet"),
        plan.of_runs("run.json"),
        directory(plan.of_runs("adapters")),
    log:
        plan.log("train/{federation}/{method}"),
    benchmark:
        f"{plan.results}/benchmarks/{{federation}}/{{method}}.jsonl"
    wildcard_constraints:
        federation=plan.where_nobody_is_outside,
    conda:
        "../../environment.yml"
    threads: plan.threads(workflow.resource_settings.cores) * plan.config.threads
    resources:
        gpu=1,
        # How the job runs, which decides no result: unlike params, resources never rerun it.
        running=plan.running,
    params:
        settings=lambda wildcards: plan.training(wildcards.federation, wildcards.method),
        runs=lambda wildcards: plan.runs.format(**wildcards),
        common="",
    message:
        "Train {wildcards.method} on {wildcards.federation}; progress in {log}"
    shell:
        "python -m benchmark.device -- python -m benchmark.federation.train --settings {params.settings:q}"
        " --running {resources.running:q} --method {input.method} --pack $(dirname {input.images})"
        " --backbone $(dirname {input.backbone}) --store results/store --output {params.runs} {params.common}"
        " > {log} 2>&1"


# And what else the comparison reads of the runs: how scores went, and how orthogonal adapters became at that rate.
rule select:
    input:
        metrics=plan.of_runs("metrics.parquet"),
        counts=plan.of_runs("validation_counts.parquet"),
        states=plan.of_runs("state.safetensors"),
        runs=plan.of_runs("run.json"),
        code=lambda wildcards: plan.sources(
            "benchmark.evaluation.select", tasks=[plan.task(wildcards.federation)]
        ),
    output:
        selected=plan.selected,
        gathered=plan.gathered,
        overlaps=plan.overlap,
    log:
        plan.log("select/{federation}/{method}"),
    wildcard_constraints:
        federation=plan.where_trained,
    conda:
        "../../environment.yml"
    params:
        runs=lambda wildcards: plan.runs.format(**wildcards),
        rates=plan.config.rates,
        seeds=plan.config.seeds,
        last_rounds=plan.config.selection.last_rounds,
    message:
        "Select the rate of {wildcards.method} on {wildcards.federation}"
    shell:
        "python -m benchmark.evaluation.select {params.runs} --rates {params.rates} --seeds {params.seeds}"
        " --last-rounds {params.last_rounds} --output {output.selected} --gathered {output.gathered}"
        " --overlaps {output.overlaps} > {log} 2>&1"


# Opens the test split, for the selected rate only. No rule but this one, `appendix_predictions` and `show` does; `outside`
# that of hospitals outside.
rule evaluate:
    input:
        method=lambda wildcards: plan.method_file(wildcards.method),
        images=plan.packed("train.npy"),
        test=plan.packed("test.npy"),
        backbone=f"{plan.backbone}/model.safetensors",
        states=plan.of_runs("state.safetensors"),
        selected=plan.selected,
        code=plan.of_model("benchmark.evaluation.evaluate"),
    output:
        plan.tested,
    log:
        plan.log("evaluate/{federation}/{method}"),
    wildcard_constraints:
        federation=plan.where_trained,
    conda:
        "../../environment.yml"
    threads: plan.threads(workflow.resource_settings.cores)
    resources:
        gpu=1,
        device=plan.config.device,
    params:
        settings=lambda wildcards: plan.training(wildcards.federation, wildcards.method),
        rates="selected",
        runs=lambda wildcards: plan.runs.format(**wildcards),
        output=lambda wildcards: plan.places.tests(**wildcards),
    message:
        "Test {wildcards.method} on {wildcards.federation}; progress in {log}"
    shell:
        "python -m benchmark.device -- python -m benchmark.evaluation.evaluate {params.runs} --rates {params.rates}"
        " --selected {input.selected} --settings {params.settings:q} --method {input.method}"
        " --pack $(dirname {input.test}) --backbone $(dirname {input.backbone}) --output {params.output}"
        " --history results/store/tested --device {resources.device} > {log} 2>&1"


# What other selections would have given. The selection comes first, and nothing but the appendix reads the scores.
use rule evaluate as appendix_predictions with:
    output:
        plan.all_rates,
    log:
        plan.log("appendix/{federation}/{method}"),
    params:
        settings=lambda wildcards: plan.training(wildcards.federation, wildcards.method),
        rates="all",
        runs=lambda wildcards: plan.runs.format(**wildcards),
        output=lambda wildcards: plan.all_rates.format(**wildcards),
    message:
        "Test every rate of {wildcards.method} on {wildcards.federation} for the appendix; progress in {log}"


# What a row's model makes of the few test cases that are shown: chosen by rule, once every row is tested.
rule show:
    input:
        # Its other rows, which may change, predict nothing.
        comparison=ancient(plan.places.of("comparison.json")),
        # What they are is a param: chosen again, they are mostly the same.
        cases=ancient(plan.cases),
        selected=plan.selected,
        method=lambda wildcards: plan.method_file(wildcards.method),
        images=plan.packed("train.npy"),
        test=plan.packed("test.npy"),
        backbone=f"{plan.backbone}/model.safetensors",
        states=plan.of_runs("state.safetensors"),
        code=plan.of_model("benchmark.evaluation.show"),
    output:
        plan.shown,
    log:
        plan.log("show/{federation}/{method}"),
    wildcard_constraints:
        federation=plan.where_shown,
    conda:
        "../../environment.yml"
    threads: plan.threads(workflow.resource_settings.cores)
    resources:
        gpu=1,
        device=plan.config.device,
    params:
        settings=lambda wildcards: plan.training(wildcards.federation, wildcards.method),
        cases=lambda wildcards: plan.chosen(wildcards.federation),
    message:
        "Predict the shown cases of {wildcards.federation} with {wildcards.method}"
    shell:
        "python -m benchmark.device -- python -m benchmark.evaluation.show {input.comparison}"
        " --settings {params.settings:q} --method {input.method} --pack $(dirname {input.test})"
        " --backbone $(dirname {input.backbone}) --output {output} --device {resources.device} > {log} 2>&1"


# In place of training, selection and test for rows that may be taken from the reference. Where one was made from other images or
# weights, which is known once both are here, this job trains it. The archive is no input: a rule makes it, from rows such
# as this one.
rule baseline:
    input:
        method=lambda wildcards: plan.method_file(wildcards.method),
        pack=plan.packed("manifest.json"),
        backbone=f"{plan.backbone}/backbone.json",
        code=plan.of_model("benchmark.baselines.take"),
    output:
        plan.row_files,
    log:
        plan.log("baseline/{federation}/{method}"),
    wildcard_constraints:
        federation=plan.where_referenced,
    conda:
        "../../environment.yml"
    threads: plan.threads(workflow.resource_settings.cores) * plan.config.threads
    resources:
        gpu=1,
        running=plan.running,
    params:
        archive=lambda wildcards: plan.kept.format(**wildcards),
        sha256=lambda wildcards: plan.baselines.archive(**wildcards),
        settings=lambda wildcards: plan.training(wildcards.federation, wildcards.method),
        last_rounds=plan.config.selection.last_rounds,
        results=lambda wildcards: plan.results,
    message:
        "Take {wildcards.method} on {wildcards.federation} from the reference, or train it; progress in {log}"
    shell:
        "python -m benchmark.device -- python -m benchmark.baselines.take --archive {params.archive} --files {output}"
        " --settings {params.settings:q} --running {resources.running:q} --method {input.method}"
        " --pack $(dirname {input.pack}) --backbone $(dirname {input.backbone}) --store results/store"
        " --results {params.results} --last-rounds {params.last_rounds} > {log} 2>&1"
