"""Checks of an extraction's shards before they are merged: undamaged, alike, complete."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Protocol
from weakref import WeakValueDictionary

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from evo2_embed.dataset.dataset import to_polars
from evo2_embed.embed.row_spans import DOWNSTREAM, tokens_of
from evo2_embed.embed.rows import ShardRows
from evo2_embed.io.errors import InputError
from evo2_embed.io.files import read_json
from evo2_embed.io.row_checks import check_embeddings, check_scores
from evo2_embed.io.tables import (
    CHUNKS,
    VARIANT_KEYS,
    embeddings_schema,
    open_table,
    read_rows,
    scores_schema,
    table_metadata,
    to_numpy,
    vectors_to_numpy,
)
from evo2_embed.io.text import shown
from evo2_embed.pack.metadata import PackCounts
from evo2_embed.pack.read import CHUNK_KEYS
from evo2_embed.settings.extraction import SCORES, Extraction

# Entries that are equal in all shards of a dataset. The settings include the version of the code,
# which changes only with results. So shards of an older release with equal results can be used.
SHARED = ("settings", "packing", "checkpoint_sha256", "packages")
_AND = " and "


@dataclass(frozen=True)
class BundleFiles:
    """A bundle's chunk table and the records of its shards, in order."""

    chunks: str
    records: list[str]

    @property
    def name(self) -> str:
        """Name of the bundle."""
        return Path(self.chunks).stem

    @staticmethod
    def group(chunks: list[str], counts: list[int], records: list[str]) -> "list[BundleFiles]":
        """Give every bundle the records of its shards, by the names in their paths.

        Parameters
        ----------
        chunks : list of str
            Chunk tables, `.../{bundle}.parquet`.
        counts : list of int
            Number of shards of each bundle.
        records : list of str
            Records of all shards, `.../{bundle}/{shard}/{file}.json`, in any order.

        Raises
        ------
        InputError
            If a bundle is unknown, or has not exactly one record of each shard.
        """
        found: dict[str, list[str]] = {Path(path).stem: [] for path in chunks}
        for path in sorted(records, key=lambda path: int(Path(path).parent.name)):
            bundle = Path(path).parts[-3]
            if bundle not in found:
                raise InputError(f"{path}: no chunk table of bundle '{bundle}' was given")
            found[bundle].append(path)
        for (bundle, mine), count in zip(found.items(), counts, strict=True):
            shards = [int(Path(path).parent.name) for path in mine]
            if shards != list(range(count)):
                raise InputError(
                    f"bundle {bundle}: each of its {count} shards needs one record, and "
                    f"{len(mine)} records of {len(set(shards))} shards were given"
                )
        return [BundleFiles(path, found[Path(path).stem]) for path in chunks]


# Rows of shards as long as something uses them.
_in_use: WeakValueDictionary[tuple, ShardRows] = WeakValueDictionary()


class Recorded(Protocol):
    """A record, and its path."""

    path: Path
    record: dict


@dataclass(frozen=True)
class Shard:
    """A shard's record, and its bundle."""

    bundle: BundleFiles
    path: Path
    record: dict

    @staticmethod
    def open(bundle: BundleFiles, path: str) -> "Shard":
        """Read a shard's record."""
        return Shard(bundle, Path(path), read_json(path))

    @property
    def name(self) -> str:
        """Its number in the bundle, as its folder has it."""
        return self.path.parent.name

    @property
    def numbers(self) -> dict:
        """The counts of the packs, and the speed of the job that embedded them."""
        counts = {field.name: self.record[field.name] for field in fields(PackCounts)}
        return {**counts, **read_json(self.path.with_name("speed.json"))}

    @property
    def stop(self) -> int:
        """Number of the first stretch after the shard."""
        return self.record["first_stretch"] + self.record["n_stretches"]

    @property
    def has_variants(self) -> bool:
        """Whether some of its rows are of variants."""
        return self.record.get("variants", False)

    def expected_rows(self, extraction: Extraction) -> ShardRows:
        """The rows that the shard should have, from the chunk table. Outputs that are read side by
        side share them."""
        key = str(self.path), self.record["digest"], repr(extraction.pooling), extraction.skip_first
        rows = _in_use.get(key)
        if rows is None:
            rows = _in_use[key] = self._read_rows(extraction)
        return rows

    def _read_rows(self, extraction: Extraction) -> ShardRows:
        record, file = self.record, open_table(self.bundle.chunks, CHUNKS)
        span = record["first_chunk"], record["stop_chunk"]
        names = [*CHUNK_KEYS, *(VARIANT_KEYS if self.has_variants else ())]
        table = read_rows(file, *span, [*names, "stretch"])
        stretch = table["stretch"].to_numpy()
        mine = (stretch >= record["first_stretch"]) & (stretch < self.stop)
        table = table.filter(pa.array(mine))
        if len(table) != record["n_chunks"]:
            raise InputError(
                f"{self.path}: {record['n_chunks']} chunks, but {self.bundle.chunks} has "
                f"{len(table)} for its stretches; rerun to redo it"
            )
        keys = {name: to_numpy(table[name]) for name in names}
        return ShardRows(keys, extraction.pooling, extraction.skip_first)

    def tables(self, layer: str, dtype: str, rows: ShardRows, variants: bool) -> Iterator[pa.Table]:
        """The shard's rows of a layer, or of `scores`, row group by row group, checked; with
        `.downstream` behind the name those from the variant on. With `variants` they have the
        columns of variants, also if no row is of one."""
        output, which = tokens_of(layer)
        known = self.record["scores"] if layer == SCORES else self.record["layers"].get(layer)
        if which == DOWNSTREAM:
            known = self.record["downstream"][output]
        path, file = _open_layer(self.path, known, dtype, variants)
        if file.metadata.num_rows != rows.count:
            raise InputError(
                f"{path}: {file.metadata.num_rows} rows, but its chunks have {rows.count}"
            )
        row = 0
        for group in range(file.num_row_groups):
            table = file.read_row_group(group)
            expected = rows.keys(row, row + len(table))
            if output == SCORES:
                bos = int(self.record["packing"]["packing"]["bos"])
                counts = rows.scored(row, row + len(table), bos, which == DOWNSTREAM)
                scored = counts.astype(np.int32)
                _check_keys(table, {**expected, "scored": pa.array(scored)}, path, row)
                yield check_scores(table, str(path))
            else:
                _check_keys(table, expected, path, row)
                values = vectors_to_numpy(table["embedding"], known["width"])
                yield check_embeddings(table, values, str(path))
            row += len(table)


def read_shard_layer(path: str, layer: str) -> tuple[pl.DataFrame, np.ndarray]:
    """All rows of a layer of one shard: keys, and embeddings as float32, (rows, width).

    Parameters
    ----------
    path : str
        Record of the shard.
    layer : str
    """
    record = read_json(path)
    known = record["layers"][layer]
    dtype = record["settings"]["extraction"]["dtype"]
    _, file = _open_layer(Path(path), known, dtype, record.get("variants", False))
    table = file.read()
    values = vectors_to_numpy(table["embedding"], known["width"]).astype(np.float32, copy=False)
    return to_polars(table.drop_columns(["embedding"])), values


def _open_layer(
    record: Path, known: dict, dtype: str, variants: bool
) -> tuple[Path, pq.ParquetFile]:
    """The file of a layer, or of scores, which have no width; `known` is its entry in the record
    of the shard."""
    path = record.parent / known["file"]
    schema = scores_schema(chunk=True, variants=variants)
    if "width" in known:
        schema = embeddings_schema(known["width"], dtype, True, variants)
    return path, open_table(path, schema, known["sha256"], record.parent)


def check_shared(shards: list[Shard], settings: dict) -> dict:
    """Check that all shards are alike, and have the settings of this run."""
    first = shards[0]
    for shard in shards:
        if shard.record["settings"] != settings:
            raise InputError(
                f"{shard.path}: made with other settings than this run; rerun to redo it"
            )
        check_alike(shard, first, "folders")
    return {key: first.record[key] for key in SHARED}


def check_alike(one: Recorded, first: Recorded, what: str) -> None:
    """Check that two records have equal entries `SHARED`."""
    for key in SHARED:
        if one.record[key] != first.record[key]:
            raise InputError(
                f"{one.path}: {key} differs from that of {first.path} "
                f"({one.record[key]} against {first.record[key]}): "
                f"delete the older of the two {what} and rerun"
            )


def worst_check(checks: list[dict | None]) -> dict | None:
    """The engine's self-checks for a layer as one: the largest values.

    None if nothing was checked: for the stock engine, or for shards without chunks.
    """
    made = [check for check in checks if check]
    if not made:
        return None
    # Machines differ in noise. Shards of earlier versions have no such value.
    largest = {
        key: max(check[key] for check in made)
        for key in ("noise", "tolerance", "difference")
        if all(key in check for check in made)
    }
    kernels = {name for check in made for name in check.get("kernels", "").split(_AND) if name}
    used = {"kernels": _AND.join(sorted(kernels))} if kernels else {}
    return {**made[0], **largest, **used}


def check_ranges(shards: list[Shard]) -> None:
    """Check that a bundle's shards cover its stretches and chunks, each once."""
    table = open_table(shards[0].bundle.chunks, CHUNKS)
    origin = table_metadata(table)
    expected = 0
    for shard in shards:
        if shard.record["chunks_digest"] != origin["digest"]:
            raise InputError(f"{shard.path}: made from another chunk table; rerun to redo it")
        if shard.record["first_stretch"] != expected:
            raise InputError(
                f"{shard.path}: starts at stretch {shard.record['first_stretch']}, not {expected}"
            )
        expected = shard.stop
    if expected != origin["n_stretches"]:
        raise InputError(
            f"{shards[-1].path}: the shards end at stretch {expected} of {origin['n_stretches']}"
        )
    chunks = sum(shard.record["n_chunks"] for shard in shards)
    if chunks != table.metadata.num_rows:
        raise InputError(
            f"{shards[-1].path}: the shards have {chunks} chunks of {table.metadata.num_rows}"
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
                f"{path}: row {first + row}: {name} is {shown(repr(got))}, but "
                f"{shown(repr(wanted))} in its chunk"
            )
