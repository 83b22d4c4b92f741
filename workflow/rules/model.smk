# Weights: bundled, local, or downloaded once.
#
# in:  the local checkpoint, if the configuration names one; results/machine/{model}.json
# out: results/models/{model}.json
#      keys: name, sha256
#      {model_directory}/{name}.pt, if it was downloaded


rule fetch_model:
    """Find or download the weights of {params.model[name]}, and record their digest."""
    input:
        checkpoint=local_checkpoint,
        machine="results/machine/{model}.json",
    output:
        record="results/models/{model}.json",
    log:
        "logs/fetch_model/{model}.log",
    benchmark:
        "benchmarks/fetch_model/{model}.tsv"
    wildcard_constraints:
        model=models_to_record(),
    priority: 30
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=2000,
    params:
        model=model_of_record,
        directory=model_directory,
    script:
        "../scripts/fetch_model.py"
