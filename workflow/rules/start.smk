# What Snakemake calls before the first job and after the last one. No rules.

import time
from functools import partial

from evo2_embed.config.context import beyond_training
from evo2_embed.plan.advice import MUCH_OVERLAP, overlap_lines
from evo2_embed.run.frozen import differs, freeze
from evo2_embed.run.older import older_lines
from evo2_embed.run.status import saved_work
from snakemake_logger_plugin_evo2_embed import EVENTS

STARTED = time.time()
# The SLURM plugin removes these variables from the environment of a Snakemake in an allocation, and
# with them the place of the cluster's configuration.
STARTED_IN = {name: value for name, value in os.environ.items() if name.startswith("SLURM_")}
# A workflow that imports this one may give its rules other names.
CHUNK_FASTA = workflow.modifier.modify_rulename("chunk_fasta")


def run_first(function):
    """Have Snakemake call a function before the first job.

    `onstart` is for the main Snakefile only. A workflow that imports this one, as a module or by
    `include`, has its own `onstart`, and it is called afterwards.
    """
    first = workflow.__dict__.setdefault("run_first", {})
    first[function.__name__] = function  # a module may be read several times

    def call(workflow, log):
        for each in workflow.__dict__.get("run_first", {}).values():
            each()
        workflow.__dict__["_onstart"](log)

    # Snakemake sets its attribute after this file is read, so a property is found before it.
    type(workflow)._onstart = property(
        lambda workflow: partial(call, workflow),
        lambda workflow, given: workflow.__dict__.update(_onstart=given),
    )


def prepare_slurm(executor):
    """Fit the run to the cluster, or stop it; warn if it is itself a job of the cluster."""
    import slurm_watch

    os.environ.update({name: path for name, path in STARTED_IN.items() if name == "SLURM_CONF"})
    warning = slurm_watch.allocation_warning(STARTED_IN, executor)
    if warning:
        print(f"warning: {warning}", file=sys.stderr)
    if executor == "slurm":
        import snakemake_executor_plugin_slurm as plugin

        jobs = workflow.dag.needrun_jobs()
        problem = slurm_watch.prepare(plugin, workflow.executor_settings, jobs)
        if problem:
            sys.exit(f"slurm error: {problem}")


def prepare_run():
    """Before the first job: prepare SLURM, print warnings, freeze settings and plan."""
    if workflow.executor_plugin.name == "slurm" or "SLURM_JOB_ID" in STARTED_IN:
        prepare_slurm(workflow.executor_plugin.name)
    if RerunTrigger.PARAMS not in workflow.rerun_triggers and differs(RUN, RUN_CONFIG):
        sys.exit(
            "config error: the settings changed since the last run, and without the trigger `params` "
            "results of the earlier settings would be kept: run without --rerun-triggers"
        )
    look_at_all_genomes(workflow.scheduler)
    for line in older_lines(RUN, RESULTS):
        print(line, file=sys.stderr)
    genomes = [genome for bundle in RUN.bundles.values() for genome in bundle.genomes]
    whole = SETTINGS.regions.rows == "window"
    tiled = any(not g.has_variants and (whole or not g.regions) for g in genomes)
    for line in beyond_training(SETTINGS) + overlap_lines(SETTINGS, tiled, MUCH_OVERLAP):
        print(f"warning: {line}", file=sys.stderr)
    freeze(RUN, RUN_CONFIG)


def look_at_all_genomes(scheduler):
    """Let Snakemake stop only after all genomes were looked at, so that all bad ones are named."""
    chosen = scheduler.keepgoing

    def keep_going(scheduler):
        if chosen or not any(job.name == CHUNK_FASTA for job in scheduler.failed):
            return chosen
        return any(job.name == CHUNK_FASTA for job in scheduler.remaining_jobs)

    type(scheduler).keepgoing = property(keep_going)


def point_to_results():
    """Print where the results are, if this run wrote the report and `make run` does not."""
    if EVENTS in os.environ:
        return
    page = Path("results/report.html")
    if page.exists() and page.stat().st_mtime >= STARTED:
        print(f"datasets: results/embeddings/, report: {page}, numbers: results/summary.txt")


def explain_end():
    """After a run that did not end well: say what is kept, and whether a job failed at all."""
    saved = saved_work(RESULTS)
    if saved:
        print(
            f"saved work of embedding jobs is kept ({saved}): run again to continue",
            file=sys.stderr,
        )
    if not workflow.scheduler.failed:
        sys.exit("stopped by a signal; no job failed: run again to continue")
