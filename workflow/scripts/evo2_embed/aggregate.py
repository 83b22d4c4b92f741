"""Shards to the dataset of one layer: checked, sorted, and written row group by row group.

Shards are consecutive ranges of chunks, and each one's rows are sorted, so the dataset is their
concatenation, but where windows overlap or two strands of a window meet at a border: there the rows
of both sides are merged.
"""

import bisect
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from evo2_embed.digests import file_sha256, settings_digest
from evo2_embed.embed import check_shard_file, row_group_rows
from evo2_embed.errors import InputError
from evo2_embed.files import atomic_directory, read_json, write_json
from evo2_embed.levels import LevelMeans
from evo2_embed.logs import log
from evo2_embed.models import layer_widths
from evo2_embed.rows import ShardRows
from evo2_embed.tables import (
    CHUNKS,
    KEYS,
    check_embeddings,
    embeddings_schema,
    metadata_schema,
    open_table,
    parquet_writer,
    read_rows,
    table_metadata,
    vectors_to_numpy,
)

PART_BYTES = 256 << 20  # of vectors, before compression

# What all shards of a dataset have in common.
SHARED = ("settings", "packing", "checkpoint_sha256", "packages", "workflow")


@dataclass(frozen=True)
class BundleFiles:
    """A bundle's chunk table and the records of its shards, in order."""

    chunks: str
    records: list[str]


def aggregate_layer(
    bundles: list[BundleFiles], layer: str, settings: dict, output: str, record: str
) -> dict:
    """Write the dataset of one layer of an extraction.

    Parameters
    ----------
    bundles : list of BundleFiles
        In the order of the sheet.
    layer : str
    settings : dict
        `embed`, the settings of the shards, `levels` and `code`.
    output : str
        Folder of the dataset; it is replaced as a whole.
    record : str
        JSON file to write last: parts with rows and digests, and what they were made from.

    Raises
    ------
    InputError
        When a shard is missing, damaged, of other settings or another version, or has not exactly
        the rows that it should.
    """
    shards = [_Shard.open(bundle, path) for bundle in bundles for path in bundle.records]
    shared = _check_shared(shards, settings["embed"])
    extraction = settings["embed"]["extraction"]
    width = layer_widths(extraction["model"]["name"])[layer]
    metadata = {
        **shared,
        **_spelled_out(extraction),
        "layer": layer,
        "windows": table_metadata(open_table(bundles[0].chunks, CHUNKS))["settings"],
        "digest": settings_digest([settings, layer, [shard.record["digest"] for shard in shards]]),
    }
    schema = metadata_schema(embeddings_schema(width, extraction["dtype"]), metadata)
    with (
        atomic_directory(output) as folder,
        LevelMeans(settings["levels"], output, width) as levels,
    ):
        parts = _PartWriter(folder, schema, width)
        for bundle in bundles:
            mine = [shard for shard in shards if shard.bundle is bundle]
            _check_ranges(mine)
            filled = [shard for shard in mine if shard.record["n_chunks"]]
            for table in _merge(filled, layer, extraction):
                parts.add(table)
                levels.add(table)
        parts.close()
        files = parts.files
    result = {
        **metadata,
        "rows": sum(part["rows"] for part in files),
        "width": width,
        "dtype": extraction["dtype"],
        "parts": files,
        "levels": levels.files,
    }
    write_json(record, result)
    log.info("%s: %d rows of width %d in %d parts", layer, result["rows"], width, len(files))
    return result


def _spelled_out(extraction: dict) -> dict:
    return {
        "model": extraction["model"]["name"],
        "pooling": extraction["pooling"],
        "precision": extraction["precision"],
        "engine": extraction["engine"],
    }


@dataclass(frozen=True)
class _Shard:
    bundle: BundleFiles
    path: Path
    record: dict

    @staticmethod
    def open(bundle: BundleFiles, path: str) -> "_Shard":
        return _Shard(bundle, Path(path), read_json(path))

    @property
    def stop(self) -> int:
        return self.record["first_chunk"] + self.record["n_chunks"]

    def expected_rows(self, pooling: str | dict) -> ShardRows:
        """The rows that the shard should have, from the chunk table."""
        names = ["chunk", "genome", "contig", "start", "end", "strand", "name"]
        file = open_table(self.bundle.chunks, CHUNKS)
        table = read_rows(file, self.record["first_chunk"], self.stop, names)
        numbers = ("chunk", "start", "end")
        columns = {
            name: table[name].to_numpy()
            if name in numbers
            else np.array(table[name].to_pylist(), object)
            for name in names
        }
        return ShardRows(columns, pooling)

    def tables(self, layer: str, dtype: str, rows: ShardRows) -> Iterator[pa.Table]:
        """The shard's rows, row group by row group, checked."""
        known = self.record["layers"][layer]
        path = self.path.parent / known["file"]
        check_shard_file(path, known)
        file = open_table(path, embeddings_schema(known["width"], dtype, chunk=True))
        if file.metadata.num_rows != rows.count:
            raise InputError(
                f"{path}: {file.metadata.num_rows} rows, and its chunks have {rows.count}"
            )
        row = 0
        for group in range(file.num_row_groups):
            table = file.read_row_group(group)
            _check_keys(table, rows.keys(row, row + len(table)), path, row)
            values = vectors_to_numpy(table["embedding"], known["width"])
            yield check_embeddings(table, values, str(path))
            row += len(table)


def _check_shared(shards: list[_Shard], settings: dict) -> dict:
    """See that all shards are of one kind, and of the settings of this run."""
    first = shards[0]
    for shard in shards:
        if shard.record["settings"] != settings:
            raise InputError(
                f"{shard.path}: made with other settings than this run's; rerun to redo it"
            )
        for key in SHARED:
            if shard.record[key] != first.record[key]:
                raise InputError(
                    f"{shard.path}: {key} differs from that of {first.path} "
                    f"({shard.record[key]} against {first.record[key]}); a dataset has one: "
                    "delete the older of the two folders and rerun"
                )
    return {key: first.record[key] for key in SHARED}


def _check_ranges(shards: list[_Shard]) -> None:
    """See that a bundle's shards cover its chunks, each once."""
    table = open_table(shards[0].bundle.chunks, CHUNKS)
    digest = table_metadata(table)["digest"]
    expected = 0
    for shard in shards:
        if shard.record["chunks_digest"] != digest:
            raise InputError(f"{shard.path}: made from another chunk table; rerun to redo it")
        if shard.record["first_chunk"] != expected:
            raise InputError(
                f"{shard.path}: begins at chunk {shard.record['first_chunk']}, not {expected}"
            )
        expected = shard.stop
    if expected != table.metadata.num_rows:
        raise InputError(
            f"{shards[-1].path}: the shards end at chunk {expected} of {table.metadata.num_rows}"
        )


def _check_keys(table: pa.Table, expected: dict[str, pa.Array], path: Path, first: int) -> None:
    for name, column in expected.items():
        found = table[name].combine_chunks()
        if pa.types.is_dictionary(found.type):
            found, column = found.dictionary_decode(), column.dictionary_decode()
        if not found.equals(column):
            pairs = zip(found.to_pylist(), column.to_pylist(), strict=True)
            row, (got, wanted) = next((i, p) for i, p in enumerate(pairs) if p[0] != p[1])
            raise InputError(
                f"{path}: row {first + row}: {name} is {got!r}, and its chunk says {wanted!r}"
            )


def _merge(shards: list[_Shard], layer: str, extraction: dict) -> Iterator[pa.Table]:
    """Rows of a bundle's shards in their final order."""
    waiting: list[tuple[tuple, pa.Table]] = []  # single rows that belong behind a border
    contigs = _ContigNumbers()
    plans = [shard.expected_rows(extraction["pooling"]) for shard in shards[:1]]
    for number, shard in enumerate(shards):
        rows = plans.pop()
        if number + 1 < len(shards):
            plans.append(shards[number + 1].expected_rows(extraction["pooling"]))
        base = contigs.base(rows)
        border = _first_order(plans, contigs)
        row = 0
        for table in shard.tables(layer, extraction["dtype"], rows):
            table = table.drop_columns(["chunk"])
            last = _order(rows, row + len(table) - 1, base)
            end = row + len(table)
            if border is not None and last >= border:
                end = bisect.bisect_left(
                    range(row, end), border, key=lambda r: _order(rows, r, base)
                )
                end += row
            ready = table.slice(0, end - row)
            due = bisect.bisect_right(waiting, last, key=lambda item: item[0])
            if border is not None:
                due = min(due, bisect.bisect_left(waiting, border, key=lambda item: item[0]))
            if due:
                orders = [_order(rows, r, base) for r in range(row, end)]
                ready = _interleave(orders, ready, waiting[:due])
                del waiting[:due]
            if len(ready):
                yield ready
            behind = range(end - row, len(table))
            waiting += [(_order(rows, row + r, base), table.slice(r, 1)) for r in behind]
            waiting.sort(key=lambda item: item[0])
            row += len(table)
    if waiting:
        yield pa.concat_tables([table for _, table in waiting])


class _ContigNumbers:
    """Numbers contigs through the shards of a bundle; one that a border divides keeps its own."""

    def __init__(self):
        self.last, self.number = None, -1

    def base(self, rows: ShardRows) -> int:
        """Number of the first contig of a shard; the shard's others follow."""
        base = self.peek(rows)
        self.number = base + int(rows.rank[-1])
        self.last = (rows.segments["genome"][-1], rows.segments["contig"][-1])
        return base

    def peek(self, rows: ShardRows) -> int:
        """What `base` would say."""
        first = (rows.segments["genome"][0], rows.segments["contig"][0])
        return self.number + (first != self.last)


def _order(rows: ShardRows, row: int, base: int) -> tuple:
    rank, *rest = rows.order(row)
    return (base + rank, *rest)


def _first_order(plans: list[ShardRows], contigs: _ContigNumbers) -> tuple | None:
    if not plans:
        return None
    return _order(plans[0], 0, contigs.peek(plans[0]))


def _interleave(orders: list[tuple], table: pa.Table, waiting: list) -> pa.Table:
    merged = pa.concat_tables([table, *(row for _, row in waiting)])
    keys = orders + [order for order, _ in waiting]
    return merged.take(sorted(range(len(keys)), key=keys.__getitem__))


class _PartWriter:
    """Row groups of one size, in part files of at most `PART_BYTES`."""

    def __init__(self, folder: Path, schema: pa.Schema, width: int):
        self.folder, self.schema = folder, schema
        itemsize = schema.field("embedding").type.value_type.bit_width // 8
        self.group = row_group_rows(width, itemsize)
        self.part_rows = max(1, PART_BYTES // (width * itemsize * self.group)) * self.group
        self.files: list[dict] = []
        self.buffer: list[pa.Table] = []
        self.buffered = self.written = 0
        self.writer = None

    def add(self, table: pa.Table) -> None:
        """Take rows; write every row group that is full."""
        self.buffer.append(table.select([*KEYS, "embedding"]))
        self.buffered += len(table)
        while self.buffered >= self.group:
            self._write(self.group)

    def close(self) -> None:
        """Write what is left. A dataset with no rows has one part, with none."""
        if self.buffered or not self.files:
            self._write(self.buffered)
        self._end_part()

    def _write(self, rows: int) -> None:
        whole = pa.concat_tables(self.buffer) if self.buffer else self.schema.empty_table()
        self.buffer, self.buffered = [whole.slice(rows)], len(whole) - rows
        if self.writer is not None and self.written >= self.part_rows:
            self._end_part()
        if self.writer is None:
            self.path = self.folder / f"part-{len(self.files):05d}.parquet"
            self.writer, self.written = parquet_writer(self.path, self.schema), 0
        # One dictionary a row group, whatever tables it came from.
        group = whole.slice(0, rows).unify_dictionaries().combine_chunks()
        self.writer.write_table(group.cast(self.schema), row_group_size=max(rows, 1))
        self.written += rows

    def _end_part(self) -> None:
        if self.writer is None:
            return
        self.writer.close()
        self.writer = None
        self.files.append(
            {
                "file": self.path.name,
                "rows": self.written,
                "bytes": self.path.stat().st_size,
                "sha256": file_sha256(self.path),
            }
        )
