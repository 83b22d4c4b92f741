"""Split of the chunks into training and validation.

Whole contigs, or blocks of a contig, go to validation. They are numbered in the order of the chunk
tables, through all genomes, and every 1/share-th is taken, so their number is share x n, rounded. A
chunk belongs to the block of its middle. So both strands of a window, and windows with equal
coordinates, are in the same part.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import polars as pl
import pyarrow as pa

from evo2_embed.dataset.dataset import to_polars
from evo2_embed.io.digests import settings_digest
from evo2_embed.io.errors import InputError
from evo2_embed.io.parts import Parts
from evo2_embed.io.tables import (
    CHUNKS,
    LABEL,
    metadata_schema,
    open_table,
    table_metadata,
    table_writer,
)
from evo2_embed.io.text import shown

SPLITS = ("train", "validation")
LEFT_OUT = "left_out"  # too close to a validation block for training
PARTS = (*SPLITS, LEFT_OUT)

# A contig, or a block of a contig, with chunks. `start` to `end` is the block, extended to the ends
# of its chunks; for a whole contig, the bases that its chunks cover.
BLOCKS = pa.schema(
    [
        pa.field("genome", LABEL, nullable=False),
        pa.field("contig", LABEL, nullable=False),
        pa.field("block", pa.int64(), nullable=False),
        pa.field("start", pa.int64(), nullable=False),
        pa.field("end", pa.int64(), nullable=False),
        pa.field("chunks", pa.int64(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
    ]
)

_KEYS = ["genome", "contig", "start", "end", "length"]


@dataclass(frozen=True)
class Split:
    """The validation blocks, and the gap around them.

    Attributes
    ----------
    settings : dict
        `split`, `block`, `gap`.
    held_out : dict
        By genome and contig, the indices of its validation blocks, and the sorted starts and ends
        of their bases.
    """

    settings: dict
    held_out: dict[tuple[str, str], tuple[np.ndarray, np.ndarray, np.ndarray]]

    @staticmethod
    def of(blocks: pl.DataFrame, settings: dict) -> "Split":
        """The split of a table of blocks."""
        validation = blocks.filter(pl.col("split") == "validation")
        groups = validation.group_by("genome", "contig", maintain_order=True)
        held_out = {
            key: (
                table["block"].to_numpy(),
                np.sort(table["start"].to_numpy()),
                np.sort(table["end"].to_numpy()),
            )
            for key, table in groups
        }
        return Split(settings, held_out)

    def assign(self, chunks: pl.DataFrame) -> np.ndarray:
        """The part of each chunk, as an index into `PARTS`: int8, (n,).

        Parameters
        ----------
        chunks : polars.DataFrame
            Columns genome, contig, start, end; chunks of a contig are consecutive.
        """
        parts = np.zeros(len(chunks), np.int8)
        start, end = chunks["start"].to_numpy(), chunks["end"].to_numpy()
        first = 0
        for owner, count in _contigs(chunks):
            rows = slice(first, first + count)
            if owner in self.held_out:
                parts[rows] = self._assign(owner, start[rows], end[rows])
            first += count
        return parts

    def _assign(self, owner: tuple, start: np.ndarray, end: np.ndarray) -> np.ndarray:
        blocks, starts, ends = self.held_out[owner]
        gap = self.settings["gap"]
        # Blocks that start before the end of a chunk, minus those that end before its start.
        near = np.searchsorted(starts, end + gap) - np.searchsorted(ends, start - gap, "right")
        mine = np.isin(block_numbers(start, end, self.settings), blocks)
        return np.where(mine, 1, np.where(near > 0, 2, 0))


def block_numbers(start, end, settings: dict):
    """Index of the block with the middle of each chunk; 0 if contigs stay whole."""
    return (start + end) // 2 // settings["block"] if settings["split"] == "block" else start * 0


def choose(number: int, share: float) -> np.ndarray:
    """Which of `number` blocks are for validation: round(number * share), evenly spaced.

    Returns
    -------
    ndarray of bool, (number,)
        Equal at the start for every number, so blocks added at the end change nothing before them.
    """
    part = Fraction(share).limit_denominator(10**6)
    counts = (2 * np.arange(number + 1) * part.numerator + part.denominator) // (
        2 * part.denominator
    )
    return np.diff(counts) > 0


def split_chunks(chunks: list[str], settings: dict, output: str) -> dict:
    """Write the table of blocks (`BLOCKS`) of a run.

    Parameters
    ----------
    chunks : list of str
        Chunk tables of all bundles, in the order of the sheet.
    settings : dict
        `split`, `block`, `gap`, `validation_share` and `code`.
    output : str

    Returns
    -------
    dict
        The table's metadata: settings, digest, `parts` (chunks of each), the longest chunk.

    Raises
    ------
    InputError
        If no chunk would be left for training or validation.
    """
    if settings["split"] == "block":
        for path in chunks:
            _check_origin(path)
    blocks = pl.concat([_blocks_of(path, settings) for path in chunks])
    chosen = choose(len(blocks), settings["validation_share"])
    _check_chosen(chosen, settings)
    blocks = blocks.with_columns(split=pl.Series(np.array(SPLITS)[chosen.astype(int)]))
    split = Split.of(blocks, settings)
    parts, longest = np.zeros(len(PARTS), np.int64), 0
    for path in chunks:
        table = _read(path)
        parts += np.bincount(split.assign(table), minlength=len(PARTS))
        longest = max(longest, table["length"].max())
    if not parts[0]:
        raise InputError(
            f"finetune.gap: {settings['gap']} bases around the validation blocks leave no window "
            "for training; choose a smaller gap, a larger block, or a smaller validation_share"
        )
    digests = [table_metadata(open_table(path, CHUNKS))["digest"] for path in chunks]
    metadata = {
        "settings": settings,
        "chunks_digests": digests,
        "digest": settings_digest([settings, digests]),
        "parts": dict(zip(PARTS, parts.tolist(), strict=True)),
        "longest": longest,
    }
    with table_writer(output, metadata_schema(BLOCKS, metadata)) as writer:
        writer.write_table(blocks.to_arrow().select(BLOCKS.names).cast(BLOCKS))
    return metadata


def open_split(path: str, genomes: set[str] | None = None) -> tuple[Split, dict]:
    """The split of a table of blocks, for some genomes, and its metadata."""
    file = open_table(path, BLOCKS)
    metadata = table_metadata(file)
    blocks = to_polars(file.read())
    if genomes is not None:
        blocks = blocks.filter(pl.col("genome").is_in(genomes))
    return Split.of(blocks, metadata["settings"]), metadata


def _read(path: str) -> pl.DataFrame:
    return to_polars(open_table(path, CHUNKS).read(_KEYS))


def _check_origin(path: str) -> None:
    """Check that no chunk is over the origin of its contig: it would be in blocks at both ends."""
    table = open_table(path, CHUNKS).read([*_KEYS, "parts"])
    over = Parts.from_arrow(table["parts"]).lengths_of_contigs(table["end"].to_numpy()) > 0
    if over.any():
        first = table.slice(int(over.argmax()), 1).to_pylist()[0]
        raise InputError(
            f"finetune.split: block does not work with windows over the origin of a contig, such "
            f"as bases {first['start']} to {first['end']} of '{shown(first['contig'])}' of "
            f"{first['genome']} (allowed: contig)"
        )


def _blocks_of(path: str, settings: dict) -> pl.DataFrame:
    """The blocks of a chunk table's contigs, in order."""
    start, end = pl.col("start"), pl.col("end")
    blocks = (
        _read(path)
        .with_columns(
            owner=pl.struct("genome", "contig").rle_id(),
            block=block_numbers(start, end, settings),
        )
        .group_by("owner", "block")
        .agg(pl.col("genome", "contig").first(), start.min(), end.max(), chunks=pl.len())
        .sort("owner", "block")
    )
    if settings["split"] == "contig":
        return blocks
    first = pl.col("block") * settings["block"]
    return blocks.with_columns(
        start=pl.min_horizontal(start, first),
        end=pl.max_horizontal(end, first + settings["block"]),
    )


def _check_chosen(chosen: np.ndarray, settings: dict) -> None:
    number, share, what = len(chosen), settings["validation_share"], settings["split"]
    finer = "split: block" if what == "contig" else "a smaller block"
    if not chosen.any():
        raise InputError(
            f"finetune.validation_share: {share:g} of {number} {what}(s) is less than half of one, "
            f"so the validation set would be empty; choose {finer}, or a larger validation_share"
        )
    if chosen.all():
        raise InputError(
            f"finetune.validation_share: {share:g} of {number} {what}(s) is all of them, so the "
            f"training set would be empty; choose {finer}, or a smaller validation_share"
        )


def _contigs(chunks: pl.DataFrame) -> Iterator[tuple[tuple[str, str], int]]:
    """Genome and name of each contig, in order, and its number of chunks."""
    runs = chunks.select(pl.struct("genome", "contig").rle().alias("run")).unnest("run")
    for count, owner in runs.iter_rows():
        yield (owner["genome"], owner["contig"]), count
