"""The labels held against the windows of a run, before anything is embedded."""

import numpy as np
import polars as pl
import pyarrow as pa

from evo2_embed.analysis.probes.design import KEYS, made_with, plan_probe
from evo2_embed.analysis.probes.formats import some_of
from evo2_embed.analysis.probes.labels import read_labels
from evo2_embed.dataset.dataset import to_polars
from evo2_embed.embed.rows import contig_ranks, locate_rows
from evo2_embed.genomes.fasta import fasta_index, index_folder, open_fasta, short
from evo2_embed.genomes.sample_sheet import Genome
from evo2_embed.io.errors import InputError
from evo2_embed.io.files import write_json
from evo2_embed.io.logs import log
from evo2_embed.io.tables import CHUNKS, open_table


def check_labels(
    chunks: list[str],
    bundles: list[list[Genome]],
    settings: dict,
    indexes: str,
    output: str,
) -> dict:
    """See that an extraction's rows can be labelled and divided, and write what came of it.

    Parameters
    ----------
    chunks : list of str
        Chunk tables of all bundles.
    bundles : list of list of Genome
    settings : dict
        `probe`, the section; `pooling`, the extraction's; `code`.
    indexes : str
        Folder with the indexes of genomes that stand alone.
    output : str
        JSON file: what `Plan.describe` says.

    Raises
    ------
    InputError
        When the labels name contigs that no genome has, or rows cannot be labelled or divided.
    """
    probe = settings["probe"]
    genomes = [genome.name for bundle in bundles for genome in bundle]
    tables = [open_table(path, CHUNKS).read(columns=KEYS) for path in chunks]
    windows = to_polars(pa.concat_tables(tables))
    _check_contigs(windows, bundles, probe, indexes)
    plan = plan_probe(rows_of_chunks(windows, settings["pooling"]), probe, genomes)
    described = plan.describe(probe["gap"])
    log.info("%s", described)
    write_json(output, {**described, **made_with(settings)})
    return described


def rows_of_chunks(windows: pl.DataFrame, pooling: str | dict) -> pl.DataFrame:
    """Keys of the rows that chunks will have, in the order of a dataset.

    Parameters
    ----------
    windows : DataFrame
        Keys of the chunks, in their order.
    pooling : str or dict
    """
    if not isinstance(pooling, dict):
        return windows
    columns = {name: windows[name].to_numpy() for name in KEYS}
    rows = locate_rows(columns["start"], columns["end"], columns["strand"], pooling)
    owner = rows["chunk"]
    rank = contig_ranks(columns["genome"], columns["contig"])[owner]
    strand = columns["strand"].astype("U1")[owner]
    order = np.lexsort((owner, strand, rows["start"], rank))
    keys = windows.select("genome", "contig", "strand")[owner[order]]
    spans = {name: pl.Series(rows[name][order]) for name in ("start", "end")}
    return keys.with_columns(**spans).select(KEYS)


def _check_contigs(
    windows: pl.DataFrame, bundles: list[list[Genome]], probe: dict, indexes: str
) -> None:
    """See that a genome has each contig of the labels; those that are skipped count as well."""
    labels = read_labels(probe)
    asked = pl.DataFrame({"contig": labels.contig})
    by = ["contig"]
    if labels.genome:
        asked, by = asked.with_columns(genome=pl.Series(labels.genome)), ["genome", "contig"]
    asked = asked.select(by).unique(maintain_order=True)
    unknown = asked.join(windows.select(by).unique(), on=by, how="anti", maintain_order="left")
    if len(unknown):
        unknown = unknown.join(_contigs(bundles, indexes), on=by, how="anti", maintain_order="left")
    if len(unknown):
        first = unknown.row(0, named=True)
        genome = f" of genome '{first['genome']}'" if "genome" in first else ""
        there = windows
        if "genome" in first:
            there = windows.filter(pl.col("genome") == first["genome"])
        names = map(short, there["contig"].unique(maintain_order=True).to_list())
        raise InputError(
            f"probe.labels: {probe['labels']}: {len(unknown):,} of its {len(asked):,} contigs are "
            f"in no FASTA file; the first is '{short(first['contig'])}'{genome} (there are: "
            f"{some_of(list(names))})"
        )


def _contigs(bundles: list[list[Genome]], indexes: str) -> pl.DataFrame:
    """genome and contig of every FASTA record, those without windows too."""
    names = {"genome": [], "contig": []}
    for genomes in bundles:
        with index_folder(indexes, len(genomes)) as folder:
            for genome in genomes:
                with open_fasta(genome.fasta, fasta_index(folder, genome.name)) as fasta:
                    names["contig"] += list(fasta.faidx.index)
                names["genome"] += [genome.name] * (len(names["contig"]) - len(names["genome"]))
    return pl.DataFrame(names)
