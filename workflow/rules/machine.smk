# Is the software what it should be, are local weights whole, is there room? Once for each model,
# before its weights are fetched and the first job runs it.
#
# in:  the local checkpoint, if the configuration names one
# out: results/machine/{model}.json
#      keys: checks (what, state, text of each)


rule check_machine:
    """See that what {params.model[name]} needs is here, as far as one can without a GPU."""
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
        # No more than fetch_model has: a change of these redoes all that was made with the model.
        model=model_of_record,
        directory=SETTINGS.model_directory,
    script:
        "../scripts/check_machine.py"
