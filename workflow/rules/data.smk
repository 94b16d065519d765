# What training needs: the images of every dataset, packed, and the backbone.


rule download:
    input:
        code=lambda wildcards: plan.sources(
            "benchmark.data.prepare",
            dataset=plan.dataset(plan.folders[wildcards.folder]),
        ),
    output:
        f"{plan.config.data_root}/{{folder}}/source.json",
    log:
        "logs/download/{folder}.log",
    conda:
        "../../environment.yml"
    threads: plan.threads(workflow.resource_settings.cores)
    resources:
        # Like a device, the way to the data decides no result and reruns nothing.
        access=lambda wildcards: plan.access(wildcards.folder),
    params:
        dataset=lambda wildcards: plan.dataset(plan.folders[wildcards.folder]),
        settings=lambda wildcards: plan.preparation(wildcards.folder),
    message:
        "Bring {wildcards.folder}; progress in {log}"
    shell:
        "python -m benchmark.data.prepare --dataset {params.dataset} --settings {params.settings:q} "
        "--access {resources.access:q} --folder $(dirname {output}) --output {output} "
        "> {log} 2>&1"


rule pack:
    input:
        source=lambda wildcards: f"{plan.config.data_root}/{plan.data_folder(plan.packs[wildcards.pack])}/source.json",
        code=lambda wildcards: plan.sources(
            "benchmark.data.pack",
            dataset=plan.dataset(plan.packs[wildcards.pack]),
            tasks=[plan.task(plan.packs[wildcards.pack])],
        ),
    output:
        multiext(
            "results/packs/{pack}/",
            *plan.pack_files,
            "manifest.json",
        ),
    log:
        "logs/pack/{pack}.log",
    conda:
        "../../environment.yml"
    threads: plan.threads(workflow.resource_settings.cores)
    params:
        settings=lambda wildcards: plan.packing(wildcards.pack),
    message:
        "Pack {wildcards.pack}; progress in {log}"
    shell:
        "python -m benchmark.data.pack --settings {params.settings:q} --source {input.source} "
        "--output results/packs/{wildcards.pack} > {log} 2>&1"


rule backbone:
    input:
        code=plan.sources("benchmark.models.fetch", *plan.fetching_modules),
        own=plan.own_weights,
    output:
        weights=f"{plan.backbone}/model.safetensors",
        about=f"{plan.backbone}/backbone.json",
    log:
        "logs/backbone.log",
    conda:
        "../../environment.yml"
    threads: plan.threads(workflow.resource_settings.cores)
    params:
        settings=plan.fetching(),
    message:
        "Bring the backbone; progress in {log}"
    shell:
        "python -m benchmark.models.fetch --settings {params.settings:q} --output $(dirname {output.weights}) > {log} 2>&1"
