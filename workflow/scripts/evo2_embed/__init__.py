"""The library behind the workflow's scripts. It knows nothing of Snakemake.

The packages follow the data. A package imports from those above it, never from those below::

    io          files, tables, digests, locks, logs
    settings    the keys of the configuration: types, bounds, defaults, descriptions
    genomes     the sample sheet and FASTA files: index, lines, bases
    chunk       FASTA -> chunk table: windows, stretches, measures
    pack        chunk table + FASTA -> pack files
    model       a model's layers and limits; a checkpoint on disk -> a model on a device
    engine      packs -> token embeddings, on PyTorch and the stock package
    embed       pack file -> the embeddings of one shard, safe from kills and hangs
    dataset     shards -> the dataset of a layer
    analysis    datasets -> compare, burn_in, fusion, probes
    finetune    pack files -> a training set
    config      the configuration, completed and checked
    plan        what a run will make, and what that takes: time, memory, disk
    run         the frozen settings of a run, and how far it is
    doctor      checks of a machine
    report      what a person looks at
"""

__version__ = "0.1.0"

# In the order in which they may import one another.
PACKAGES = (
    "io",
    "settings",
    "genomes",
    "chunk",
    "pack",
    "model",
    "engine",
    "embed",
    "dataset",
    "analysis",
    "finetune",
    "config",
    "plan",
    "run",
    "doctor",
    "report",
)

# Raised per stage if a change of the code changes the results of that stage. It is in the params of
# the stage's rule, so Snakemake reruns the stage and everything after it. An edit that changes
# neither a result nor the format of its file does not raise it.
CODE_VERSIONS = {
    "chunk": 3,
    "pack": 3,
    "embed": 3,
    "aggregate": 2,
    "fuse": 2,
    "compare": 1,
    "burn_in": 1,
    "probe": 1,
    "export": 2,
    "report": 1,
}
