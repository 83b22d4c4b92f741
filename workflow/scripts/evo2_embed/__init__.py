"""The library behind the workflow's scripts. It knows nothing of Snakemake.

The way of the data, one module a step::

    config, schema, contexts, sheet, plan, run   what to run (light: parsing imports it)
    runs, cost/, footprint           what it will make, and what that takes: time, memory, disk
    status, status_text              how far a run is
    gpus, fitness/                   a GPU of one's own; is this machine fit?
    layout, indexing, fasta          FASTA files: their index, and their bases
    reading                          the same in blocks, for plain files
    stretches, windows, measuring, chunks    FASTA -> chunk table
    fitting, sequences, packrows, packing    chunk table + FASTA -> pack files
    packs                            pack files, for those who read them
    checkpoint, loading, host        a checkpoint on disk -> a model on a device
    engines/, pieces, pooling, rows  packs -> token embeddings -> rows
    embed, passes, overlap           pack file -> embeddings of one shard
    store, lock, stop, watchdog      a shard in the making: safe from kills, orphans and hangs
    shards, merge, parts, aggregate  shards -> the dataset of a layer
    levels, manifest                 what is written beside it
    compare/                         the layers of an extraction, without labels
    burn_in/                         what context does to its embeddings
    fusion/                          layers, or strands, joined into one dataset
    finetune/                        pack files -> a training set
    tables, seals, files, digests    what is written is whole, or says that it is not
    probes/                          labels -> which layer tells them apart
    summary, sampling, report/, text         what a person looks at
"""

__version__ = "0.1.0"

# Raised, one stage at a time, when a change to the code changes that stage's results: it stands in
# the params of the stage's rule, so Snakemake reruns the stage and what is below it. An edit that
# changes no result, nor the form of its file, does not raise it.
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
