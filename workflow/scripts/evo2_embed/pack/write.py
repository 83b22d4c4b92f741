"""Writing a pack file from chunks and their genomes: its packs, its metadata, its rows."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from evo2_embed.genomes.fasta import index_folder
from evo2_embed.genomes.sample_sheet import Genome
from evo2_embed.genomes.sequences import Sequences
from evo2_embed.io.tables import PACKS, VARIANT_KEYS, metadata_schema, table_writer
from evo2_embed.pack.assign import Forks, assign_stretches, padded_tokens
from evo2_embed.pack.metadata import PackMetadata, shard_id_of
from evo2_embed.pack.rows import forks_of, pack_rows, stretches_of
from evo2_embed.settings.jobs import Packing


@dataclass(frozen=True)
class PackSource:
    """Chunks of one bundle.

    Attributes
    ----------
    chunks : str
        Path of the chunk table.
    genomes : list of Genome
        The bundle's.
    table : pyarrow.Table
        The chunks to pack (`tables.CHUNKS`), in ascending order.
    lower_case : {"upper", "keep"}
        How the chunks were made.
    """

    chunks: str
    genomes: list[Genome]
    table: pa.Table
    lower_case: str


def write_packs(
    output: str,
    sources: list[PackSource],
    origin: dict,
    indexes: str,
    first_stretch: int = 0,
    sequences: type[Sequences] = Sequences,
) -> PackMetadata:
    """Write a pack file; the chunks of different sources do not share packs.

    Parameters
    ----------
    output : str
        Path of the pack file (`tables.PACKS`).
    sources : list of PackSource
        Their chunks have numbers that ascend from one source to the next.
    origin : dict
        What the packs are made from: `settings` (`packing` and `code`), `digest`, `chunks_digest`,
        and anything else that the metadata should hold.
    indexes : str
        Folder that keeps FASTA indexes (`fasta.index_folder`).
    first_stretch : int
        Number of the first stretch.
    sequences : type
        What gives the tokens.
    """
    packing = Packing.from_dict(origin["settings"]["packing"])
    stretches = [stretches_of(source.table) for source in sources]
    lengths = [some.tokens(packing.bos) for some in stretches]
    forks = [
        forks_of(some, packing.bos, source.chunks)
        for source, some in zip(sources, stretches, strict=True)
    ]
    assigned = [
        assign_stretches(tokens, packing, of_source)
        for tokens, of_source in zip(lengths, forks, strict=True)
    ]
    chunks = np.concatenate([source.table["chunk"].to_numpy() for source in sources])
    n_packs = sum(segments.n_packs for segments in assigned)
    metadata = PackMetadata(
        settings=origin["settings"],
        digest=origin["digest"],
        chunks_digest=origin["chunks_digest"],
        shard_id=shard_id_of(output),
        first_stretch=first_stretch,
        n_stretches=sum(map(len, lengths)),
        first_chunk=int(chunks[0]) if len(chunks) else 0,
        stop_chunk=int(chunks[-1]) + 1 if len(chunks) else 0,
        n_chunks=len(chunks),
        n_packs=n_packs,
        n_tokens=sum(int(tokens.sum()) for tokens in lengths),
        n_bases=sum(int(source.table["length"].to_numpy().sum()) for source in sources),
        budget_tokens=n_packs * packing.max_tokens,
        padded_tokens=padded_tokens(np.concatenate(lengths), packing),
    )
    columns = _columns_for([source.table for source in sources], forks)
    schema = metadata_schema(columns, {**origin, **metadata.to_dict()})
    first_pack = 0
    with table_writer(output, schema) as writer:
        for source, some, segments in zip(sources, stretches, assigned, strict=True):
            with (
                index_folder(indexes, len(source.genomes)) as folder,
                sequences(source.genomes, source.chunks, folder, source.lower_case) as files,
            ):
                for batch in pack_rows(
                    segments, source.table, some, files, packing, first_pack, columns
                ):
                    writer.write_batch(batch)
            first_pack += segments.n_packs
    return metadata


def _columns_for(tables: list[pa.Table], forks: list[Forks]) -> pa.Schema:
    """The columns of a pack file: those of forks and of variants only if it has some."""
    unused = set()
    if not any((some.parent >= 0).any() for some in forks):
        unused.add("parent")
    if not any(table["variant"].null_count < len(table) for table in tables):
        unused.update(VARIANT_KEYS)
    return pa.schema([field for field in PACKS if field.name not in unused])
