"""The metadata of a pack file: what it was made from, and what it holds."""

from dataclasses import dataclass, fields
from pathlib import Path

import pyarrow.parquet as pq

from evo2_embed.io.tables import table_metadata


@dataclass(frozen=True, kw_only=True)
class PackCounts:
    """What a pack file holds; the record of its shard repeats these numbers.

    Attributes
    ----------
    first_stretch, n_stretches : int
        Its stretches have the numbers `first_stretch` to `first_stretch + n_stretches - 1`.
    first_chunk, stop_chunk, n_chunks : int
        Its chunks are among the rows [first_chunk, stop_chunk) of the chunk table. Where stretches
        of both strands meet, rows between them belong to other shards.
    n_packs, n_tokens, n_bases : int
        Tokens of all segments, BOS included, padding not; bases of all chunks.
    budget_tokens : int
        Tokens for which the packs have room.
    padded_tokens : int
        Tokens that padded batches of the same stretches would have.
    """

    first_stretch: int
    n_stretches: int
    first_chunk: int
    stop_chunk: int
    n_chunks: int
    n_packs: int
    n_tokens: int
    n_bases: int
    budget_tokens: int
    padded_tokens: int

    def counts(self) -> dict[str, int]:
        """The numbers by name."""
        return {field.name: getattr(self, field.name) for field in fields(PackCounts)}


@dataclass(frozen=True, kw_only=True)
class PackMetadata(PackCounts):
    """All metadata of a pack file.

    Attributes
    ----------
    settings : dict
        `packing` (the section of the configuration) and `code`.
    digest, chunks_digest : str
        Of what the packs were made from, and of their chunk tables.
    shard_id : str
        Bundle and shard: `{bundle}/{shard}`.
    """

    settings: dict
    digest: str
    chunks_digest: str
    shard_id: str

    def to_dict(self) -> dict:
        """The metadata as the file has it."""
        values = dict(vars(self))
        return {"place": values.pop("shard_id"), **values}


def read_metadata(file: pq.ParquetFile) -> PackMetadata:
    """The metadata of a pack file."""
    found = table_metadata(file)
    found["shard_id"] = found.pop("place")
    return PackMetadata(**{field.name: found[field.name] for field in fields(PackMetadata)})


def shard_id_of(packs: str | Path) -> str:
    """Bundle and shard of a pack file, from its path `{bundle}/{shard}.parquet`."""
    return "/".join(Path(packs).with_suffix("").parts[-2:])
