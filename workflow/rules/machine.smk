# Checks before a model's weights are fetched and its first job starts: installed software, the file
# of local weights, free disk space.
#
# in:  the local checkpoint, if the configuration names one
# out: results/machine/{model}.json
#      keys: checks (what, state, text of each)


rule check_machine:
    """Check what {params.model[name]} needs, as far as this is possible without a GPU."""
    input:
        checkpoint=local_checkpoint,
    output:
        record="results/machine/{model}.json",
    log:
        "logs/check_machine/{model}.log",
    benchmark:
        "benchmarks/check_machine/{model}.tsv"
    priority: 40
    conda:
        "../../envs/gpu.yaml"
    resources:
        mem_mb=1000,
    params:
        model=model_of_record,
        directory=model_directory,
    script:
        "../scripts/check_machine.py"
