"""The library behind the workflow's scripts. It knows nothing of Snakemake.

The packages follow the data. A package imports only from packages above it::

    io          files, tables, digests, locks, logs
    settings    the keys of the configuration: types, bounds, defaults, descriptions
    genomes     the sample sheet and FASTA files: index, lines, bases
    chunk       FASTA -> chunk table: windows, stretches, measures
    pack        chunk table + FASTA -> pack files
    model       layers and limits of models; weights; loading
    engine      packs -> token embeddings: packed and stock
    embed       pack file -> the embeddings of a shard: pooling, saved work, GPUs
    dataset     shards -> datasets; reading datasets
    reader      datasets -> notebooks and scripts
    analysis    datasets -> compare, burn_in, fusion, probes, heads
    finetune    pack files -> a training set
    export      datasets -> files for other programs
    config      a configuration, completed and checked
    plan        what a run will make and cost: jobs, time, memory, disk
    run         the frozen settings of a run, and its progress
    doctor      checks of a machine
    report      the report page and the summary
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from evo2_embed.reader.embeddings import Embeddings

__version__ = "0.1.0"

# In the order of the data.
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
    "reader",
    "analysis",
    "finetune",
    "export",
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
    "genomes": 1,
    "pack": 3,
    "embed": 3,
    "aggregate": 2,
    "variants": 1,
    "fuse": 3,
    "compare": 1,
    "burn_in": 1,
    "probe": 1,
    "heads": 1,
    "tracks": 1,
    "export": 2,
    "formats": 1,
    "report": 3,
}


def open(
    path: "str | Path", extraction: str | None = None, layer: str | None = None
) -> "Embeddings":
    """Open a dataset to read it, see `reader.embeddings.Embeddings`.

    Parameters
    ----------
    path : path
        The folder `results` of a run, the folder of an extraction, or the folder or the record
        (`.json`) of a dataset. `results/variants` has the datasets of variants.
    extraction : str, optional
        Name of the extraction. Not needed if there is only one.
    layer : str, optional
        Name of a layer, a fusion or a head, or `scores`. Not needed if there is only one layer or
        fusion.

    Examples
    --------
    ::

        ds = evo2_embed.open("results", "default", "blocks.26")
        ds = evo2_embed.open("results/embeddings/default/blocks.26")

    Raises
    ------
    InputError
        One line: what is not there, and what is; or which files are missing, damaged or of another
        size.
    """
    # Only here: `import evo2_embed` imports nothing.
    from evo2_embed.reader.embeddings import Embeddings

    return Embeddings.open(path, extraction, layer)
