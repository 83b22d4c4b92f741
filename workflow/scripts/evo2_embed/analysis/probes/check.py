"""The labels, checked against the windows of a run before anything is embedded."""

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from evo2_embed.analysis.probes.design import KEYS, design_probe
from evo2_embed.analysis.probes.labels import read_labels
from evo2_embed.analysis.probes.origin import made_from
from evo2_embed.dataset.dataset import to_polars
from evo2_embed.embed.rows import contig_ranks, locate_rows, skipped_tokens
from evo2_embed.genomes.fasta import fasta_index, index_folder, open_fasta
from evo2_embed.genomes.sample_sheet import Genome
from evo2_embed.io.errors import InputError
from evo2_embed.io.files import write_json
from evo2_embed.io.logs import log
from evo2_embed.io.parts import Parts
from evo2_embed.io.tables import CHUNKS, open_table, table_metadata
from evo2_embed.io.text import shown, some_of
from evo2_embed.settings.analyses import Probe
from evo2_embed.settings.extraction import bin_of


def check_labels(
    chunks: list[str],
    bundles: list[list[Genome]],
    probe: Probe,
    pooling: str | dict,
    code: int,
    indexes: str,
    output: str,
    skip_first: int = 0,
) -> dict:
    """Check that the rows of an extraction can be labelled and assigned to folds.

    Parameters
    ----------
    chunks : list of str
        Chunk tables of all bundles.
    bundles : list of list of Genome
    probe : Probe
        Complete settings.
    pooling : str or dict
        Pooling of the extraction.
    code : int
        Version of the code, for the record.
    indexes : str
        Folder that keeps FASTA indexes (`fasta.index_folder`).
    output : str
        JSON file to write: `Design.describe`, the settings, the digest of the labels.
    skip_first : int
        Bases at the start of a stretch that the extraction does not pool.

    Raises
    ------
    InputError
        If the labels name contigs that no genome has, or the rows do not allow a probe.
    """
    genomes = [genome.name for bundle in bundles for genome in bundle]
    columns = [*KEYS, "parts", *(["context"] if skip_first else [])]
    files = [open_table(path, CHUNKS) for path in chunks]
    table = pa.concat_tables([file.read(columns=columns) for file in files])
    windows = to_polars(table.drop_columns(["parts"]))
    _check_parts(windows, Parts.from_arrow(table["parts"]))
    usable = _usable(bundles, files)
    _check_contigs(windows, usable, len(usable) < len(genomes), probe, indexes)
    design = design_probe(rows_of_chunks(windows, pooling, skip_first), probe, genomes)
    described = design.describe(probe.gap)
    rows = {"pooling": pooling, **({"skip_first": skip_first} if skip_first else {})}
    log.info("%s", described)
    write_json(output, {**described, **made_from(code, probe, **rows)})
    return described


def rows_of_chunks(windows: pl.DataFrame, pooling: str | dict, skip_first: int = 0) -> pl.DataFrame:
    """Keys of the rows that chunks will have, in the order of a dataset.

    Parameters
    ----------
    windows : DataFrame
        Keys of the chunks, in their order; for `skip_first` also `context`.
    pooling : str or dict
    skip_first : int
    """
    if not bin_of(pooling):
        return windows.select(KEYS)
    columns = {name: windows[name].to_numpy() for name in windows.columns}
    lengths = columns["end"] - columns["start"]
    skipped = skip_first and skipped_tokens(lengths, columns["context"], skip_first)
    rows = locate_rows({**columns, "parts": Parts.none(len(windows))}, pooling, skipped)
    owner = rows["chunk"]
    rank = contig_ranks(columns["genome"], columns["contig"])[owner]
    strand = columns["strand"].astype("U1")[owner]
    order = np.lexsort((owner, strand, rows["start"], rank))
    keys = windows.select("genome", "contig", "strand")[owner[order]]
    spans = {name: pl.Series(rows[name][order]) for name in ("start", "end")}
    return keys.with_columns(**spans).select(KEYS)


def _check_parts(windows: pl.DataFrame, parts: Parts) -> None:
    """Check that each window is one interval, as labels are."""
    several = np.flatnonzero(parts.counts > 1)
    if not len(several):
        return
    first = windows.row(int(several[0]), named=True)
    raise InputError(
        f"probe: {len(several):,} windows have several parts (spliced, or over the origin of a "
        f"circular contig) and cannot be labelled by intervals; the first is on "
        f"'{shown(first['contig'])}' of {first['genome']}, bases {first['start']} to "
        f"{first['end']} (leave these regions out, or the section probe)"
    )


def _usable(bundles: list[list[Genome]], files: list[pq.ParquetFile]) -> dict[str, Genome]:
    """Genomes that no job left out, by name."""
    metadata = [table_metadata(file) for file in files]
    names = {entry["genome"] for table in metadata for entry in table["inputs"]}
    names -= {name for table in metadata for name in table.get("skipped", {})}
    return {genome.name: genome for mine in bundles for genome in mine if genome.name in names}


def _check_contigs(
    windows: pl.DataFrame,
    usable: dict[str, Genome],
    some_left_out: bool,
    probe: Probe,
    indexes: str,
) -> None:
    """Check that the FASTA files have every contig of the labels, if only without windows. Contigs
    of genomes that are left out are not known."""
    labels = read_labels(probe)
    asked = pl.DataFrame({"contig": labels.contig})
    by = ["contig"]
    if labels.genome:
        asked, by = asked.with_columns(genome=pl.Series(labels.genome)), ["genome", "contig"]
        asked = asked.filter(pl.col("genome").is_in(list(usable)))
    elif some_left_out:
        return
    asked = asked.select(by).unique(maintain_order=True)
    unknown = asked.join(windows.select(by).unique(), on=by, how="anti", maintain_order="left")
    if len(unknown):
        unknown = unknown.join(_contigs(usable, indexes), on=by, how="anti", maintain_order="left")
    if len(unknown):
        first = unknown.row(0, named=True)
        genome = f" of genome '{shown(first['genome'])}'" if "genome" in first else ""
        known = windows
        if "genome" in first:
            known = windows.filter(pl.col("genome") == first["genome"])
        names = known["contig"].unique(maintain_order=True).to_list()
        raise InputError(
            f"probe.labels: {probe.labels}: {len(unknown):,} of its {len(asked):,} contigs are in "
            f"no FASTA file; the first is '{shown(first['contig'])}'{genome} (known contigs: "
            f"{some_of(names)})"
        )


def _contigs(usable: dict[str, Genome], indexes: str) -> pl.DataFrame:
    """genome and contig of every FASTA record, with windows or without."""
    names = {"genome": [], "contig": []}
    with index_folder(indexes, len(usable)) as folder:
        for name, genome in usable.items():
            index, full_names = fasta_index(folder, name), genome.full_names
            with open_fasta(genome.fasta, index, full_names=full_names) as fasta:
                names["contig"] += list(fasta.index)
            names["genome"] += [name] * (len(names["contig"]) - len(names["genome"]))
    return pl.DataFrame(names)
