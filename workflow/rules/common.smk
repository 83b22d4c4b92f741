# What the rules share: the run, the files that its jobs make, and its wildcards. No rules.
#
# A run checks its configuration and plans its jobs once, when it starts, and freezes both in
# results/run_config.yaml. A cluster job parses the workflow again and reads them there, so an edit
# of the configuration during a run has no effect until the next run.

import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

from snakemake.sourcecache import HostingProviderFile, LocalGitFile


def find_scripts():
    """Folder of the scripts and the library, beside the one with this file.

    A workflow that another one imports may be a commit in a git repository, not a folder. Snakemake
    reads single files of it; the library has to be a folder, so the commit is copied to one.
    """
    here = workflow.current_basedir
    if isinstance(here, LocalGitFile):
        repository = here.repo_path
    elif isinstance(here, HostingProviderFile):
        repository = here.hosted_repo.repo_clone
    else:
        return Path(here.get_path_or_uri(secret_free=True)).parent / "scripts"
    git = ["git", "-C", str(repository)]
    commit = subprocess.check_output([*git, "rev-parse", f"{here.ref}^{{commit}}"], text=True)
    folder = Path(".snakemake", "evo2-embed", commit.strip()).absolute()
    if not folder.exists():
        new = folder.with_name(f"{folder.name}.{os.getpid()}")
        new.mkdir(parents=True)
        files = subprocess.check_output([*git, "archive", commit.strip()])
        subprocess.run(["tar", "-x", "-C", str(new)], input=files, check=True)
        try:
            new.rename(folder)
        except OSError:
            if not folder.exists():  # another process was first
                raise
    scripts = folder / "workflow" / "scripts"
    # Snakemake runs copies of the scripts, which do not lie beside the library.
    variables = os.environ
    paths = [str(scripts), *filter(None, [variables.get("PYTHONPATH")])]
    variables["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(paths))
    return scripts


sys.path.insert(0, str(find_scripts()))

from evo2_embed.config.read import read_yaml
from evo2_embed.export.packages import package_faults
from evo2_embed.io.errors import InputError
from evo2_embed.io.remote import COPIES, address_of
from evo2_embed.io.text import fault_lines
from evo2_embed.model.weights import is_recorded
from evo2_embed.plan.rules import ALL_LAYERS
from evo2_embed.run.finished import FinishedBundles
from evo2_embed.run.frozen import INDEXES, RUN_CONFIG, load_frozen, plan_run
from evo2_embed.run.older import older_faults
from evo2_embed.run.params import control_bundles, rule_params
from evo2_embed.run.record_files import has_lost_files, has_new_parts, lost_bundles
from evo2_embed.run.repaired import repaired_bundles
from evo2_embed.settings.extraction import SCORES
from snakemake.settings.types import DeploymentMethod, RerunTrigger

if workflow.modifier.path_modifier.replace_prefix("results/", None) != "results/":
    sys.exit(
        "config error: a module with a prefix: jobs find their files in results/ of the folder in "
        "which Snakemake runs; leave out `prefix`, or run this workflow in a folder of its own"
    )

CONFIG = "config/config.yaml"


def checked(function, *arguments):
    """What a function returns. If it raises an error, each fault is one line on stderr."""
    try:
        return function(*arguments)
    except InputError as error:
        sys.exit(fault_lines("config error", error))


# Before Snakemake reads the file: it would run code in it, and take the last of two equal keys.
# Files of --configfile have been read before the workflow is; they are refused nevertheless.
if workflow.is_main_process:
    for file in workflow.configfiles:
        checked(read_yaml, file)
    if Path(CONFIG).exists() and not workflow.modifier.skip_configfile:
        checked(read_yaml, CONFIG)


configfile: CONFIG


RESULTS = Path(RUN_CONFIG).parent


def load_run():
    """Settings and bundles of the run."""
    if not workflow.is_main_process:
        return load_frozen(RUN_CONFIG)
    return checked(planned_run)


def planned_run():
    """The run of the configuration; an error if it would lose datasets of an earlier version, or
    needs packages that its jobs would not find."""
    run = plan_run(config)
    faults = older_faults(run, RESULTS)
    if DeploymentMethod.CONDA not in workflow.deployment_settings.deployment_method:
        faults = [*faults, *package_faults(run.settings)]
    if faults:
        raise InputError("\n".join(faults))
    return run


RUN = load_run()
REPAIRED = checked(repaired_bundles, RUN, RESULTS) if workflow.is_main_process else set()
SETTINGS = RUN.settings
EXTRACTIONS = SETTINGS.extractions
GENOMES = RUN.genome_names
FUSIONS = {name for extraction in EXTRACTIONS.values() for name in extraction.fusion}
HEADS = {name for extraction in EXTRACTIONS.values() for name in extraction.heads}
NOTHING = r"(?!)"  # a pattern that nothing matches
LAYER = r"embedding_layer|norm|blocks\.\d+[A-Za-z0-9_.]*"
DATASET = "|".join([LAYER, *map(re.escape, sorted(FUSIONS))])

# A job does not run again because its script's file is new, as in a fresh copy of the workflow: the
# parameters of each rule have a version of its code. The profiles say so too; this holds without
# them. Snakemake sets its own value after it has read this file, so a property replaces it.
type(workflow).rerun_triggers = property(
    lambda workflow: workflow.dag_settings.rerun_triggers - {RerunTrigger.CODE}
)


wildcard_constraints:
    bundle=r"[A-Za-z0-9][A-Za-z0-9._-]*",
    shard=r"\d{5}",
    extraction=r"[A-Za-z0-9][A-Za-z0-9_-]*",
    layer=LAYER,
    layers=rf"{ALL_LAYERS}|{LAYER}",
    # Those of the configuration.
    fusion="|".join(map(re.escape, sorted(FUSIONS))) or NOTHING,
    head="|".join(map(re.escape, sorted([*HEADS, SCORES]))),
    source=DATASET,
    dataset=DATASET,


def made_by(rule, *outputs):
    """An input function: what a rule makes, for the values of wildcards that both rules have.

    With names of outputs, only these.
    """

    def files(wildcards):
        return [
            f"results/{path}"
            for job in RUN.jobs(rule, **dict(wildcards.items()))
            for name, path in job.outputs.items()
            if name in outputs or not outputs
        ]

    return files


@cache
def rule_param(rule, name, *wildcards):
    """A parameter of a rule, see `evo2_embed.run.params`."""
    return rule_params(RUN, rule, *wildcards)[name]


def param_of(rule, name="settings"):
    """A function for `params`: what the results of a rule depend on, except files."""

    def value(wildcards):
        names = ("extraction", "fusion", "bundle", "head")
        return rule_param(rule, name, *(wildcards.get(key) for key in names))

    return value


def whole(record, files):
    """An input function: that which is given. The job runs again if files that its finished record
    names are lost: Snakemake knows of the record only, since the number of part files is not known
    before."""

    def given(wildcards):
        path = record.format_map(dict(wildcards.items()))
        if workflow.is_main_process and has_lost_files(path):
            workflow.dag.forcefiles.add(path)
        return files(wildcards)

    return given


def joined(rule, record):
    """An input function: the records of the bundles that a dataset is joined from. Bundles of which
    the dataset lost part files are made again. The job runs again for part files that it did not
    move yet: if a bundle was made again with an equal record, Snakemake sees no change."""

    def given(wildcards):
        path = record.format_map(dict(wildcards.items()))
        records = made_by(rule, "record")(wildcards)
        if workflow.is_main_process:
            again = lost_bundles(path, records)
            workflow.dag.forcefiles.update(again)
            if again or has_lost_files(path) or has_new_parts(records, path):
                workflow.dag.forcefiles.add(path)
        return records

    return given


def aggregated_here():
    """A pattern for the extractions whose bundles may be aggregated. It looks at the bundle that
    follows in the path: bundles are left out that are finished, and whose pack files or shards are
    gone.

    Without a rule that makes it, the record of a bundle is taken as it is. Else Snakemake would embed
    the bundle again as soon as another extraction makes the same pack files.
    """
    if not workflow.is_main_process:
        return r"[A-Za-z0-9][A-Za-z0-9_-]*"
    finished, patterns = FinishedBundles(RUN, RESULTS), []
    for name in EXTRACTIONS:
        gone = set(finished.without_shards(name)) - REPAIRED
        rest = [bundle for bundle in RUN.bundles if bundle not in gone]
        sign, some = ("!", gone) if len(gone) < len(rest) else ("=", rest)
        patterns.append(f"{re.escape(name)}(?{sign}/(?:{'|'.join(map(re.escape, some))})/)")
    return "|".join(patterns)


AGGREGATED = aggregated_here()


def bundle_files(wildcards):
    """FASTA files of a bundle, and its files of regions and variants."""
    genomes = RUN.bundles[wildcards.bundle].genomes
    return [file for genome in genomes for file in genome.files]


def bundle_genomes(wildcards):
    """Rows of the sample sheet that are in a bundle."""
    genomes = RUN.bundles[wildcards.bundle].genomes
    return [genome.row for genome in genomes]


def bundle_layers(wildcards):
    """Layers of a job that aggregates a bundle."""
    every = wildcards.layers == ALL_LAYERS
    return EXTRACTIONS[wildcards.extraction].layers if every else [wildcards.layers]


def layer_bundles(wildcards, layers):
    """Records of a bundle with these layers."""
    jobs = RUN.jobs("aggregate_bundle", extraction=wildcards.extraction, bundle=wildcards.bundle)
    return [
        f"results/{job.outputs['record']}"
        for job in jobs
        if job.wildcards["layers"] in (ALL_LAYERS, *layers)
    ]


def bundle_allele_layers(wildcards):
    """Layers of a job that compares the alleles of a bundle."""
    every = wildcards.layers == ALL_LAYERS
    return EXTRACTIONS[wildcards.extraction].allele_layers if every else [wildcards.layers]


def bundle_names(wildcards):
    """Bundles in the order of the sheet, which is the order of the rows."""
    return list(RUN.bundles)


def shard_counts(wildcards):
    """Number of shards per bundle, in the order of the sheet."""
    return [bundle.n_shards for bundle in RUN.bundles.values()]


def layer_names(wildcards):
    """Layers of an extraction, in the order of the configuration."""
    return EXTRACTIONS[wildcards.extraction].layers


def model_directory(wildcards):
    """Folder of downloaded weights. A function, because it may have braces in its name."""
    return SETTINGS.model_directory


def model_of_record(wildcards):
    """Name and checkpoint of a model."""
    return RUN.models[wildcards.model].to_dict()


def local_checkpoint(wildcards):
    """The file with the weights, if the configuration names one."""
    weights = RUN.models[wildcards.model].checkpoint
    return [] if weights is None else [weights]


def model_record(wildcards):
    """Record of the weights that an extraction uses."""
    return f"results/models/{RUN.model_keys[wildcards.extraction]}.json"


def models_to_record():
    """A pattern for the models whose weights have no valid record yet.

    Without a rule that makes it, a record is not written again, and nothing is embedded again, when
    the weights only moved. A cluster job does not decide this.
    """
    keys = [
        re.escape(key)
        for key, model in RUN.models.items()
        if not (workflow.is_main_process and is_recorded(model, f"results/models/{key}.json"))
    ]
    return "|".join(keys) or NOTHING
